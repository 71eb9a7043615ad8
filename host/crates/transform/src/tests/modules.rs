//! Which modules are taken, and what the others are told.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{Kind, ModuleError, inspect};

fn refusal(text: &str) -> String {
    inspect(&wasm(text)).map(drop).unwrap_err().to_string()
}

/// Modules with exports that do not fit, and what they are told.
fn wrong_exports() -> Vec<(String, String)> {
    let not = |problems: &str| format!("not a wstream_v1 transform: {problems}");
    vec![
        (
            "(module)".to_owned(),
            not(
                "no export `memory`; no export `wstream_abi_v1` of type (); \
                 no export `wstream_alloc` of type (i32) -> i32; \
                 no export `wstream_process` of type (i32, i32) -> i64",
            ),
        ),
        (
            SMALLEST.replace("wstream_process", "wstream_proces"),
            not(
                "no export `wstream_process` of type (i32, i32) -> i64, nearest is `wstream_proces`",
            ),
        ),
        (
            SMALLEST.replace("(result i64) (i64.const 0)", "(result i32) (i32.const 0)"),
            not("export `wstream_process` is (i32, i32) -> i32, (i32, i32) -> i64 is needed"),
        ),
        (
            SMALLEST.replace(
                r#"(func (export "wstream_abi_v1"))"#,
                r#"(global (export "wstream_abi_v1") i32 (i32.const 0))"#,
            ),
            not("export `wstream_abi_v1` is not a function ()"),
        ),
        (
            smallest_with(r#"(func (export "wstream_cursor") (result i64) (i64.const 0))"#),
            not("export `wstream_cursor` is () -> i64, () -> i32 is needed"),
        ),
        (
            smallest_with(r#"(func (export "_start"))"#),
            not("export `_start`: build a library (a reactor), not a program"),
        ),
        (
            SMALLEST.replace(
                r#"(memory (export "memory") 1)"#,
                r#"(memory (export "memory") i64 1)"#,
            ),
            not("export `memory` is a 64-bit memory, a 32-bit one is needed"),
        ),
        (
            SMALLEST.replace(
                r#"(memory (export "memory") 1)"#,
                r#"(memory (export "memory") 1 1 shared)"#,
            ),
            not("export `memory` is shared, threads are not supported"),
        ),
        (
            SMALLEST.replace(
                r#"(memory (export "memory") 1)"#,
                r#"(memory 1) (func (export "memory"))"#,
            ),
            not("export `memory` is not a memory"),
        ),
    ]
}

/// Modules with other things that do not fit, and what they are told.
fn wrong_imports() -> Vec<(String, String)> {
    let not = |problems: &str| format!("not a wstream_v1 transform: {problems}");
    let import = |module: &str, name: &str, ty: &str| {
        let import = format!(r#"(import "{module}" "{name}" {ty})"#);
        SMALLEST.replace("(module", &format!("(module {import}"))
    };
    vec![
        (
            import("wstream_v1", "metrics", "(func)"),
            not("unknown import `wstream_v1.metrics`, nearest is `wstream_v1.metric`"),
        ),
        (
            import("wasi", "fd_write", "(func)"),
            not("unknown import `wasi.fd_write`, nearest is `wasi_snapshot_preview1.fd_write`"),
        ),
        (
            import("wasi_unstable", "nothing", "(func)"),
            not(
                "unknown import `wasi_unstable.nothing`, of WASI only `wasi_snapshot_preview1` is there",
            ),
        ),
        (
            import("wstream_v1", "now_ms", "(func (result i32))"),
            not("import `wstream_v1.now_ms` is () -> i32, () -> i64 is given"),
        ),
        (
            import("wstream_v1", "log", "(global i32)"),
            not("import `wstream_v1.log` is not a function"),
        ),
        (
            import("wstream_kv_v1", "get", "(func)"),
            not("import `wstream_kv_v1.get` is (), (i32, i32, i32, i32) -> i64 is given"),
        ),
        (
            import("redpanda_transform", "write_record", "(func)"),
            not("import `redpanda_transform.write_record` beside export `wstream_abi_v1`"),
        ),
        (
            smallest_with(r#"(@custom "wstream" "{\"outputs\": 7}")"#),
            not(
                "the custom section `wstream` is not its JSON: invalid type: integer `7`, \
                 expected a sequence at line 1 column 13",
            ),
        ),
    ]
}

/// Modules of other kinds that do not fit, and what they are told.
fn wrong_kinds() -> Vec<(String, String)> {
    let not_redpanda = |problems: &str| format!("not a Redpanda transform: {problems}");
    let not_component = |problems: &str| format!("not a transform component: {problems}");
    let not_yet = |kind: &str| {
        format!("{kind} are not supported yet; build a wstream_v1 module: see guest-sdk/ABI.md")
    };
    vec![
        (
            r#"(module (import "redpanda_transform" "check_abi_version_2" (func)))"#.to_owned(),
            not_redpanda("no export `memory`; no export `_start` of type ()"),
        ),
        (
            PULL.replace("check_abi_version_2", "check_abi_version_3"),
            not_redpanda(
                "no import `redpanda_transform.check_abi_version_1` or \
                 `redpanda_transform.check_abi_version_2`; unknown import \
                 `redpanda_transform.check_abi_version_3`, nearest is \
                 `redpanda_transform.check_abi_version_1`",
            ),
        ),
        (
            PULL.replace("(export \"memory\") 4", "(export \"memory\") i64 4"),
            not_redpanda("export `memory` is a 64-bit memory, a 32-bit one is needed"),
        ),
        (
            r#"(module (import "extism:host/env" "alloc" (func)))"#.to_owned(),
            not_yet("Extism plug-ins"),
        ),
        (
            r#"(module (import "env" "copy_records" (func)))"#.to_owned(),
            not_yet("Fluvio SmartModules"),
        ),
        (
            "(component)".to_owned(),
            not_component("no export `wstream:transform/guest@1.0.0`"),
        ),
        (
            r#"(component (import "wasi:http/types@0.3.0" (instance)))"#.to_owned(),
            not_component(
                "no export `wstream:transform/guest@1.0.0`; unknown import `wasi:http/types@0.3.0`",
            ),
        ),
        (
            r#"(component (import "wstream:transform/hosts@1.0.0" (instance $i))
              (export "wstream:transform/gues@1.0.0" (instance $i)))"#
                .to_owned(),
            not_component(
                "no export `wstream:transform/guest@1.0.0`, nearest is \
                 `wstream:transform/gues@1.0.0`; unknown import `wstream:transform/hosts@1.0.0`, \
                 nearest is `wstream:transform/host@1.0.0`",
            ),
        ),
    ]
}

#[test]
fn refusals_name_what_does_not_fit_and_what_is_nearest() {
    for (text, message) in [wrong_exports(), wrong_imports(), wrong_kinds()].concat() {
        assert_eq!(refusal(&text), message);
    }
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    let begins = |with: &str| {
        let wanted = "a module with the bytes 00 61 73 6d";
        format!("not a WebAssembly module: it begins with {with}, {wanted}")
    };
    let rows: [(&[u8], String); 4] = [
        (b"", begins("nothing")),
        (b"PK\x03\x04zip", begins("50 4b 03 04")),
        (b"(module)", begins("28 6d 6f 64")),
        (
            b"\0asm\x07\0\0\0",
            "not a valid module: unknown binary version: 0x7 (at offset 0x4)".to_owned(),
        ),
    ];
    for (bytes, message) in rows {
        let error = inspect(bytes).map(drop).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_thousand_problems_are_counted_not_listed() {
    let mut imports = String::new();
    for i in 0..1000 {
        write!(imports, r#"(import "x" "f{i}" (func))"#).unwrap();
    }
    let text = SMALLEST.replace("(module", &format!("(module {imports}"));
    let Err(ModuleError::Unsuitable { problems, .. }) = inspect(&wasm(&text)) else {
        panic!("it is not a transform");
    };
    assert_eq!(problems.len(), 21);
    assert_eq!(problems[0], "unknown import `x.f0`");
    assert_eq!(problems[20], "and 980 more");
}

/// What the module put there does not come back whole.
#[test]
fn long_texts_of_a_module_are_cut_in_messages() {
    let long = "x".repeat(100_000);
    let section = format!(r#"(@custom "wstream" "{{\"outputs\": \"{long}\"}}")"#);
    let import = format!(r#"(import "{long}" "{long}" (func))"#);
    let rows = [
        smallest_with(&section),
        SMALLEST.replace("(module", &format!("(module {import}")),
    ];
    for text in rows {
        let message = refusal(&text);
        assert!(message.len() < 500, "{}", message.len());
    }
}

/// A module cut off at any byte, through inspection and compiler.
#[tokio::test]
async fn a_module_cut_off_anywhere_is_refused() {
    let runtime = runtime();
    let whole = wasm(SMALLEST);
    for end in 0..whole.len() {
        let cut = runtime.compile(whole.slice(..end)).await;
        let error = cut.map(drop).unwrap_err();
        let as_expected = match end {
            0..4 => matches!(error, ModuleError::NotWasm(_)),
            // The empty module is a module, and so is one that ends before its exports.
            _ => matches!(
                error,
                ModuleError::Invalid(_) | ModuleError::Unsuitable { .. }
            ),
        };
        assert!(as_expected, "{end}: {error}");
    }
    assert!(runtime.compile(whole).await.is_ok());
}

#[tokio::test]
async fn code_that_does_not_validate_is_refused() {
    let wrong = SMALLEST.replace("(i64.const 0)", "(i32.const 0)");
    let bytes = wat::parse_str(&wrong).unwrap();
    assert!(inspect(&bytes).is_ok());
    let error = runtime().compile(bytes.into()).await.map(drop).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("type mismatch: expected i64, found i32"),
        "{error}"
    );
}

#[tokio::test]
async fn a_huge_module_is_refused_before_it_is_read() {
    let config = RuntimeConfig {
        module_bytes_max: ByteSize(1000),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let error = runtime
        .compile(vec![0; 1001].into())
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module has 1001 bytes, at most 1000 are taken"
    );
}

#[tokio::test]
async fn a_module_tells_its_metadata() {
    let section = r#"{"name":"titles","version":"1.2.0","description":"d","outputs":["default","rejected"],"config":{"type":"object"},"later":1}"#;
    let text = smallest_with(&format!("(@custom \"wstream\" {section:?})"));
    let bytes = wasm(&text);
    let module = runtime().compile(bytes.clone()).await.unwrap();
    let metadata = module.metadata();
    assert_eq!(metadata.name.as_deref(), Some("titles"));
    assert_eq!(metadata.version.as_deref(), Some("1.2.0"));
    assert_eq!(metadata.description.as_deref(), Some("d"));
    assert_eq!(metadata.outputs, ["default", "rejected"]);
    let schema = metadata.config_schema.as_ref().unwrap();
    assert_eq!(schema.get(), r#"{"type":"object"}"#);
    assert_eq!(module.kind(), Kind::WstreamV1);
    assert_eq!(module.size(), ByteSize(bytes.len() as u64));
    assert_eq!(module.sha256_hex().len(), 64);
    assert!(!module.inspection().cursor);
}

#[tokio::test]
async fn compiled_code_is_shared_and_cached_where_only_the_owner_writes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = RuntimeConfig {
        cache_dir: Some(cache.clone()),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config.clone()).unwrap();
    let mode = std::fs::metadata(&cache).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let first = runtime.compile(wasm(PROBE)).await.unwrap();
    let second = runtime.compile(wasm(PROBE)).await.unwrap();
    assert!(Arc::ptr_eq(&first.0, &second.0));
    assert!(std::fs::read_dir(&cache).unwrap().count() > 0);
    let again = Runtime::new(config)
        .unwrap()
        .compile(wasm(PROBE))
        .await
        .unwrap();
    let transform = Transform::new("t", &again, None, Limits::default());
    let mut instance = transform.instantiate().await.unwrap();
    assert_eq!(
        process_all(&mut instance, values(&["a"]))
            .await
            .outputs
            .len(),
        1
    );

    let config = RuntimeConfig {
        cache_dir: Some("/proc/no/such/place".into()),
        ..RuntimeConfig::default()
    };
    let error = Runtime::new(config).map(drop).unwrap_err().to_string();
    assert!(
        error.starts_with("could not use /proc/no/such/place for compiled modules:"),
        "{error}"
    );
}
