//! Pipelines into the real sinks: files, topics and indices, across crashes.

use std::collections::BTreeMap;

use crate::sinks::conformance::file_config;
use crate::sinks::{PartitionBy, SearchSinkConfig, SinkConfig, TopicSinkConfig};

use super::*;

const DAY_MILLIS: i64 = 86_400_000;

fn plan(node: &Node, sink: SinkConfig) -> Plan {
    let sinks = BTreeMap::from([("m".to_owned(), sink)]);
    let plan = Plan::new("p", &config(0), vec![], &sinks);
    assert_eq!(plan.as_ref().unwrap().transforms().count(), 0);
    assert!(node.log.topic(&topic("in")).is_some());
    plan.unwrap()
}

async fn append_json(node: &Node, from: i64, count: i64) {
    let records = (from..from + count).map(|i| Record {
        timestamp: Timestamp(TIME + DAY_MILLIS * (i % 3)),
        ..record(&format!(r#"{{"i":{i}}}"#))
    });
    let records: Vec<Record> = records.collect();
    node.partition("in", 0)
        .append(batch(&records))
        .await
        .unwrap();
}

#[tokio::test]
async fn files_hold_each_record_once_and_their_names_say_which() {
    let node = Node::new(1).await;
    let dir = node.world.dir.path().join("out");
    let plan = plan(&node, SinkConfig::File(file_config(&dir, 200)));
    append_json(&node, 0, 50).await;
    let pipeline = node.start(&plan);
    eventually(|| {
        pipeline
            .status()
            .partitions
            .iter()
            .any(|p| p.position.0 > 20)
    })
    .await;
    drop(pipeline);
    append_json(&node, 50, 30).await;
    let status = node.run_to_end(&plan).await;
    assert_eq!(status.state, PipelineState::Done, "{status:?}");
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let range = name
            .strip_prefix("in-0-")
            .unwrap()
            .strip_suffix(".jsonl")
            .unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 200, "{name} has {} bytes", text.len());
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        found.insert(
            first.parse::<i64>().unwrap(),
            (last.parse::<i64>().unwrap(), lines),
        );
    }
    let mut next = 0;
    for (first, (last, lines)) in found {
        assert_eq!(first, next, "files follow each other");
        let expected: Vec<String> = (first..=last).map(|i| format!(r#"{{"i":{i}}}"#)).collect();
        assert_eq!(lines, expected);
        next = last + 1;
    }
    assert_eq!(next, 80);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_finished_at_its_age() {
    let node = Node::new(1).await;
    let dir = node.world.dir.path().join("out");
    let plan = plan(&node, SinkConfig::File(file_config(&dir, 1 << 20)));
    append_json(&node, 0, 3).await;
    let began = tokio::time::Instant::now();
    let pipeline = node.start(&plan);
    let name = dir.join("in-0-0-2.jsonl");
    eventually(|| name.exists()).await;
    let age = began.elapsed().as_secs();
    assert!((60..70).contains(&age), "{age}");
    // The position is committed with the next tick.
    eventually(|| node.committed(&tp("in", 0)) == Some(3)).await;
    drop(pipeline);
}

#[tokio::test]
async fn a_topic_sink_partitions_by_key_and_by_choice() {
    // murmur2("foobar") is 0xd0e4_3c7e: positive part modulo 8 is 6.
    let by_key = [(1, "null"), (1, "!2"), (6, "keyed"), (7, "!2")];
    check_places(PartitionBy::Key, &by_key).await;
}

#[tokio::test]
async fn a_topic_sink_keeps_the_partition_of_the_input_where_that_is_wanted() {
    let by_input = [(1, "keyed"), (1, "null"), (1, "!2"), (7, "!2")];
    check_places(PartitionBy::Input, &by_input).await;
}

/// Where records with a key, without one, and with a partition of the transform's choice end up:
/// from partition 1 of 2 in a topic of 8.
async fn check_places(partition_by: PartitionBy, expected: &[(i32, &str)]) {
    let node = Node::new(2).await;
    node.log
        .create_topic(&topic("out"), TopicSpec::partitions(8))
        .await
        .unwrap();
    let sink = SinkConfig::Topic(TopicSinkConfig {
        topic: topic("out"),
        partition_by,
    });
    let sinks = BTreeMap::from([("m".to_owned(), sink)]);
    let mut config = config(1);
    config.transforms[0]
        .outputs
        .insert("1".to_owned(), vec!["m".to_owned()]);
    let plan = Plan::new("p", &config, vec![node.probe("probe").await], &sinks).unwrap();
    let keyed = Record {
        key: Some(Bytes::from_static(b"foobar")),
        ..record("keyed")
    };
    let null = Record {
        key: None,
        ..record("null")
    };
    let chosen = Record {
        key: None,
        ..record("!2")
    };
    node.partition("in", 1)
        .append(batch(&[keyed, null, chosen]))
        .await
        .unwrap();
    node.run_to_end(&plan).await;
    let mut found = Vec::new();
    for partition in 0..8 {
        for stored in node.read("out", partition).await {
            found.push((partition, value(&stored.record)));
        }
    }
    let found: Vec<_> = found.iter().map(|(p, v)| (*p, v.as_str())).collect();
    assert_eq!(found, expected);
}

async fn documents(node: &Node, target: &str) -> Vec<(String, u64)> {
    let list = node.world.deps.search.list(target).await.unwrap();
    list.into_iter().map(|i| (i.name, i.documents)).collect()
}

#[tokio::test]
async fn one_partition_feeds_many_indices_once_across_crashes() {
    let node = Node::new(1).await;
    let index = "day-%{+yyyyMMdd}".to_owned();
    let plan = plan(
        &node,
        SinkConfig::Search(SearchSinkConfig { index, id: None }),
    );
    append_json(&node, 0, 300).await;
    for crash in 0..3 {
        let pipeline = node.start(&plan);
        let before = node.world.deps.metrics.sink("m").records.get();
        eventually(|| node.world.deps.metrics.sink("m").records.get() > before).await;
        drop(pipeline);
        append_json(&node, 300 + crash * 100, 100).await;
    }
    let status = node.run_to_end(&plan).await;
    assert_eq!(status.state, PipelineState::Done, "{status:?}");
    // 2025-10-09 and the two days after.
    let expected = ["day-20251009", "day-20251010", "day-20251011"].map(|n| (n.to_owned(), 200));
    assert_eq!(documents(&node, "day-*").await, expected);
    assert_eq!(node.committed(&tp("in", 0)), Some(600));
}

#[tokio::test]
async fn an_index_holds_the_position_and_a_deleted_one_is_built_again() {
    let node = Node::new(1).await;
    let index = "all".to_owned();
    let plan = plan(
        &node,
        SinkConfig::Search(SearchSinkConfig { index, id: None }),
    );
    append_json(&node, 0, 100).await;
    node.partition("in", 0)
        .append(batch(&[record("no JSON")]))
        .await
        .unwrap();
    let status = node.run_to_end(&plan).await;
    assert_eq!(
        (status.state, status.errors_total),
        (PipelineState::Done, 1),
        "{status:?}"
    );
    assert_eq!(documents(&node, "all").await, [("all".to_owned(), 100)]);
    let letters = node.read("in.dlq", 0).await;
    assert_eq!(value(&letters[0].record), "no JSON");
    assert_eq!(
        letters[0].record.header("wstream.error.code").unwrap(),
        "document"
    );
    node.world.deps.search.delete_index("all").await.unwrap();
    node.run_to_end(&plan).await;
    assert_eq!(documents(&node, "all").await, [("all".to_owned(), 100)]);
}
