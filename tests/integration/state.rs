//! Keyed state of the real node across `kill -9`: every record is counted exactly once, whatever was
//! killed when, as the documents that the counts went into show.

use serde_json::{Value, json};

use super::harness::{NodeBuilder, until, write};

/// Counts the records of a partition in keyed state; a record becomes {"n":"000001"} and so on.
/// Frames: see guest-sdk/ABI.md. Input at 64 KiB, output from 4 MiB, the cursor at 16.
const COUNTER: &str = r#"(module
  (import "wstream_kv_v1" "get" (func $get (param i32 i32 i32 i32) (result i64)))
  (import "wstream_kv_v1" "put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 128)
  (data (i32.const 32) "n")
  (data (i32.const 64) "{\"n\":\"000000\"}")
  (func (export "wstream_abi_v1"))
  (func (export "wstream_cursor") (result i32) (i32.const 16))
  (func (export "wstream_alloc") (param i32) (result i32) (i32.const 65536))
  (func $digits (param $n i32)
    (local $at i32)
    (local.set $at (i32.const 75))
    (loop $next
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $next (i32.ge_u (local.get $at) (i32.const 70)))))
  (func (export "wstream_process") (param $p i32) (param $len i32) (result i64)
    (local $i i32) (local $count i32) (local $out i32) (local $n i32)
    (local.set $count (i32.load (i32.add
      (i32.add (local.get $p) (i32.load16_u (local.get $p))) (i32.const 6))))
    (local.set $out (i32.const 4194304))
    (loop $each
      (i32.store (i32.const 16) (local.get $i))
      (i32.store (i32.const 24) (i32.const 0))
      (drop (call $get (i32.const 32) (i32.const 1) (i32.const 24) (i32.const 4)))
      (local.set $n (i32.add (i32.load (i32.const 24)) (i32.const 1)))
      (i32.store (i32.const 24) (local.get $n))
      (if (call $put (i32.const 32) (i32.const 1) (i32.const 24) (i32.const 4) (i64.const 0))
        (then (unreachable)))
      (call $digits (local.get $n))
      (i32.store (local.get $out) (local.get $i))
      (i32.store8 offset=4 (local.get $out) (i32.const 0))
      (i32.store16 offset=5 (local.get $out) (i32.const 0))
      (i32.store offset=7 (local.get $out) (i32.const -1))
      (i64.store offset=11 (local.get $out) (i64.const 0x8000000000000000))
      (i32.store offset=19 (local.get $out) (i32.const -1))
      (i32.store offset=23 (local.get $out) (i32.const 14))
      (memory.copy (i32.add (local.get $out) (i32.const 27)) (i32.const 64) (i32.const 14))
      (i32.store offset=41 (local.get $out) (i32.const 0))
      (local.set $out (i32.add (local.get $out) (i32.const 45)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (local.get $count))))
    (i64.or (i64.const 0x40000000000000)
      (i64.extend_i32_u (i32.sub (local.get $out) (i32.const 4194304)))))
)"#;

const CONFIG: &str = r#"
[topics.in]
[pipelines.p]
from = ["in"]
transforms = [{ module = "counter.wasm" }]
to = ["counts"]
[sinks.counts]
type = "search"
index = "counts"
"#;

const KILLS: usize = 6;
const RECORDS: usize = 1_000;

#[test]
fn kills_count_nothing_twice_and_forget_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "counter.wasm", wat::parse_str(COUNTER).unwrap());
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let mut builder = NodeBuilder::new(&dir.path().join("data")).file(&config);
    for kill in 0..KILLS {
        let node = builder.start();
        let lines: String = (0..RECORDS)
            .map(|n| format!("{{\"value\":\"{n}\"}}\n"))
            .collect();
        let answer = node.ask("POST", "/api/v1/topics/in/records", &[], lines.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Sometimes before anything is searchable, sometimes in the middle, sometimes behind it.
        let wanted = [0, 1, RECORDS / 2, RECORDS][kill % 4] + kill.saturating_sub(1) * RECORDS;
        until("some documents", || {
            let answer = node.search("GET", "/counts/_count", "");
            let count = answer.json()["count"].as_u64().unwrap_or(0);
            (count >= wanted as u64).then_some(())
        });
        builder = node.kill();
    }
    let node = builder.start();
    node.wait_count("counts", (KILLS * RECORDS) as u64);
    let body = json!({"size": 10_000, "query": {"match_all": {}}}).to_string();
    let found = node.search("POST", "/counts/_search", &body).json();
    let hits = found["hits"]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), KILLS * RECORDS);
    for hit in hits {
        let offset: usize = id(hit).parse().unwrap();
        assert_eq!(hit["_source"]["n"], format!("{:06}", offset + 1), "{hit}");
    }
}

/// The offset in `TOPIC-PARTITION-OFFSET`.
fn id(hit: &Value) -> String {
    let id = hit["_id"].as_str().unwrap();
    id.rsplit('-').next().unwrap().to_owned()
}
