//! Versions that are tried before they serve: on trial with outputs held back, as a shadow beside
//! the version in service, over a range into a side topic.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder, Output, THROUGH_M, until, write, wstream};
use super::hostile_rows::{records, values};

/// The host's probe: with `fails`, a value that begins with "!f" fails; without, all are copied.
fn module(dir: &Path, name: &str, fails: bool) -> PathBuf {
    let probe = super::harness::project().join("host/crates/transform/guests/probe.wat");
    let text = std::fs::read_to_string(probe).unwrap();
    let never = text.replace("(i32.const 0x21)", "(i32.const 0x01)");
    assert_ne!(never, text);
    let text = if fails { text } else { never };
    write(dir, name, wat::parse_str(text).unwrap())
}

fn command(node: &Node, args: &[&str]) -> Output {
    let base = format!("http://{}", node.http());
    Output::of(wstream(["transform"]).args(args).args(["--node", &base]))
}

fn started(dir: &Path) -> Node {
    let bare = NodeBuilder::new(&dir.join("data"));
    let node = bare.start();
    let first = module(dir, "first.wasm", false);
    assert_eq!(
        command(&node, &["push", "m", first.to_str().unwrap()]).code,
        0
    );
    drop(node.stop());
    let config = write(dir, "wstream.toml", THROUGH_M);
    NodeBuilder::new(&dir.join("data")).file(&config).start()
}

fn produce(node: &Node, values: impl Iterator<Item = String>) {
    let lines: String = values
        .map(|v| format!("{}\n", json!({"key": "k", "value": v})))
        .collect();
    let answer = node.ask("POST", "/api/v1/topics/in/records", &[], lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn active(node: &Node) -> Value {
    node.get("/api/v1/transforms/m")["active"].clone()
}

fn numbered(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn a_version_that_fails_too_much_on_trial_leaves_no_trace_but_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path());
    produce(&node, numbered("a", 0..10).into_iter());
    until("ten records", || {
        (values(&node, "out").len() == 10).then_some(())
    });
    let bad = module(dir.path(), "bad.wasm", true);
    let output = command(
        &node,
        &["push", "m", bad.to_str().unwrap(), "--trial", "100"],
    );
    assert!(
        output.stdout.starts_with("m@2: on trial"),
        "{}{}",
        output.stdout,
        output.stderr
    );
    // Half of a hundred fail, and one in twenty may.
    let mixed = (0..50).flat_map(|n| [format!("a1{n}"), format!("!f{n}")]);
    let mixed: Vec<String> = mixed.collect();
    produce(&node, mixed.clone().into_iter());
    until("the version before", || (active(&node) == 1).then_some(()));
    let expected = [numbered("a", 0..10), mixed].concat();
    let out = until("all records", || {
        let out = values(&node, "out");
        (out.len() >= expected.len()).then_some(out)
    });
    assert_eq!(out, expected);
    assert!(
        node.ask("GET", "/api/v1/topics/in.dlq/records", &[], b"")
            .status
            == 404
            || records(&node, "in.dlq").is_empty()
    );
    let trial = node.get("/api/v1/transforms/m")["trial"].clone();
    assert_eq!(trial["verdict"], "rolled_back", "{trial}");
    assert!(trial["failed"].as_u64().unwrap() > 5, "{trial}");
}

#[test]
fn a_version_that_does_well_on_trial_goes_on_with_what_was_held_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path());
    let bad = module(dir.path(), "bad.wasm", true);
    let args = [
        "push",
        "m",
        bad.to_str().unwrap(),
        "--trial",
        "40",
        "--fail-percent",
        "10",
    ];
    assert_eq!(command(&node, &args).code, 0);
    produce(&node, numbered("a", 0..20).into_iter());
    until("half of the trial", || {
        let trial = node.get("/api/v1/transforms/m")["trial"].clone();
        (trial["records"] == 20).then_some(())
    });
    assert_eq!(values(&node, "out"), [""; 0]);
    produce(&node, numbered("a", 20..39).into_iter());
    produce(&node, std::iter::once("!f".to_owned()));
    let out = until("what was held back", || {
        let out = values(&node, "out");
        (out.len() >= 39).then_some(out)
    });
    assert_eq!(out, numbered("a", 0..39));
    assert_eq!(
        node.get("/api/v1/transforms/m")["trial"]["verdict"],
        "passed"
    );
    assert_eq!(active(&node), 2);
    until("the failed record", || {
        (records(&node, "in.dlq").len() == 1).then_some(())
    });
}

#[test]
fn a_node_that_dies_in_a_trial_begins_with_the_version_before() {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path());
    let bad = module(dir.path(), "bad.wasm", true);
    let args = ["push", "m", bad.to_str().unwrap(), "--trial", "40"];
    assert_eq!(command(&node, &args).code, 0);
    let mixed: Vec<String> = (0..10)
        .flat_map(|n| [format!("a{n}"), format!("!f{n}")])
        .collect();
    // One failure of twenty is allowed, so the verdict is out while there are few records.
    produce(&node, mixed[..1].iter().cloned());
    until("the trial", || {
        let trial = node.get("/api/v1/transforms/m")["trial"].clone();
        (trial["records"] == 1).then_some(())
    });
    assert_eq!((active(&node), values(&node, "out")), (json!(2), vec![]));
    let node = node.kill().start();
    assert_eq!(active(&node), 1);
    node.wait_for_line("the node ended while the version was on trial");
    produce(&node, mixed[1..].iter().cloned());
    let out = until("all records", || {
        let out = values(&node, "out");
        (out.len() >= mixed.len()).then_some(out)
    });
    assert_eq!(out, mixed);
}

#[test]
fn a_shadow_reports_what_differs_and_leaves_the_pipeline_alone() {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path());
    let bad = module(dir.path(), "bad.wasm", true);
    let path = "/api/v1/transforms/m/versions/2/shadow?records=30&seconds=60";
    let push = ["push", "m", bad.to_str().unwrap(), "--no-activate"];
    assert_eq!(command(&node, &push).code, 0);
    let answer = node.ask("POST", path, &[], b"");
    assert_eq!(answer.status, 202, "{}", answer.text());
    let mixed = (0..15).flat_map(|n| [format!("a{n}"), format!("!f{n}")]);
    produce(&node, mixed);
    let report = until("the shadow to end", || {
        let report = node.get("/api/v1/transforms/m")["rehearsal"].clone();
        (report["done"] == true).then_some(report)
    });
    let counts = [
        &report["records"],
        &report["failed"],
        &report["failed_in_service"],
        &report["differing"],
    ];
    assert_eq!(
        counts,
        [&json!(30), &json!(15), &json!(0), &json!(15)],
        "{report}"
    );
    let differences = report["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 10);
    assert_eq!(differences[0]["offset"], 1);
    assert_eq!(differences[0]["in_service"][0]["value"], "!f0");
    let error = json!([{"error": {"code": "42", "message": "as asked"}}]);
    assert_eq!(differences[0]["version"], error);
    until("all records", || {
        (values(&node, "out").len() == 30).then_some(())
    });
    assert_eq!(active(&node), 1);
    let none = node.ask("POST", &path.replace("/m/", "/other/"), &[], b"");
    assert_eq!(none.status, 409, "{}", none.text());
}

#[test]
fn a_range_is_replayed_into_a_topic_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let node = started(dir.path());
    let mixed = (0..10).flat_map(|n| [format!("a{n}"), format!("!f{n}")]);
    produce(&node, mixed);
    until("all records", || {
        (values(&node, "out").len() == 20).then_some(())
    });
    let bad = module(dir.path(), "bad.wasm", true);
    let args = [
        "push",
        "m",
        bad.to_str().unwrap(),
        "--from",
        "10",
        "--into",
        "side",
    ];
    let output = command(&node, &args);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stdout.contains("10 records, 5 failed"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("5 records written"),
        "{}",
        output.stdout
    );
    assert_eq!(values(&node, "side"), numbered("a", 5..10));
    assert_eq!((values(&node, "out").len(), active(&node)), (20, json!(1)));
    let into_itself = [
        "push",
        "m",
        bad.to_str().unwrap(),
        "--from",
        "0",
        "--into",
        "in",
    ];
    let output = command(&node, &into_itself);
    assert!(
        output.stderr.contains("reads topic in"),
        "{}",
        output.stderr
    );
}
