//! Keyed state across restarts: whatever is killed when, each record sees exactly what the records
//! before it left.

use wstream_log::{Cleanup, Commit};

use crate::sinks::SinkError;

use super::model::Random;
use super::*;

/// Counts each key and answers the count; see its comment.
const KEYED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/transform/guests/keyed.wat"
));
const STATE: &str = "__wstream_state.p.in";

async fn counter(node: &Node) -> Transform {
    let wasm = wat::parse_str(KEYED).unwrap();
    let module: Module = node.runtime.compile(wasm.into()).await.unwrap();
    Transform::new("counter", &module, None, Limits::default())
}

/// The same, but keeps 16 KiB for each record of a call.
async fn hoarder(node: &Node) -> Transform {
    let count = "(local.get $key) (i32.const 1) (i32.const 24) (i32.const 1) (i64.const 0)";
    let hoard = "(i32.const 16) (i32.const 4) (i32.const 0) (i32.const 16384) (i64.const 0)";
    assert!(KEYED.contains(&format!("$put {count}")));
    let text = KEYED.replace(&format!("$put {count}"), &format!("$put {hoard}"));
    let wasm = wat::parse_str(text).unwrap();
    let module: Module = node.runtime.compile(wasm.into()).await.unwrap();
    Transform::new("hoarder", &module, None, Limits::default())
}

/// The count as the guest writes it.
fn digit(n: usize) -> String {
    char::from(b'0' + u8::try_from(n).unwrap()).to_string()
}

/// What comes of values, in order: the count of those that did not fail.
fn counted(values: &[String]) -> Vec<(i64, u32, String)> {
    let kept = (0..).zip(values).filter(|(_, v)| !v.starts_with('!'));
    let numbered = (1..).zip(kept);
    numbered.map(|(n, (o, _))| (o, 0, digit(n))).collect()
}

fn limits(failed_percent: f64) -> TrialLimits {
    TrialLimits {
        records: 100,
        failed_percent,
        time: std::time::Duration::from_secs(60),
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

/// Kills the pipeline once `records` are in the target and before it hears of it.
async fn deliver_and_kill(node: &Node, plan: &Plan, target: &MemoryTarget, records: usize) {
    target.commit_unheard();
    let pipeline = node.start(plan);
    eventually(|| stored(target, 0).len() == records).await;
    drop(pipeline);
    target.commit();
}

#[tokio::test(start_paused = true)]
async fn state_goes_on_after_a_restart_from_where_the_sinks_are() {
    let node = Node::new(2).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a", "b", "!f"]).await;
    node.append(1, &["x"]).await;
    node.run_to_end(&plan).await;
    node.append(0, &["c", "!t", "d"]).await;
    node.run_to_end(&plan).await;
    let values = owned(&["a", "b", "!f", "c", "!t", "d"]);
    assert_eq!(stored(&target, 0), counted(&values));
    assert_eq!(stored(&target, 1), counted(&owned(&["x"])));
    let topic = node.log.topic(&topic(STATE)).unwrap();
    assert_eq!(topic.config.partitions, 2);
}

#[tokio::test(start_paused = true)]
async fn state_is_not_stored_ahead_of_the_sinks() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a", "b"]).await;
    node.run_to_end(&plan).await;
    let before = node.read(STATE, 0).await.len();
    target.commit_by_hand();
    let submitted = target.submitted_bytes();
    let pipeline = node.start(&plan);
    node.append(0, &["c"]).await;
    eventually(|| target.submitted_bytes() > submitted).await;
    assert_eq!(node.read(STATE, 0).await.len(), before);
    drop(pipeline);
    // What the sink lost is worked on again, with the state it had then.
    target.commit();
    node.append(0, &["d"]).await;
    node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), counted(&owned(&["a", "b", "c", "d"])));
}

/// The sink holds records of which nothing else is stored: they are worked on again for the state.
#[tokio::test(start_paused = true)]
async fn a_kill_before_state_was_ever_stored_forgets_nothing() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a", "b"]).await;
    deliver_and_kill(&node, &plan, &target, 2).await;
    node.append(0, &["c"]).await;
    deliver_and_kill(&node, &plan, &target, 3).await;
    node.append(0, &["d"]).await;
    node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), counted(&owned(&["a", "b", "c", "d"])));
}

/// State that a pipeline gets later begins where the pipeline is, and stays there.
#[tokio::test(start_paused = true)]
async fn state_that_is_added_begins_where_the_sinks_are() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(
        &config(1),
        vec![node.probe("probe").await],
        &memory(&target),
    );
    node.append(0, &["a", "b"]).await;
    node.run_to_end(&plan).await;
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["c"]).await;
    deliver_and_kill(&node, &plan, &target, 3).await;
    node.append(0, &["d"]).await;
    node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), numbered(&["a", "b", "1", "2"]));
}

/// A log that does not take the state's beginning.
#[tokio::test(start_paused = true)]
async fn nothing_is_handed_over_before_the_state_can_be_stored() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    let name = topic(STATE);
    let created = node.log.create_topic(&name, TopicSpec::partitions(1));
    created.await.unwrap();
    let state = node.partition(STATE, 0);
    state.set_offline("told to");
    node.append(0, &["a"]).await;
    let pipeline = node.start(&plan);
    eventually(|| pipeline.status().state == PipelineState::Waiting).await;
    assert_eq!((target.submitted_bytes(), stored(&target, 0)), (0, vec![]));
    state.lead(state.marks().leader_epoch, Commit::Alone);
    pipeline.drain();
    assert_eq!(pipeline.finished().await, PipelineState::Done);
    assert_eq!(stored(&target, 0), counted(&owned(&["a"])));
}

/// What can never be stored is told, and the pipeline does not go on without it.
#[tokio::test(start_paused = true)]
async fn a_stretch_that_is_too_large_fails_the_pipeline_and_says_so() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    // The beginning fits, the count does not.
    let small = TopicSpec::partitions(1).max_message_bytes(ByteSize(85));
    node.log.create_topic(&topic(STATE), small).await.unwrap();
    node.append(0, &["a"]).await;
    let status = node.run_to_end(&plan).await;
    assert_eq!(status.state, PipelineState::Failed);
    let error = status.error.unwrap();
    for part in ["below offset 1 ", "at most 85 ", "keyed state"] {
        assert!(error.contains(part), "{error}");
    }
}

/// A change as it is stored.
fn change(key: &'static [u8], value: &[u8]) -> Record {
    Record {
        key: Some(Bytes::from_static(key)),
        value: Some(Bytes::from([&[0xff; 8][..], value].concat())),
        ..record("")
    }
}

/// A part of the log was lost: nobody knows of which position the rest is.
#[tokio::test(start_paused = true)]
async fn state_without_a_position_does_not_count() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    let name = topic(STATE);
    let created = node.log.create_topic(&name, TopicSpec::partitions(1));
    created.await.unwrap();
    let state = node.partition(STATE, 0);
    let lost = batch(&[change(b"\x00\x07counterk", b"7")]);
    state.append(lost).await.unwrap();
    for value in ["a", "b", "c"] {
        node.append(0, &[value]).await;
        node.run_to_end(&plan).await;
    }
    assert_eq!(stored(&target, 0), counted(&owned(&["a", "b", "c"])));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_keyed_state_fails_the_pipeline_and_says_where() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a"]).await;
    node.run_to_end(&plan).await;
    let state = node.partition(STATE, 0);
    state.append(batch(&[change(b"\x00", b"7")])).await.unwrap();
    let at = state.marks().log_end.0 - 1;
    let status = node.run_to_end(&plan).await;
    let error = status.error.unwrap();
    assert!(error.contains(&format!("at offset {at}")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn state_begins_anew_when_a_sink_begins_before_it() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a", "b"]).await;
    node.run_to_end(&plan).await;
    let fresh = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&fresh));
    node.append(0, &["c"]).await;
    node.run_to_end(&plan).await;
    assert_eq!(stored(&fresh, 0), counted(&owned(&["a", "b", "c"])));
}

/// What a version on trial wrote goes with it.
#[tokio::test(start_paused = true)]
async fn a_trial_that_is_rolled_back_leaves_state_and_sinks_alone() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(false);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    node.append(0, &["a"]).await;
    node.run_to_end(&plan).await;
    let trial = Trial::new("counter", limits(10.0));
    let mut tried = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    tried.set_trial(trial.clone());
    let pipeline = node.start(&tried);
    node.append(0, &["b", "!f", "c"]).await;
    eventually(|| trial.status().records == 3).await;
    assert_eq!(trial.status().verdict, None);
    node.append(0, &["!f"; 10]).await;
    assert_eq!(trial.decided().await, Verdict::RolledBack);
    pipeline.stop().await;
    assert_eq!(stored(&target, 0).len(), 1);
    node.run_to_end(&plan).await;
    let values = [owned(&["a", "b", "!f", "c"]), owned(&["!f"; 10])].concat();
    assert_eq!(stored(&target, 0), counted(&values));
}

/// Nothing of it has left the pipeline, so its state never began.
#[tokio::test(start_paused = true)]
async fn a_trial_that_is_rolled_back_does_not_begin_state() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(false);
    let trial = Trial::new("counter", limits(1.0));
    let mut plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    plan.set_trial(trial.clone());
    let pipeline = node.start(&plan);
    node.append(0, &["!f"; 100]).await;
    assert_eq!(trial.decided().await, Verdict::RolledBack);
    pipeline.stop().await;
    assert_eq!(node.read(STATE, 0).await, []);
}

/// Few records in a long time decide as well.
#[tokio::test(start_paused = true)]
async fn a_trial_ends_with_its_time_and_what_was_held_goes_on() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let trial = Trial::new("counter", limits(50.0));
    let mut plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    plan.set_trial(trial.clone());
    let pipeline = node.start(&plan);
    node.append(0, &["a", "!f", "b"]).await;
    eventually(|| trial.status().records == 3).await;
    assert_eq!(stored(&target, 0), []);
    eventually(|| stored(&target, 0).len() == 2).await;
    assert_eq!(trial.status().verdict, Some(Verdict::Passed));
    drop(pipeline);
    assert_eq!(stored(&target, 0), counted(&owned(&["a", "!f", "b"])));
}

/// Clearing that takes several batches is all or nothing, wherever it is cut off.
#[tokio::test(start_paused = true)]
async fn state_that_is_cleared_in_parts_never_comes_back() {
    for kept in 0..4 {
        let node = Node::new(1).await;
        let target = MemoryTarget::new(true);
        let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
        node.append(0, &["a", "b"]).await;
        node.run_to_end(&plan).await;
        // Large keys of a transform that is gone, and a bound that holds two of them.
        let state = node.partition(STATE, 0);
        for n in 0..6_u8 {
            let mut junk = change(b"", b"");
            junk.key = Some([b"\x00\x04gone", &[n; 1000][..]].concat().into());
            state.append(batch(&[junk])).await.unwrap();
        }
        let small = TopicSpec::partitions(1)
            .cleanup(Cleanup::Compact)
            .max_message_bytes(ByteSize(2_500));
        node.log.alter_topic(&topic(STATE), small).await.unwrap();
        let before = state.marks().log_end;
        let fresh = MemoryTarget::new(true);
        let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&fresh));
        node.append(0, &["c"]).await;
        drop(node.run_to_end(&plan).await);
        let written = node.read(STATE, 0).await;
        let written = written.iter().filter(|r| r.offset >= before);
        let positions = written.filter(|r| r.record.key.as_deref() == Some(b""));
        let parts: Vec<_> = positions.map(|r| r.record.value.clone().unwrap()).collect();
        assert_eq!(parts.iter().take_while(|p| p.len() == 9).count(), 2);
        // As a kill leaves it behind one of the parts.
        let Some(cut) = parts.get(kept).filter(|part| part.len() == 9) else {
            assert_eq!(stored(&fresh, 0), counted(&owned(&["a", "b", "c"])));
            continue;
        };
        let position = Record {
            value: Some(cut.clone()),
            ..change(b"", b"")
        };
        let stale = change(b"\x00\x07counterk", b"7");
        state.append(batch(&[stale, position])).await.unwrap();
        let again = MemoryTarget::new(true);
        let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&again));
        node.run_to_end(&plan).await;
        assert_eq!(stored(&again, 0), counted(&owned(&["a", "b", "c"])));
    }
}

#[tokio::test(start_paused = true)]
async fn the_topic_keeps_the_last_of_each_key() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![counter(&node).await], &memory(&target));
    let values = vec!["a"; 9];
    for value in &values {
        node.append(0, &[value]).await;
        node.run_to_end(&plan).await;
        node.log.maintain().await;
    }
    let bytes = node.partition(STATE, 0).stats().bytes;
    assert!(bytes < ByteSize(200), "{bytes}");
    assert_eq!(stored(&target, 0), counted(&owned(&values)));
}

/// Writes so much for a record that a chunk has to be stored in parts.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_changes_much_is_stored_in_parts() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(1), vec![hoarder(&node).await], &memory(&target));
    let values = vec!["x"; 3_000];
    node.append(0, &values).await;
    node.run_to_end(&plan).await;
    assert_eq!(
        stored(&target, 0).len(),
        3_000,
        "{:?}",
        node.read("in.dlq", 0).await.first()
    );
    let positions = node.read(STATE, 0).await;
    let positions = positions
        .iter()
        .filter(|r| r.record.key.as_deref() == Some(b""));
    let positions: Vec<_> = positions.map(|r| r.record.value.clone().unwrap()).collect();
    assert!(positions.len() > 2, "{positions:?}");
    assert!(positions.is_sorted());
    let last = i64::from_be_bytes(positions.last().unwrap()[..].try_into().unwrap());
    assert_eq!(last, 3_000);
}

/// Appends, kills, stops and failing sinks, against a count.
async fn sequence(seed: u64) {
    let mut random = Random::new(seed);
    let node = Node::new(1).await;
    let (once, often) = (MemoryTarget::new(true), MemoryTarget::new(false));
    let sinks = [
        SinkTarget::memory("m", once.clone()),
        SinkTarget::memory("often", often.clone()),
    ];
    let mut config = config(1);
    // Without a sink that follows the group, nothing but the state says where to go on.
    let alone = seed.is_multiple_of(2);
    if !alone {
        config.to.push("often".to_owned());
    }
    let plan = node.plan(&config, vec![counter(&node).await], &sinks);
    let mut appended: Vec<String> = Vec::new();
    while appended.len() < 60 {
        let values = (0..=random.below(6)).map(|_| match random.below(8) {
            0 => "!f",
            1 => "!t",
            _ => "ok",
        });
        let values: Vec<&str> = values.collect();
        node.append(0, &values).await;
        appended.extend(values.into_iter().map(str::to_owned));
        if random.below(3) == 0 {
            often.commit_by_hand();
        }
        if random.below(3) == 0 {
            once.commit_unheard();
        }
        for target in [&once, &often] {
            let failures = (0..random.below(4)).map(|_| match random.below(3) {
                0 => Some(SinkError::retry("told to")),
                _ => None,
            });
            target.script(failures.collect::<Vec<_>>());
        }
        let pipeline = node.start(&plan);
        for _ in 0..random.below(3000) {
            tokio::task::yield_now().await;
        }
        match random.below(3) {
            0 => drop(pipeline.stop().await),
            _ => drop(pipeline),
        }
        often.commit();
        once.commit();
    }
    for target in [&once, &often] {
        target.script(Vec::new());
    }
    node.run_to_end(&plan).await;
    let expected = counted(&appended);
    assert_eq!(stored(&once, 0), expected, "seed {seed}");
    if alone {
        return;
    }
    let mut distinct = stored(&often, 0);
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct, expected, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn random_sequences_agree_with_a_count() {
    for seed in 1..=40 {
        sequence(seed).await;
    }
}
