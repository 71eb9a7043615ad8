//! Modules that are none, or that misbehave: what the node answers, and what it has afterwards.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder, THROUGH_M, project, until, write};
use super::hostile_rows::{header, records, values};
use super::storage_faults::SmallDisk;

/// A transform that drops every record.
const SMALLEST: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "wstream_abi_v1"))
  (func (export "wstream_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "wstream_process") (param i32 i32) (result i64) (i64.const 0))
)"#;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A Redpanda module with this `_start`.
fn program(start: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module (import "redpanda_transform" "check_abi_version_2" (func))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1) (func (export "_start") {start}))"#
    ))
}

fn put(node: &Node, name: &str, module: &[u8]) -> (u16, Value) {
    let path = format!("/api/v1/transforms/{name}");
    let answer = node.ask("PUT", &path, &[], module);
    (answer.status, answer.json())
}

/// Files of modules, uploads under way included.
fn files(node_data: &Path) -> usize {
    let files = std::fs::read_dir(node_data.join("modules")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).count()
}

#[test]
fn what_is_no_module_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    let whole = wasm(SMALLEST);
    let mut large = b"\0asm\x01\0\0\0".to_vec();
    large.resize(200 << 20, 0);
    let import = r#"(import "wstream_v1" "logs" (func (param i32 i32 i32)))"#;
    let rows: [(&str, Vec<u8>, u16, &str, &str); 8] = [
        (
            "200 MB",
            large,
            413,
            "too_large",
            "the module is larger than 64MiB",
        ),
        (
            "nothing",
            Vec::new(),
            422,
            "bad_module",
            "not a WebAssembly module: it begins with nothing",
        ),
        (
            "a zip",
            b"PK\x03\x04".to_vec(),
            422,
            "bad_module",
            "it begins with 50 4b 03 04",
        ),
        (
            "cut off",
            whole[..whole.len() / 2].to_vec(),
            422,
            "bad_module",
            "not a valid module",
        ),
        (
            "an unknown import",
            wasm(&SMALLEST.replace("(module", &format!("(module {import}"))),
            422,
            "bad_module",
            "unknown import `wstream_v1.logs`, nearest is `wstream_v1.log`",
        ),
        (
            "memory64",
            wasm(&SMALLEST.replace("\"memory\") 1", "\"memory\") i64 1")),
            422,
            "bad_module",
            "export `memory` is a 64-bit memory, a 32-bit one is needed",
        ),
        (
            "a marker alone",
            wasm(r#"(module (func (export "wstream_abi_v1")))"#),
            422,
            "bad_module",
            "no export `memory`; no export `wstream_alloc` of type (i32) -> i32; no export \
             `wstream_process` of type (i32, i32) -> i64",
        ),
        (
            "an empty component",
            wasm("(component)"),
            422,
            "bad_module",
            "not a transform component: no export `wstream:transform/guest@1.0.0`",
        ),
    ];
    for (what, module, status, code, message) in rows {
        let (got, answer) = put(&node, "m", &module);
        let error = &answer["error"];
        assert_eq!(got, status, "{what}: {answer}");
        assert_eq!(error["code"], code, "{what}: {answer}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(message), "{what}: {said}");
        assert_eq!(files(&data), 0, "{what}");
    }
    assert_eq!(node.get("/api/v1/transforms")["modules"], json!([]));
    assert_eq!(put(&node, "m", &whole).0, 201);
}

/// They are modules, and no pipeline can start them.
#[test]
fn what_does_not_start_is_stored_and_the_version_before_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    assert_eq!(put(&node, "m", &wasm(SMALLEST)).0, 201);
    drop(node.stop());
    let config = write(dir.path(), "wstream.toml", THROUGH_M);
    let node = NodeBuilder::new(&data).file(&config).start();
    let body = |body: &str| wasm(&SMALLEST.replace("(func (export \"wstream_abi_v1\"))", body));
    let marker = "(func (export \"wstream_abi_v1\"))";
    let deep = format!(
        "{marker} (func $r (param i64) (result i64) (i64.add (call $r (local.get 0)) (i64.const 1)))
         (func (export \"_initialize\") (drop (call $r (i64.const 1))))"
    );
    let traps = format!("{marker} (func (export \"_initialize\") (unreachable))");
    let rows: [(Vec<u8>, &str); 5] = [
        (
            program(""),
            "_start ended with exit: it returned before it asked for records",
        ),
        (
            program("(call $exit (i32.const 7))"),
            "_start ended with exit: proc_exit(7)",
        ),
        (
            program("(unreachable)"),
            "_start ended with trap: wasm `unreachable`",
        ),
        (
            body(&traps),
            "_initialize ended with trap: wasm `unreachable`",
        ),
        (
            body(&deep),
            "_initialize ended with trap: call stack exhausted",
        ),
    ];
    for (number, (module, message)) in (2..).zip(rows) {
        let (status, answer) = put(&node, "m", &module);
        assert_eq!(status, 409, "{answer}");
        assert_eq!(answer["error"]["code"], "not_activated");
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
        let module = node.get("/api/v1/transforms/m");
        assert_eq!(module["active"], 1);
        assert_eq!(module["versions"].as_array().unwrap().len(), number);
    }
    let status = node.get("/api/v1/pipelines/p");
    assert_ne!(status["state"], "failed", "{status}");
}

#[test]
fn an_upload_that_is_cut_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    let module = wasm(SMALLEST);
    let address = node.http();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "PUT /api/v1/transforms/m HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        module.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&module[..module.len() / 2]).unwrap();
    until("the upload to begin", || (files(&data) == 1).then_some(()));
    drop(stream);
    until("the upload to be gone", || {
        (files(&data) == 0).then_some(())
    });
    assert_eq!(node.get("/api/v1/transforms")["modules"], json!([]));
    assert_eq!(put(&node, "m", &module).0, 201);
}

#[test]
fn a_version_whose_file_is_gone_cannot_be_activated() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    let (_, first) = put(&node, "m", &wasm(SMALLEST));
    let other = SMALLEST.replace("(i32.const 8)", "(i32.const 16)");
    assert_eq!(put(&node, "m", &wasm(&other)).1["version"], 2);
    let file = format!("{}.wasm", first["sha256"].as_str().unwrap());
    std::fs::remove_file(data.join("modules").join(file)).unwrap();
    let path = "/api/v1/transforms/m/versions/1/activate";
    let answer = node.ask("POST", path, &[], b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "file_gone");
    let message = "the file of m@1 is gone: upload the module again";
    assert_eq!(answer.json()["error"]["message"], message);
    assert_eq!(node.get("/api/v1/transforms/m")["active"], 2);
    // The same bytes again are the same version, with its file.
    let (status, again) = put(&node, "m", &wasm(SMALLEST));
    assert_eq!((status, &again["version"]), (200, &json!(1)));
    assert_eq!(node.get("/api/v1/transforms/m")["active"], 1);
}

/// What is stored stays, what does not fit is refused and leaves nothing.
#[test]
fn a_full_disk_refuses_an_upload() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 48) else {
        return;
    };
    let data = disk.0.join("data");
    let builder = NodeBuilder::new(&data).arg("--disk-free-min").arg("1MiB");
    let node = builder.start();
    // A custom section of 7 MiB that differs.
    let module = |n: usize| {
        let padding = format!("{n:07}").repeat(1 << 20);
        wasm(&SMALLEST.replace(
            "(module",
            &format!("(module (@custom \"pad\" \"{padding}\")"),
        ))
    };
    let mut stored = 0;
    let refused = until("a refusal", || {
        let (status, answer) = put(&node, "m", &module(stored));
        if status == 201 {
            stored += 1;
            return None;
        }
        Some((status, answer))
    });
    assert_eq!(refused.0, 507, "{}", refused.1);
    assert_eq!(refused.1["error"]["code"], "disk_full", "{}", refused.1);
    assert!(stored > 0);
    assert_eq!(files(&data), stored);
    let versions = node.get("/api/v1/transforms/m")["versions"].clone();
    assert_eq!(versions.as_array().unwrap().len(), stored);
    // A small one fits.
    assert_eq!(put(&node, "small", &wasm(SMALLEST)).0, 201);
}

/// `WSTREAM_UPLOADS` of them, 300 where nobody asks for more.
#[test]
fn many_uploads_in_a_row_leave_one_version_for_each_module() {
    let uploads = std::env::var("WSTREAM_UPLOADS").ok();
    let uploads: usize = uploads.and_then(|n| n.parse().ok()).unwrap_or(300);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    let module = |n: usize| wasm(&SMALLEST.replace("(i32.const 8)", &format!("(i32.const {n})")));
    let modules: Vec<_> = (1..=10).map(module).collect();
    for n in 0..uploads {
        let (status, answer) = put(&node, "m", &modules[n % 10]);
        let expected = if n < 10 { 201 } else { 200 };
        assert_eq!(status, expected, "{answer}");
        assert_eq!(answer["version"], n % 10 + 1);
    }
    let module = node.get("/api/v1/transforms/m");
    assert_eq!(module["versions"].as_array().unwrap().len(), 10);
    assert_eq!(files(&data), 10);
}

/// A kind of module, one that misbehaves as a record asks, and records with what must become of
/// them.
struct Hostile {
    tier: &'static str,
    module: Vec<u8>,
    rows: &'static [(&'static str, &'static str)],
}

fn hostile() -> [Hostile; 3] {
    let guests = project().join("host/crates/transform/guests");
    let text = |name: &str| std::fs::read_to_string(guests.join(name)).unwrap();
    [
        Hostile {
            tier: "core",
            module: wasm(&text("probe.wat")),
            rows: &[
                ("!t", "trap"),
                ("!l", "timeout"),
                ("!m", "memory"),
                ("!x", "exit"),
                ("!b", "bad_frame"),
            ],
        },
        Hostile {
            tier: "redpanda",
            module: wasm(&text("pull.wat")),
            rows: &[
                ("!t", "trap"),
                ("!l", "timeout"),
                ("!m", "memory"),
                ("!x", "exit"),
                ("!R", "exit"),
            ],
        },
        Hostile {
            tier: "component",
            module: component(&text("component.wat")),
            rows: &[
                ("!t", "trap"),
                ("!l", "timeout"),
                ("!m", "memory"),
                ("!r", "trap"),
                ("!f", "42"),
            ],
        },
    ]
}

impl Hostile {
    fn config(&self) -> String {
        let tier = self.tier;
        let limits = r#"{ time_per_record = "100ms", memory = "8MiB" }"#;
        // The probes have a second output.
        let outputs = match tier {
            "redpanda" => ", output_topics = [\"first\"]",
            _ => "",
        };
        format!(
            r#"
            [topics.{tier}-in]
            [topics.{tier}-out]
            [pipelines.{tier}]
            from = ["{tier}-in"]
            transforms = [{{ module = "{tier}", limits = {limits}{outputs} }}]
            to = ["{tier}-out"]
            [sinks.{tier}-out]
            type = "topic"
            topic = "{tier}-out"
            "#
        )
    }

    /// Each bad record stands behind a good one, and a good one ends them.
    fn produce(&self, node: &Node) {
        let mut values = Vec::new();
        for (number, (value, _)) in self.rows.iter().enumerate() {
            values.extend([format!("before {number}"), (*value).to_owned()]);
        }
        values.push("last".to_owned());
        let lines = values
            .iter()
            .map(|v| format!("{}\n", json!({"key": "k", "value": v})));
        let path = format!("/api/v1/topics/{}-in/records", self.tier);
        let body: String = lines.collect();
        assert_eq!(node.ask("POST", &path, &[], body.as_bytes()).status, 200);
    }

    fn check(&self, node: &Node) {
        let tier = self.tier;
        let out = until("the last record", || {
            let out = values(node, &format!("{tier}-out"));
            out.last().is_some_and(|v| v == "last").then_some(out)
        });
        let mut expected: Vec<_> = (0..self.rows.len())
            .map(|n| format!("before {n}"))
            .collect();
        expected.push("last".to_owned());
        assert_eq!(out, expected, "{tier}");
        let letters = records(node, &format!("{tier}-in.dlq"));
        let all = |name: &str| -> Vec<String> {
            let headers = letters
                .iter()
                .map(|l| header(l, &format!("wstream.error.{name}")));
            headers.map(str::to_owned).collect()
        };
        let codes: Vec<_> = self
            .rows
            .iter()
            .map(|(_, code)| (*code).to_owned())
            .collect();
        assert_eq!(all("code"), codes, "{tier}");
        let offsets: Vec<_> = (0..self.rows.len())
            .map(|n| (2 * n + 1).to_string())
            .collect();
        assert_eq!(all("offset"), offsets, "{tier}");
        assert_eq!(all("version"), vec!["1"; self.rows.len()], "{tier}");
    }
}

/// What a pipeline makes of records that a module misbehaves on, for each kind of module.
#[test]
fn a_hostile_record_costs_itself_in_every_tier() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    let all = hostile();
    for hostile in &all {
        assert_eq!(
            put(&node, hostile.tier, &hostile.module).0,
            201,
            "{}",
            hostile.tier
        );
    }
    drop(node.stop());
    let config: String = all.iter().map(Hostile::config).collect();
    let config = write(dir.path(), "wstream.toml", config);
    let node = NodeBuilder::new(&data).file(&config).start();
    all.iter().for_each(|hostile| hostile.produce(&node));
    all.iter().for_each(|hostile| hostile.check(&node));
}

fn component(text: &str) -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(project().join("guest-sdk/wit")).unwrap();
    let world = resolve.select_world(&[package], Some("transform")).unwrap();
    let mut module = wasm(text);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.validate(true).encode().unwrap()
}
