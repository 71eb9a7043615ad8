//! What a node refuses, with the reason, the place and the exit code.

use std::path::Path;

use super::harness::{NodeBuilder, Output, project, write, wstream};

/// (what is wrong, the file, what the error must name)
const WRONG: &[(&str, &str, &[&str])] = &[
    (
        "a wrong key",
        "[topics.t]\npartitons = 3\n",
        &["wstream.toml:2", "partitons", "partitions"],
    ),
    (
        "a missing module",
        "[topics.t]\n[pipelines.p]\nfrom = [\"t\"]\ntransforms = [{ module = \"./none.wasm\" }]\nto = [\"s\"]\n[sinks.s]\ntype = \"stdout\"\n",
        &["wstream.toml:4", "none.wasm"],
    ),
    (
        "a topic used but not declared",
        "[topics.orders]\n[pipelines.p]\nfrom = [\"order\"]\nto = [\"s\"]\n[sinks.s]\ntype = \"stdout\"\n",
        &["wstream.toml:3", "order", "orders"],
    ),
    (
        "settings that a module refuses",
        "[topics.t]\n[pipelines.p]\nfrom = [\"t\"]\ntransforms = [\n  { module = \"DIST/filter.wasm\", config = { field = \"a\", op = \"near\", value = 1 } },\n]\nto = [\"s\"]\n[sinks.s]\ntype = \"stdout\"\n",
        &[
            "wstream.toml:5:",
            "filter",
            "near",
            "wstream transform show",
        ],
    ),
    (
        "a key that the header row does not name",
        "[topics.t]\n[sources.s]\ntype = \"csv\"\npath = \"rows.csv\"\ntopic = \"t\"\nkey = \"ids\"\n",
        &["wstream.toml:4:", "\"ids\"", "id, name"],
    ),
];

#[test]
fn wrong_files_are_refused_with_line_and_hint_by_check_and_run() {
    for (what, text, names) in WRONG {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "rows.csv", "id,name\n1,a\n");
        let dist = project().join("transforms/dist");
        let text = text.replace("DIST", dist.to_str().unwrap());
        let file = write(dir.path(), "wstream.toml", text);
        let check = Output::of(&mut wstream([Path::new("check"), &file]));
        let run = Output::of(
            &mut NodeBuilder::new(&dir.path().join("data"))
                .file(&file)
                .command(),
        );
        for output in [check, run] {
            assert_eq!(output.code, 78, "{what}: {}", output.stderr);
            for name in *names {
                assert!(
                    output.stderr.contains(name),
                    "{what}: no {name:?} in {}",
                    output.stderr
                );
            }
        }
    }
}

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = wstream([
        "run",
        "--search",
        "127.0.0.1:0",
        "--http",
        &address,
        "--data",
    ]);
    let output = Output::of(command.arg(dir.path()));
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains(&address), "{}", output.stderr);
    assert!(output.stderr.contains("--http"), "{}", output.stderr);
}

#[test]
fn a_second_node_on_the_same_data_is_refused_with_the_firsts_pid() {
    let dir = tempfile::tempdir().unwrap();
    let builder = NodeBuilder::new(dir.path());
    let first = builder.start();
    let second = Output::of(&mut builder.command());
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains(&first.pid().to_string()),
        "{}",
        second.stderr
    );
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let builder = NodeBuilder::new(dir.path());
    let (status, _) = builder.start().stop();
    assert!(status.success());
    write(dir.path(), "VERSION", "999\n");
    let output = Output::of(&mut builder.command());
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("999"), "{}", output.stderr);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("VERSION")).unwrap(),
        "999\n"
    );
}

#[test]
fn a_listener_beyond_loopback_needs_insecure() {
    let dir = tempfile::tempdir().unwrap();
    for option in ["--http", "--search"] {
        let mut command = wstream(["run", option, "0.0.0.0:0", "--data"]);
        let output = Output::of(command.arg(dir.path()));
        assert_eq!(output.code, 1, "{}", output.stderr);
        for word in [option, "--insecure"] {
            assert!(output.stderr.contains(word), "no {word}: {}", output.stderr);
        }
    }
}

#[test]
fn a_change_from_a_foreign_page_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let body = br#"{"name": "t"}"#;
    let foreign: &[&[(&str, &str)]] = &[
        &[("origin", "http://evil.example")],
        &[("host", "evil.example:8080")],
    ];
    for headers in foreign {
        let answer = node.ask("POST", "/api/v1/topics", headers, body);
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.text());
        let answer = super::harness::request(&node.search_address(), "DELETE", "/x", headers, b"");
        assert_eq!(answer.unwrap().status, 403, "{headers:?}");
    }
    let own = format!("http://{}", node.http());
    let answer = node.ask("POST", "/api/v1/topics", &[("origin", &own)], body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[test]
fn a_token_protects_what_changes_state() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path())
        .env("WSTREAM_HTTP_TOKEN", "sesame")
        .start();
    let body = br#"{"name": "t"}"#;
    let rows: &[(&[(&str, &str)], u16)] = &[
        (&[], 401),
        (&[("authorization", "Bearer wrong")], 401),
        (&[("authorization", "Bearer sesame")], 201),
    ];
    for (headers, status) in rows {
        let answer = node.ask("POST", "/api/v1/topics", headers, body);
        assert_eq!(answer.status, *status, "{headers:?}: {}", answer.text());
    }
    assert_eq!(node.ask("GET", "/api/v1/topics", &[], b"").status, 200);
}
