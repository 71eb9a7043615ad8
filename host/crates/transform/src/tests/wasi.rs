//! What a module gets from `wasi_snapshot_preview1`, function by function.

use super::*;
use crate::imports::{IMPORTS, WASI};

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const NOSYS: i32 = 52;
const SPIPE: i32 = 70;

/// A module whose init calls one function, with these arguments, and wants this answer.
fn calling(name: &str, arguments: &str, errno: i32) -> String {
    let import = IMPORTS.iter().find(|i| i.module == WASI && i.name == name);
    let params = import.unwrap().signature.params.chars();
    let params: String = params
        .map(|p| if p == 'I' { " i64" } else { " i32" })
        .collect();
    let import = format!(r#"(import "{WASI}" "{name}" (func $f (param{params}) (result i32)))"#);
    let init = format!(
        r#"(func (export "wstream_init") (param i32 i32) (result i32)
          (i32.ne (call $f {arguments}) (i32.const {errno})))"#
    );
    smallest_with(&init).replace("(module", &format!("(module {import}"))
}

fn zeros(params: &str) -> String {
    let zero = |p| {
        if p == 'I' {
            "(i64.const 0)"
        } else {
            "(i32.const 0)"
        }
    };
    params.chars().map(zero).collect::<Vec<_>>().join(" ")
}

/// Every function links and answers; file descriptor 0 is stdin.
#[tokio::test]
async fn every_function_links_and_answers() {
    let runtime = runtime();
    let mut functions = 0;
    for import in IMPORTS.iter().filter(|i| i.module == WASI) {
        let errno = match import.name {
            "proc_exit" => continue,
            "poll_oneoff" => INVAL,
            "proc_raise" => NOSYS,
            "fd_seek" | "fd_tell" => SPIPE,
            "fd_close" | "fd_fdstat_get" | "fd_fdstat_set_flags" | "fd_filestat_get" => SUCCESS,
            name if ["fd_", "path_", "sock_"]
                .iter()
                .any(|p| name.starts_with(p)) =>
            {
                BADF
            }
            _ => SUCCESS,
        };
        let text = calling(import.name, &zeros(import.signature.params), errno);
        let started = transform(&runtime, &text, tight())
            .await
            .instantiate()
            .await;
        assert_eq!(started.map(drop), Ok(()), "{}", import.name);
        functions += 1;
    }
    assert_eq!(functions, 45);
}

/// Calls with pointers that leave memory.
const TRAPS: [(&str, &str); 8] = [
    ("random_get", "(i32.const -8) (i32.const 100)"),
    (
        "clock_time_get",
        "(i32.const 0) (i64.const 0) (i32.const 65530)",
    ),
    ("args_sizes_get", "(i32.const 65533) (i32.const 0)"),
    ("fd_fdstat_get", "(i32.const 1) (i32.const -1)"),
    (
        "fd_write",
        "(i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 0)",
    ),
    (
        "fd_write",
        "(i32.const 2) (i32.const -4) (i32.const 2) (i32.const 0)",
    ),
    (
        "poll_oneoff",
        "(i32.const 65500) (i32.const 0) (i32.const 1) (i32.const 0)",
    ),
    (
        "poll_oneoff",
        "(i32.const 0) (i32.const 65535) (i32.const 2) (i32.const 0)",
    ),
];

/// Calls that are answered with an error.
const REFUSED: [(&str, &str, i32); 6] = [
    ("random_get", "(i32.const 0) (i32.const 2000000)", INVAL),
    (
        "clock_time_get",
        "(i32.const 9) (i64.const 0) (i32.const 0)",
        INVAL,
    ),
    (
        "fd_write",
        "(i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0)",
        INVAL,
    ),
    (
        "fd_write",
        "(i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0)",
        BADF,
    ),
    (
        "poll_oneoff",
        "(i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)",
        INVAL,
    ),
    ("fd_prestat_get", "(i32.const 3) (i32.const 0)", BADF),
];

#[tokio::test]
async fn wild_arguments_trap_or_are_refused() {
    let runtime = runtime();
    for (name, arguments) in TRAPS {
        let text = calling(name, arguments, SUCCESS);
        let started = transform(&runtime, &text, tight())
            .await
            .instantiate()
            .await;
        let error = started.map(drop).unwrap_err().to_string();
        assert!(
            error.starts_with("wstream_init ended with trap:"),
            "{name}: {error}"
        );
        assert!(
            error.ends_with("given to an import, are outside memory"),
            "{error}"
        );
    }
    for (name, arguments, errno) in REFUSED {
        let text = calling(name, arguments, errno);
        let started = transform(&runtime, &text, tight())
            .await
            .instantiate()
            .await;
        assert_eq!(started.map(drop), Ok(()), "{name} {arguments}");
    }
}
