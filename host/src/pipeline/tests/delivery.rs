//! Order, positions, restarts, back-pressure, and what a pipeline says of itself.

use crate::sinks::SinkError;

use super::*;

#[tokio::test(start_paused = true)]
async fn records_arrive_in_order_and_positions_are_committed() {
    let node = Node::new(2).await;
    node.append(0, &["a", "b", "c"]).await;
    node.append(1, &["x"]).await;
    node.append(0, &["d"]).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(0), vec![], &memory(&target));
    let status = node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), numbered(&["a", "b", "c", "d"]));
    assert_eq!(stored(&target, 1), numbered(&["x"]));
    assert_eq!(status.state, PipelineState::Done);
    assert_eq!(
        (status.in_total, status.out_total, status.errors_total),
        (5, 5, 0)
    );
    assert_eq!((status.lag, status.error), (0, None));
    let found = [node.committed(&tp("in", 0)), node.committed(&tp("in", 1))];
    assert_eq!(found, [Some(4), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn transforms_drop_and_multiply_records_in_order() {
    let node = Node::new(1).await;
    node.append(0, &["a", "!d", "!2", "z"]).await;
    let (target, side) = (MemoryTarget::new(true), MemoryTarget::new(true));
    let sinks = [
        SinkTarget::memory("m", target.clone()),
        SinkTarget::memory("s", side.clone()),
    ];
    let mut config = config(2);
    for step in &mut config.transforms {
        step.outputs.insert("1".to_owned(), vec!["s".to_owned()]);
    }
    let steps = vec![node.probe("first").await, node.probe("second").await];
    let plan = node.plan(&config, steps, &sinks);
    let status = node.run_to_end(&plan).await;
    let expected = [(0, 0, "a"), (2, 0, "!2"), (3, 0, "z")].map(|(o, n, v)| (o, n, v.to_owned()));
    assert_eq!(stored(&target, 0), expected);
    // Each of the two steps gives one to its second output.
    let expected = [(2, 0, "!2"), (2, 1, "!2")].map(|(o, n, v)| (o, n, v.to_owned()));
    assert_eq!(stored(&side, 0), expected);
    let chosen: Vec<_> = side.stored().iter().map(|(_, r)| r.partition).collect();
    assert_eq!(chosen, [Some(PartitionId(7)), Some(PartitionId(7))]);
    assert_eq!((status.out_total, status.errors_total), (5, 0));
    let names: Vec<_> = status
        .transforms
        .iter()
        .map(|t| t.module.as_str())
        .collect();
    assert_eq!(names, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_in_two_routes_gets_one_stream_by_offset() {
    let node = Node::new(1).await;
    node.append(0, &["!2", "b", "!2"]).await;
    let target = MemoryTarget::new(true);
    let mut config = config(1);
    config.transforms[0]
        .outputs
        .insert("1".to_owned(), vec!["m".to_owned()]);
    let plan = node.plan(&config, vec![node.probe("probe").await], &memory(&target));
    node.run_to_end(&plan).await;
    let ids: Vec<_> = stored(&target, 0)
        .iter()
        .map(|(o, n, _)| (*o, *n))
        .collect();
    assert_eq!(ids, [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_repeats_only_what_the_sink_does_not_hold() {
    for once in [true, false] {
        let node = Node::new(1).await;
        let target = MemoryTarget::new(once);
        let plan = node.plan(&config(0), vec![], &memory(&target));
        node.append(0, &["a", "b"]).await;
        let pipeline = node.start(&plan);
        eventually(|| target.stored().len() == 2).await;
        // Nothing of what follows becomes durable.
        target.commit_by_hand();
        let submitted = target.submitted_bytes();
        node.append(0, &["c"]).await;
        eventually(|| target.submitted_bytes() > submitted).await;
        drop(pipeline);
        target.commit();
        node.append(0, &["d"]).await;
        node.run_to_end(&plan).await;
        let mut found = stored(&target, 0);
        if !once {
            found.sort();
            found.dedup();
        }
        assert_eq!(found, numbered(&["a", "b", "c", "d"]), "once: {once}");
        assert_eq!(node.committed(&tp("in", 0)), Some(4));
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_makes_durable_what_was_taken_and_the_next_start_goes_on() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(false);
    let plan = node.plan(&config(0), vec![], &memory(&target));
    target.commit_by_hand();
    node.append(0, &["a", "b"]).await;
    let pipeline = node.start(&plan);
    eventually(|| target.submitted_bytes() > 0).await;
    let status = pipeline.stop().await;
    assert_eq!(status.state, PipelineState::Idle);
    assert_eq!(node.committed(&tp("in", 0)), Some(2));
    node.append(0, &["c"]).await;
    node.run_to_end(&plan).await;
    assert_eq!(stored(&target, 0), numbered(&["a", "b", "c"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_durable_is_bounded() {
    let mut node = Node::new(2).await;
    node.deps.not_durable_bytes_max = ByteSize::kib(64);
    let target = MemoryTarget::new(true);
    target.commit_by_hand();
    let plan = node.plan(&config(0), vec![], &memory(&target));
    let pipeline = node.start(&plan);
    // Chunks are what one read finds: append, let it be taken, append again.
    let large = "x".repeat(20 << 10);
    for _ in 0..10 {
        node.append(0, &[&large]).await;
        node.append(1, &[&large]).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let bound = (64 << 10) + 2 * 10 * (20 << 10);
    let taken = target.submitted_bytes();
    assert!(taken >= 20 << 10 && taken <= bound, "{taken}");
    let all = 20 * (20 << 10);
    assert!(taken < all, "all {all} bytes were taken");
    target.commit();
    pipeline.drain();
    assert_eq!(pipeline.finished().await, PipelineState::Done);
    assert_eq!(target.stored().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_is_opened_again_and_nothing_is_lost() {
    let node = Node::new(1).await;
    node.append(0, &["a"]).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(0), vec![], &memory(&target));
    // Two opens fail, then a submit.
    let fails = || Some(SinkError::retry("disk is full"));
    target.script([fails(), fails(), None, fails()]);
    let pipeline = node.start(&plan);
    eventually(|| pipeline.status().state == PipelineState::Waiting).await;
    let waiting = pipeline.status();
    assert_eq!(waiting.error.as_deref(), Some("sink m: disk is full"));
    assert_eq!(waiting.lag, 1);
    eventually(|| target.stored().len() == 1).await;
    node.append(0, &["b"]).await;
    pipeline.drain();
    assert_eq!(pipeline.finished().await, PipelineState::Done);
    assert_eq!(stored(&target, 0), numbered(&["a", "b"]));
    assert_eq!(target.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_work_fails_the_pipeline() {
    let node = Node::new(2).await;
    node.append(0, &["a"]).await;
    let target = MemoryTarget::new(true);
    let plan = node.plan(&config(0), vec![], &memory(&target));
    target.script([Some(SinkError::fatal("no such folder"))]);
    let pipeline = node.start(&plan);
    assert_eq!(pipeline.finished().await, PipelineState::Failed);
    let error = pipeline.stop().await.error.unwrap();
    assert!(error.ends_with("sink m: no such folder"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn partitions_and_topics_that_come_later_are_read() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let mut config = config(0);
    config.from.push(topic("later"));
    let plan = node.plan(&config, vec![], &memory(&target));
    let pipeline = node.start(&plan);
    node.log
        .alter_topic(&topic("in"), TopicSpec::partitions(2))
        .await
        .unwrap();
    node.append(1, &["a"]).await;
    node.log
        .create_topic(&topic("later"), TopicSpec::default())
        .await
        .unwrap();
    let later = node.partition("later", 0);
    later.append(batch(&[record("b")])).await.unwrap();
    eventually(|| target.stored().len() == 2).await;
    // A sink has a record before it says that it is durable.
    let lags = || -> Vec<_> { pipeline.status().partitions.iter().map(|p| p.lag).collect() };
    eventually(|| lags() == [0, 0, 0]).await;
    node.log.delete_topic(&topic("later")).await.unwrap();
    eventually(|| pipeline.status().partitions.len() == 2).await;
    pipeline.drain();
    assert_eq!(pipeline.finished().await, PipelineState::Done);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_is_done_at_once() {
    let node = Node::new(1).await;
    let target = MemoryTarget::new(true);
    let mut config = config(0);
    config.from = vec![topic("missing")];
    let status = node
        .run_to_end(&node.plan(&config, vec![], &memory(&target)))
        .await;
    assert_eq!(status.state, PipelineState::Done);
    let status = node
        .run_to_end(&node.plan(&super::config(0), vec![], &memory(&target)))
        .await;
    assert_eq!(status.state, PipelineState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_position_past_the_end_is_told_and_records_are_not_skipped() {
    let node = Node::new(1).await;
    node.append(0, &["a"]).await;
    let commit = crate::groups::OffsetCommit {
        partition: tp("in", 0),
        offset: offset_of(9),
        metadata: String::new(),
    };
    node.deps
        .offsets
        .commit("wstream.pipeline.p", &[commit])
        .await
        .unwrap();
    let target = MemoryTarget::new(false);
    let status = node
        .run_to_end(&node.plan(&config(0), vec![], &memory(&target)))
        .await;
    assert_eq!(status.state, PipelineState::Failed);
    assert!(
        status
            .error
            .unwrap()
            .contains("position 9 is past the end 1")
    );
}

#[test]
fn plans_name_what_is_wrong() {
    let target = MemoryTarget::new(true);
    let mut config = config(0);
    config.to.push("titles-indx".to_owned());
    let known = [
        SinkTarget::memory("m", target.clone()),
        SinkTarget::memory("titles-index", target),
    ];
    let error = Plan::with_targets("p", &config, vec![], &known).unwrap_err();
    let message =
        "pipeline p names sink \"titles-indx\", which is not declared: is it \"titles-index\"?";
    assert_eq!(error.to_string(), message);
    config.from.clear();
    let error = Plan::with_targets("p", &config, vec![], &known).unwrap_err();
    assert!(error.to_string().contains("reads no topic"));
}
