//! Bad rows: dead-lettered with line number and reason, counted, the rest delivered, memory bounded.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::harness::{Node, NodeBuilder, write};

const CONFIG: &str = r#"
[topics.rows]
partitions = 1
[sources.rows]
type = "csv"
path = "rows.csv"
topic = "rows"
[pipelines.rows]
from = ["rows"]
to = ["index"]
[sinks.index]
type = "search"
index = "rows"
"#;

/// Every record of a topic.
pub fn records(node: &Node, topic: &str) -> Vec<Value> {
    let lines = node
        .ask("GET", &format!("/api/v1/topics/{topic}/records"), &[], b"")
        .text();
    lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// The values of a topic's records, all of them text.
pub fn values(node: &Node, topic: &str) -> Vec<String> {
    let value = |record: &Value| record["value"].as_str().unwrap().to_owned();
    records(node, topic).iter().map(value).collect()
}

/// A header's text.
pub fn header<'a>(record: &'a Value, name: &str) -> &'a str {
    let headers = record["headers"]
        .as_array()
        .unwrap_or_else(|| panic!("no headers: {record}"));
    let found = headers.iter().find(|h| h[0] == name);
    found
        .and_then(|h| h[1].as_str())
        .unwrap_or_else(|| panic!("no header {name}: {record}"))
}

fn run(dir: &Path, rows: &[u8]) -> Node {
    write(dir, "rows.csv", rows);
    let config = write(dir, "wstream.toml", CONFIG);
    let builder = NodeBuilder::new(&dir.join("data")).file(&config);
    let output = builder.once();
    assert_eq!(output.code, 0, "{}", output.stderr);
    builder.start()
}

#[test]
fn each_bad_row_is_a_dead_letter_with_its_line_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let rows = b"id,name\n1,good\n2\n3,too,many\n4,\"two\nlines\"\n5,\xff\xfe\n6,good\n7,\"never closed\n8,good\n";
    let node = run(dir.path(), rows);
    let dead = records(&node, "rows.dlq");
    let found: Vec<_> = dead
        .iter()
        .map(|r| {
            (
                header(r, "wstream.error.line"),
                header(r, "wstream.error.message").to_owned(),
            )
        })
        .collect();
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, ["3", "4", "7", "9"], "{found:?}");
    for (record, reason) in dead.iter().zip(["column", "column", "UTF-8", "quote"]) {
        let message = header(record, "wstream.error.message");
        assert!(
            message.contains(reason),
            "{message:?} does not say {reason:?}"
        );
        assert_eq!(header(record, "wstream.error.stage"), "source");
        assert!(header(record, "wstream.error.file").ends_with("rows.csv"));
    }
    let ids: Vec<_> = records(&node, "rows")
        .iter()
        .map(|r| serde_json::from_str::<Value>(r["value"].as_str().unwrap()).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["1", "4", "6", "8"]);
    assert_eq!(node.count("rows"), 4);
    let sources = node.get("/api/v1/sources");
    assert!(sources["sources"][0]["state"] == "done", "{sources}");
}

#[test]
fn a_row_of_100_mb_costs_neither_memory_nor_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    file.write_all(b"id,name\n1,good\n2,\"").unwrap();
    let block = [b'x'; 1 << 20];
    (0..100).for_each(|_| file.write_all(&block).unwrap());
    file.write_all(b"\"\n3,good\n").unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let builder = NodeBuilder::new(&dir.path().join("data")).file(&config);
    let node = builder.start();
    node.wait_count("rows", 2);
    let dead = records(&node, "rows.dlq");
    assert_eq!(dead.len(), 1);
    assert_eq!(header(&dead[0], "wstream.error.line"), "3");
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().split(' ').next().unwrap().parse().unwrap();
    assert!(peak < 300 << 10, "peak memory {peak} KiB");
}
