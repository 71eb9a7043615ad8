//! Modules that misbehave, run by the real node: the record goes to the dead-letter topic with the
//! cause by name, its neighbours are delivered, the node's memory stays bounded.

use serde_json::Value;

use super::harness::{Node, NodeBuilder, write};
use super::hostile_rows::{header, records};

/// A guest that copies records through, and does `BAD` at any record whose value begins with `!`.
/// Frames: see guest-sdk/ABI.md. Input at 65536; output from 4 MiB; the cursor at 16.
const GUEST: &str = r#"(module
  (memory (export "memory") 128 1024)
  (global $out (mut i32) (i32.const 0))
  (func (export "wstream_abi_v1"))
  (func (export "wstream_alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "wstream_cursor") (result i32) (i32.const 16))
  (func $put8 (param i32) (i32.store8 (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $put32 (param i32) (i32.store (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 4))))
  (func $put64 (param i64) (i64.store (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 8))))
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func $skip (param $p i32) (result i32) (local $n i32)
    (local.set $n (i32.load (local.get $p)))
    (i32.add (i32.add (local.get $p) (i32.const 4))
      (select (local.get $n) (i32.const 0) (i32.gt_s (local.get $n) (i32.const 0)))))
  (func (export "wstream_process") (param $p i32) (param $len i32) (result i64)
    (local $i i32) (local $count i32) (local $body i32) (local $value i32) (local $end i32)
    (global.set $out (i32.const 4194304))
    (local.set $p (i32.add (local.get $p)
      (i32.add (i32.const 6) (i32.load16_u (local.get $p)))))
    (local.set $count (i32.load (local.get $p)))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (loop $next
      (i32.store (i32.const 16) (local.get $i))
      (local.set $body (i32.add (local.get $p) (i32.const 16)))
      (local.set $value (call $skip (local.get $body)))
      ;; These tests send no headers, so a count of 0 follows the value.
      (local.set $end (i32.add (call $skip (local.get $value)) (i32.const 4)))
      (if (i32.eq (i32.load8_u (i32.add (local.get $value) (i32.const 4))) (i32.const 33))
        (then BAD))
      (call $put32 (local.get $i)) (call $put8 (i32.const 0))
      (call $put8 (i32.const 0)) (call $put8 (i32.const 0)) (call $put32 (i32.const -1))
      (call $put64 (i64.const 0x8000000000000000))
      (memory.copy (global.get $out) (local.get $body)
        (i32.sub (local.get $end) (local.get $body)))
      (global.set $out (i32.add (global.get $out)
        (i32.sub (local.get $end) (local.get $body))))
      (local.set $p (local.get $end))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $count))))
    (i64.or (i64.shl (i64.const 4194304) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $out) (i32.const 4194304))))))"#;

/// (name, what the guest does, the failure's name)
const ROWS: &[(&str, &str, &str)] = &[
    ("loops", "(loop $l (br $l))", "timeout"),
    (
        "allocates",
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
        "memory",
    ),
    ("recurses", "(drop (call $recurse (i32.const 0)))", "trap"),
    ("traps", "unreachable", "trap"),
    ("reads-outside", "(drop (i32.load (i32.const -8)))", "trap"),
    (
        "wild-pointer",
        "(return (i64.const 0xfffffff000000100))",
        "bad_frame",
    ),
    (
        "huge-length",
        "(return (i64.const 0x0000001070000000))",
        "bad_frame",
    ),
    (
        "bad-kind",
        "(call $put32 (local.get $i)) (call $put8 (i32.const 9))",
        "bad_frame",
    ),
    (
        "bad-index",
        "(call $put32 (i32.const 77777)) (call $put8 (i32.const 0))",
        "bad_frame",
    ),
];

const CONFIG: &str = r#"
[topics.in]
partitions = 1
[pipelines.p]
from = ["in"]
transforms = [{ module = "./guest.wasm", limits = { time_per_record = "100ms" } }]
to = ["index"]
[sinks.index]
type = "search"
index = "out"
"#;

fn produce(node: &Node, values: &[&str]) {
    let lines: Vec<_> = values
        .iter()
        .map(|v| serde_json::json!({"value": v}).to_string())
        .collect();
    let path = "/api/v1/topics/in/records?partition=0";
    let answer = node.ask("POST", path, &[], lines.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn each_costs_its_own_record_and_nothing_more() {
    for (name, bad, cause) in ROWS {
        let dir = tempfile::tempdir().unwrap();
        let module =
            wat::parse_str(GUEST.replace("BAD", bad)).unwrap_or_else(|e| panic!("{name}: {e}"));
        write(dir.path(), "guest.wasm", module);
        let config = write(dir.path(), "wstream.toml", CONFIG);
        let node = NodeBuilder::new(&dir.path().join("data"))
            .file(&config)
            .start();
        produce(
            &node,
            &[
                r#"{"n":0}"#,
                r#"{"n":1}"#,
                "!bad",
                r#"{"n":3}"#,
                "!worse",
                r#"{"n":5}"#,
            ],
        );
        node.wait_count("out", 4);
        let dead = super::harness::until("dead letters", || {
            let dead = records(&node, "in.dlq");
            (dead.len() >= 2).then_some(dead)
        });
        let told: Vec<_> = dead
            .iter()
            .map(|r| {
                (
                    r["value"].as_str().unwrap(),
                    header(r, "wstream.error.code"),
                )
            })
            .collect();
        assert_eq!(told, [("!bad", *cause), ("!worse", *cause)], "{name}");
        assert_eq!(header(&dead[0], "wstream.error.offset"), "2", "{name}");
        assert_eq!(header(&dead[0], "wstream.error.pipeline"), "p", "{name}");
        assert!(
            memory_kib(&node) < 400 << 10,
            "{name}: {} KiB",
            memory_kib(&node)
        );
        let pipelines: Value = node.get("/api/v1/pipelines");
        assert_eq!(
            pipelines["pipelines"][0]["errors_total"], 2,
            "{name}: {pipelines}"
        );
    }
}

/// Peak resident memory of the node.
fn memory_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    peak.trim().split(' ').next().unwrap().parse().unwrap()
}
