//! Topics and documents, in memory and over restarts.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{
    BatchBuilder, ByteSize, Clock, ManualClock, Offset, PartitionId, ProducerEpoch, ProducerId,
    ProducerStamp, Record, RecordBatch, Sequence, Timestamp, TopicId, TopicName, TopicPartition,
};

use crate::errors::StoreError;
use crate::metadata::Command;
use crate::store::{LogStore, PartitionKey};
use crate::testing::{Call, Node, batch_of};
use crate::{
    AppendError, Cleanup, Durability, FreeSpace, Log, LogConfig, Metadata, Partition, Problem,
    TopicError, TopicSpec, Upto, Waiter,
};

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

#[test]
fn topics_are_created_once_and_grow() {
    let node = Node::new(1);
    let topic = name("t");
    let create = |spec| node.run(node.log.create_topic(&topic, spec));
    let created = create(TopicSpec::partitions(2)).unwrap();
    assert_eq!(created.config.partitions, 2);
    assert!(matches!(
        create(TopicSpec::partitions(2)),
        Err(TopicError::Exists(_))
    ));
    let partition = |n| {
        let name = TopicPartition::new(topic.clone(), PartitionId(n));
        node.log.partition(&name)
    };
    assert!(partition(1).is_some() && partition(2).is_none() && partition(-1).is_none());
    assert_eq!(partition(0).unwrap().topic_id(), created.id);
    let appended = node.run(partition(0).unwrap().append(batch_of(3, 10, None)));
    assert_eq!(appended.unwrap().next_offset, Offset(3));
    let alter = |partitions| {
        let alter = node
            .log
            .alter_topic(&topic, TopicSpec::partitions(partitions));
        node.run(alter)
    };
    alter(3).unwrap();
    assert!(partition(2).is_some());
    assert_eq!(partition(0).unwrap().marks().log_end, Offset(3));
    assert!(matches!(
        alter(1),
        Err(TopicError::FewerPartitions { has: 3, .. })
    ));
    for wrong in [0, -1, crate::PARTITIONS_MAX + 1] {
        let refused = node.run(
            node.log
                .create_topic(&name("x"), TopicSpec::partitions(wrong)),
        );
        assert!(matches!(refused, Err(TopicError::Partitions { .. })));
    }
    assert_eq!(node.log.topics().len(), 1);
}

#[test]
fn settings_reach_the_partitions() {
    let node = Node::new(2);
    let partition = node.partition("t", TopicSpec::default());
    let small = TopicSpec::default().max_message_bytes(ByteSize(500));
    node.run(partition.append(batch_of(1, 1_000, None)))
        .unwrap();
    node.run(node.log.alter_topic(&name("t"), small)).unwrap();
    let refused = node.run(partition.append(batch_of(1, 1_000, None)));
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    let partition = node.restart(3).existing("t");
    assert_eq!(partition.marks().log_end, Offset(1));
}

#[test]
fn a_deleted_topic_is_gone_and_has_nothing_to_do_with_its_successor() {
    let node = Node::new(4);
    let old = node.partition("t", TopicSpec::default());
    node.run(old.append(batch_of(1, 10, None))).unwrap();
    let queued = node.run(old.submit(batch_of(1, 10, None))).unwrap();
    node.run(node.log.delete_topic(&name("t"))).unwrap();
    assert!(node.log.topic(&name("t")).is_none());
    let refused = [
        node.run(queued).unwrap_err(),
        node.run(old.append(batch_of(1, 10, None))).unwrap_err(),
    ];
    for refused in refused {
        assert!(matches!(refused, AppendError::Closed), "{refused}");
    }
    let missing = node.run(node.log.delete_topic(&name("t")));
    assert!(matches!(missing, Err(TopicError::Unknown(_))));
    let new = node.partition("t", TopicSpec::default());
    assert_ne!(new.topic_id(), old.topic_id());
    assert_eq!(new.marks().log_end, Offset(0));
    node.run(new.append(batch_of(2, 10, None))).unwrap();
    assert_eq!(node.restart(5).existing("t").marks().log_end, Offset(2));
}

#[test]
fn a_deletion_that_was_cut_off_is_finished_later_or_at_the_next_start() {
    for restart in [false, true] {
        let mut node = Node::new(6);
        let old = node.partition("t", TopicSpec::default());
        node.run(old.append(batch_of(1, 10, None))).unwrap();
        let failed = || Err(StoreError::failed("test", "memory", &"wanted by the test"));
        node.store.before(Call::Flush, failed);
        node.run(node.log.delete_topic(&name("t"))).unwrap();
        assert!(node.log.topic(&name("t")).is_none());
        let problems = node.log.health();
        assert_eq!(problems, [Problem::NotRemoved { partitions: 1 }]);
        // The successor is not affected by what comes then.
        let new = node.partition("t", TopicSpec::default());
        node.run(new.append(batch_of(3, 10, None))).unwrap();
        if restart {
            node = node.restart(7);
        } else {
            node.run(node.log.maintain());
        }
        assert_eq!(node.log.health(), []);
        let key = old.key();
        assert_eq!(node.store.bytes(key).0, 0);
        assert_eq!(node.existing("t").marks().log_end, Offset(3));
    }
}

#[test]
fn data_of_unknown_topics_is_kept_and_told() {
    let node = Node::new(8);
    let partition = node.partition("t", TopicSpec::default());
    node.run(partition.append(batch_of(5, 10, None))).unwrap();
    let (key, topic): (_, TopicId) = (partition.key(), partition.topic_id());
    let metadata = node.metadata.clone();
    let forgetful = Node {
        metadata: Metadata::in_memory(),
        ..node
    };
    let node = forgetful.restart(9);
    assert!(node.log.topics().is_empty());
    let told = Problem::UnknownTopic {
        topic,
        partitions: 1,
    };
    assert_eq!(node.log.health(), [told]);
    node.run(node.log.maintain());
    assert!(node.store.bytes(key).0 > 0);
    // What is derived from it is not lost either, though the stream rolls meanwhile.
    node.store.roll_if_older(0, -1);
    let other = node.partition("u", TopicSpec::default());
    for _ in 0..2 {
        node.run(other.append(batch_of(1, 10, None))).unwrap();
    }
    let found = Node { metadata, ..node }.restart(10).existing("t");
    assert_eq!(found.marks().log_end, Offset(5));
    assert_eq!(found.epochs().len(), 1);
}

#[test]
fn ten_thousand_partitions_are_created_and_deleted_as_one_group() {
    let node = Node::new(11);
    let topic = name("wide");
    node.run(node.log.create_topic(&topic, TopicSpec::partitions(10_000)))
        .unwrap();
    let partitions = node.log.partitions(&topic);
    let tickets: Vec<_> = partitions
        .iter()
        .map(|p| node.run(p.submit(batch_of(1, 10, None))).unwrap())
        .collect();
    for ticket in tickets {
        node.run(ticket).unwrap();
    }
    node.run(node.log.delete_topic(&topic)).unwrap();
    assert_eq!(node.log.health(), []);
    let held = partitions.iter().map(|p| node.store.bytes(p.key()).0);
    assert_eq!(held.sum::<u64>(), 0);
}

#[test]
fn a_write_that_does_not_come_back_is_told() {
    let node = Node::new(12);
    let partition = node.partition("t", TopicSpec::default());
    let (log, time) = (node.log.clone(), node.time.clone());
    let max = node.config.flush_wait_max;
    node.store.before(Call::Flush, move || {
        time.advance(max);
        assert_eq!(log.health(), []);
        time.advance(Duration::from_secs(2));
        let health = log.health();
        assert!(
            matches!(
                health[..],
                [Problem::Stuck {
                    stream: 0,
                    seconds: 32
                }]
            ),
            "{health:?}"
        );
        Ok(())
    });
    node.run(partition.append(batch_of(1, 10, None))).unwrap();
    assert_eq!(node.log.health(), []);
}

#[tokio::test]
async fn a_log_on_threads_takes_appends_of_many_tasks() {
    let log = Log::in_memory(Clock::system());
    let topic = name("t");
    log.create_topic(&topic, TopicSpec::partitions(16))
        .await
        .unwrap();
    let tasks: Vec<_> = log
        .partitions(&topic)
        .into_iter()
        .map(|partition| {
            tokio::spawn(async move {
                for n in 0..50 {
                    let appended = partition.append(batch_of(1, 100, None)).await.unwrap();
                    assert_eq!(appended.base_offset, Offset(n));
                }
                partition.marks().high_watermark
            })
        })
        .collect();
    // A reader hears of each of them through one waiter.
    let mut waiter = Waiter::new();
    let mut read = [0; 16];
    for partition in &log.partitions(&topic) {
        waiter.watch(partition, Offset(0), Upto::HighWatermark);
    }
    while read != [50; 16] {
        for ready in waiter.wait().await {
            let partition = log.partition(&ready).unwrap();
            let at = usize::try_from(ready.partition.0).unwrap();
            let fetch = partition.fetch(Offset(read[at]), ByteSize(500), Upto::HighWatermark, None);
            let fetched = fetch.await.unwrap();
            assert!(fetched.next > Offset(read[at]));
            read[at] = fetched.next.0;
            if fetched.next < Offset(50) {
                waiter.watch(&partition, fetched.next, Upto::HighWatermark);
            }
        }
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Offset(50));
    }
    assert_eq!(log.health(), []);
    let ids = [
        log.allocate_producer_id().await.unwrap(),
        log.allocate_producer_id().await.unwrap(),
    ];
    assert_ne!(ids[0], ids[1]);
    log.close().await;
    log.close().await;
}

async fn open(dir: &Path) -> Log {
    let config = LogConfig {
        dir: dir.to_owned(),
        disk_free_min: ByteSize(0),
        durability: Durability::Disk,
        ..LogConfig::default()
    };
    Log::open(config, Clock::system()).await.unwrap()
}

fn partition(log: &Log, topic: &TopicName, number: i32) -> Partition {
    let name = TopicPartition::new(topic.clone(), PartitionId(number));
    log.partition(&name).unwrap()
}

fn stamped(sequence: i32) -> RecordBatch {
    let stamp = ProducerStamp {
        id: ProducerId(5),
        epoch: ProducerEpoch(0),
        sequence: Sequence(sequence),
    };
    batch_of(2, 100, Some(stamp))
}

#[tokio::test]
async fn topics_records_and_producers_survive_a_restart() {
    for cleanly in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let topic = name("t");
        let spec = TopicSpec::partitions(3)
            .retention_bytes(Some(ByteSize::gib(1)))
            .defined_in_file(true);
        let created = {
            let log = open(dir.path()).await;
            let created = log.create_topic(&topic, spec).await.unwrap();
            for (number, count) in [(0, 1), (2, 4)] {
                for n in 0..count {
                    let appended = partition(&log, &topic, number).append(stamped(n * 2)).await;
                    assert_eq!(appended.unwrap().base_offset, Offset(i64::from(n * 2)));
                }
            }
            if cleanly {
                log.close().await;
            }
            created
        };
        let log = open(dir.path()).await;
        assert_eq!(log.topic(&topic).unwrap(), created);
        let marks = [0, 1, 2].map(|n| partition(&log, &topic, n).marks());
        assert_eq!(
            marks.map(|m| m.high_watermark.0),
            [2, 0, 8],
            "cleanly {cleanly}"
        );
        let third = partition(&log, &topic, 2);
        assert!(third.epochs()[0].epoch < marks[2].leader_epoch);
        assert_eq!(third.next_sequence(ProducerId(5)), Some(Sequence(8)));
        let again = third.append(stamped(4)).await.unwrap();
        assert!(again.duplicate && again.base_offset == Offset(4));
        let gap = third.append(stamped(10)).await.unwrap_err();
        assert!(matches!(gap, AppendError::OutOfOrderSequence { expected, .. } if expected.0 == 8));
        let fetch = third.fetch(Offset(3), ByteSize::mib(1), Upto::LastStable, None);
        assert_eq!(fetch.await.unwrap().batches().unwrap().len(), 3);
        let found = third.offset_for(Timestamp(0)).await.unwrap();
        assert_eq!(found, Some((Offset(0), Timestamp(1_000))));
        let next = third.append(stamped(8)).await.unwrap();
        assert_eq!(next.base_offset, Offset(8));
        assert_eq!((log.health(), log.missing()), (vec![], vec![]));
    }
}

/// A batch with one record of this key.
fn keyed(key: &'static str) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        timestamp: Timestamp(1_000),
        key: Some(Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        ..Record::default()
    });
    builder.finish(None).expect("it has a record")
}

#[tokio::test]
async fn compaction_reaches_what_is_older_than_the_shortest_segment_ms() {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    // The default is a week.
    for (segment_age, left) in [(Some(minutes(10)), vec![2, 3]), (None, vec![0, 1, 2, 3])] {
        let dir = tempfile::tempdir().unwrap();
        let time = ManualClock::new(Timestamp(1_000_000));
        let config = LogConfig {
            dir: dir.path().to_owned(),
            disk_free_min: ByteSize(0),
            ..LogConfig::default()
        };
        let log = Log::open(config.clone(), time.clock()).await.unwrap();
        let topic = name("t");
        let spec = TopicSpec::default().cleanup(Cleanup::Compact);
        let spec = match segment_age {
            Some(age) => spec.segment_age(age),
            None => spec,
        };
        log.create_topic(&topic, spec).await.unwrap();
        let written = partition(&log, &topic, 0);
        for key in ["a", "a", "a"] {
            written.append(keyed(key)).await.unwrap();
        }
        time.advance(minutes(10));
        log.maintain().await;
        written.append(keyed("b")).await.unwrap();
        log.maintain().await;
        log.close().await;
        // What is in memory need not know yet.
        let log = Log::open(config, time.clock()).await.unwrap();
        let partition = partition(&log, &topic, 0);
        let fetch = partition.fetch(Offset(0), ByteSize::mib(1), Upto::HighWatermark, None);
        let batches = fetch.await.unwrap().batches().unwrap();
        let offsets: Vec<i64> = batches.iter().map(|b| b.header().base_offset.0).collect();
        assert_eq!(offsets, left, "{segment_age:?}");
        assert_eq!(partition.stats().records, left.len() as u64);
        assert_eq!(partition.marks().log_end, Offset(4));
        log.close().await;
    }
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_on_disk_is_finished_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, deleted) = (name("kept"), name("deleted"));
    let key = {
        let log = open(dir.path()).await;
        for topic in [&kept, &deleted] {
            log.create_topic(topic, TopicSpec::default()).await.unwrap();
            let partition = partition(&log, topic, 0);
            partition.append(batch_of(1, 10, None)).await.unwrap();
        }
        let key = partition(&log, &deleted, 0).key();
        let delete = Command::DeleteTopic {
            name: deleted.clone(),
            id: None,
        };
        log.metadata().apply(delete).await.unwrap();
        key
    };
    let log = open(dir.path()).await;
    assert!(log.topic(&deleted).is_none());
    assert_eq!(log.held(key), ByteSize(0));
    assert_eq!(partition(&log, &kept, 0).marks().log_end, Offset(1));
    log.create_topic(&deleted, TopicSpec::default())
        .await
        .unwrap();
    assert_eq!(partition(&log, &deleted, 0).marks().log_end, Offset(0));
    assert_eq!(log.health(), []);
    log.close().await;
}

#[tokio::test]
async fn producers_hear_that_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        dir: dir.path().to_owned(),
        disk_free_min: ByteSize(1_000),
        free_space: FreeSpace::from_fn(|_| Ok(ByteSize(999))),
        ..LogConfig::default()
    };
    let log = Log::open(config, Clock::system()).await.unwrap();
    let topic = name("t");
    log.create_topic(&topic, TopicSpec::default())
        .await
        .unwrap();
    let partition = partition(&log, &topic, 0);
    let refused = partition.append(batch_of(1, 10, None)).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::DiskFull { free, min } if free.0 == 999 && min.0 == 1_000)
    );
    assert_eq!(partition.marks().log_end, Offset(0));
}

/// What the metadata has forgotten is told and kept, and comes back whole when it is adopted.
#[test]
fn a_forgotten_topic_is_adopted_with_what_its_producers_sent_or_discarded() {
    let node = Node::new(41);
    let stamp = ProducerStamp {
        id: ProducerId(5),
        epoch: ProducerEpoch(0),
        sequence: Sequence(0),
    };
    let sent = || batch_of(3, 10, Some(stamp));
    for topic in ["one", "two"] {
        let partition = node.partition(topic, TopicSpec::partitions(2));
        node.run(partition.append(sent())).unwrap();
    }
    let [one, two] = ["one", "two"].map(|topic| node.existing(topic).topic_id());
    let again = node.started_with_metadata_lost(42);
    let forgotten = again.log.forgotten();
    assert_eq!(forgotten.len(), 2);
    for found in &forgotten {
        assert!([one, two].contains(&found.topic));
        assert_eq!(found.partitions_min(), 1, "only the first one has data");
        assert_eq!(found.partitions[0].log_end, Offset(3));
    }
    assert_eq!(again.log.health().len(), 2);
    let name = TopicName::new("again").unwrap();
    let adopt = |id, count| again.run(again.log.adopt(id, &name, TopicSpec::partitions(count)));
    assert!(matches!(
        adopt(one, 0),
        Err(TopicError::FewerPartitions { has: 1, .. })
    ));
    assert_eq!(adopt(one, 2).unwrap().id, one);
    assert!(matches!(adopt(one, 2), Err(TopicError::NotForgotten(id)) if id == one));
    assert!(matches!(adopt(two, 2), Err(TopicError::Exists(_))));
    let told = again.existing("again");
    let appended = again.run(told.append(sent())).unwrap();
    assert!(appended.duplicate, "its producers are known");
    again.run(again.log.discard(two)).unwrap();
    assert_eq!(
        (again.log.forgotten(), again.log.health()),
        (vec![], vec![])
    );
    let key = PartitionKey {
        topic: two,
        partition: PartitionId(0),
    };
    assert_eq!(again.log.held(key), ByteSize(0));
    // Also for later starts.
    let later = again.started_again(43);
    assert_eq!(later.log.forgotten(), []);
    let marks = later.existing("again").marks();
    assert_eq!((marks.log_start, marks.log_end), (Offset(0), Offset(3)));
}
