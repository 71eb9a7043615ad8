//! A pipeline whose steps are a module of a Redpanda SDK, a component and a core module: what fails in
//! the last of them names that step and the record that went into the first.

use serde_json::{Value, json};

use super::harness::{NodeBuilder, plain_component, project, until, write};
use super::hostile_rows::{header, records};
use super::redpanda::module;

#[test]
fn a_failure_behind_other_tiers_names_its_step_and_the_original_record() {
    let (Some(split), Some(upper)) = (module("rust", "split"), plain_component()) else {
        return;
    };
    let filter = project().join("transforms/dist/filter.wasm");
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
[topics.in]
partitions = 1
[topics.out]
partitions = 1
[pipelines.chain]
from = ["in"]
to = ["out"]
transforms = [
  {{ module = "{}" }},
  {{ module = "{}" }},
  {{ module = "{}", config = {{ field = "LEVEL", op = "ne", value = "DEBUG" }} }},
]
[sinks.out]
type = "topic"
topic = "out"
"#,
        split.display(),
        upper.display(),
        filter.display()
    );
    let config = write(dir.path(), "wstream.toml", config);
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&config)
        .start();
    let values = [
        r#"{"items":[{"level":"info"},{"level":"debug"}]}"#,
        // The second element is no object: the last step fails on it, and the first one's output
        // must not be there either.
        r#"{"items":[{"level":"info","n":1},7,{"level":"warn"}]}"#,
        r#"{"items":[]}"#,
        "no JSON",
        r#"{"items":[{"level":"warn","n":2}]}"#,
    ];
    let lines = values.iter().enumerate().map(|(n, value)| {
        let record = json!({"key": format!("k{n}"), "value": value, "timestamp": 1_000 + n});
        format!("{record}\n")
    });
    let path = "/api/v1/topics/in/records?partition=0";
    let answer = node.ask("POST", path, &[], lines.collect::<String>().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());

    let dead = until("two dead letters", || {
        Some(records(&node, "in.dlq")).filter(|dead| dead.len() >= 2)
    });
    let out = until("the last record's output", || {
        Some(records(&node, "out")).filter(|out| out.len() >= 2)
    });
    let kept = |record: &Value| (record["key"].clone(), record["value"].clone());
    let expected = [
        (json!("k0"), json!(r#"{"LEVEL":"INFO"}"#)),
        (json!("k4"), json!(r#"{"LEVEL":"WARN","N":2}"#)),
    ];
    assert_eq!(out.iter().map(kept).collect::<Vec<_>>(), expected);

    let names = [
        "stage",
        "pipeline",
        "transform",
        "step",
        "code",
        "topic",
        "partition",
    ];
    let rows = [(1, "filter", "3", "1"), (3, "split", "1", "trap")];
    assert_eq!(dead.len(), rows.len());
    for (letter, (offset, transform, step, code)) in dead.iter().zip(rows) {
        let told = |name: &str| header(letter, &format!("wstream.error.{name}")).to_owned();
        let expected = ["transform", "chain", transform, step, code, "in", "0"];
        assert_eq!(names.map(told), expected);
        assert_eq!(told("offset"), offset.to_string());
        assert_eq!(told("timestamp"), (1_000 + offset).to_string());
        let original = (json!(format!("k{offset}")), json!(values[offset]));
        assert_eq!(kept(letter), original);
    }
}
