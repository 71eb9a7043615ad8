//! Topics and documents, in memory and over restarts.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{
    ByteSize, Clock, Offset, PartitionId, ProducerEpoch, ProducerId, ProducerStamp, RecordBatch,
    Sequence, Timestamp, TopicName, TopicPartition,
};

use crate::metadata::Change;
use crate::testing::batch_of;
use crate::{
    AppendError, Durability, FreeSpace, Log, LogConfig, Partition, TopicConfig, TopicError,
};

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

#[tokio::test]
async fn topics_are_created_once_and_grow() {
    let log = Log::in_memory(Clock::system());
    let topic = name("t");
    let created = log.create_topic(&topic, TopicConfig::partitions(2)).await;
    assert_eq!(created.unwrap().config.partitions, 2);
    let again = log.create_topic(&topic, TopicConfig::partitions(2)).await;
    assert!(matches!(again, Err(TopicError::Exists(_))));
    let partition = |n| log.partition(&TopicPartition::new(topic.clone(), PartitionId(n)));
    assert!(partition(1).is_some() && partition(2).is_none() && partition(-1).is_none());

    let appended = partition(0).unwrap().append(batch_of(3, 10, None)).await;
    assert_eq!(appended.unwrap().next_offset, Offset(3));
    log.alter_topic(&topic, TopicConfig::partitions(3))
        .await
        .unwrap();
    assert!(partition(2).is_some());
    assert_eq!(partition(0).unwrap().bounds().log_end, Offset(3));
    let fewer = log.alter_topic(&topic, TopicConfig::partitions(1)).await;
    assert!(matches!(
        fewer,
        Err(TopicError::FewerPartitions { has: 3, .. })
    ));
    for wrong in [0, -1, crate::PARTITIONS_MAX + 1] {
        let refused = log
            .create_topic(&name("x"), TopicConfig::partitions(wrong))
            .await;
        assert!(matches!(refused, Err(TopicError::Partitions { .. })));
    }
    assert_eq!(log.topics().len(), 1);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_records() {
    let log = Log::in_memory(Clock::system());
    let topic = name("t");
    log.create_topic(&topic, TopicConfig::default())
        .await
        .unwrap();
    let tp = TopicPartition::new(topic.clone(), PartitionId(0));
    let old = log.partition(&tp).unwrap();
    old.append(batch_of(1, 10, None)).await.unwrap();
    log.delete_topic(&topic).await.unwrap();
    assert!(log.partition(&tp).is_none() && log.topic(&topic).is_none());
    assert!(old.append(batch_of(1, 10, None)).await.is_err());
    let missing = log.delete_topic(&topic).await;
    assert!(matches!(missing, Err(TopicError::Unknown(_))));
    log.create_topic(&topic, TopicConfig::default())
        .await
        .unwrap();
    assert_eq!(log.partition(&tp).unwrap().bounds().log_end, Offset(0));
}

#[tokio::test]
async fn documents_are_kept_by_kind_and_name() {
    let log = Log::in_memory(Clock::system());
    let metadata = log.metadata();
    for (kind, name, body) in [("a", "x", "1"), ("a", "y", "2"), ("b", "x", "3")] {
        metadata
            .put_document(kind, name, Bytes::from(body))
            .await
            .unwrap();
    }
    assert_eq!(metadata.document("b", "x"), Some(Bytes::from("3")));
    let of_a = metadata.documents("a");
    assert_eq!(
        of_a,
        [
            ("x".to_owned(), Bytes::from("1")),
            ("y".to_owned(), Bytes::from("2"))
        ]
    );
    assert!(metadata.delete_document("a", "x").await.unwrap());
    assert!(!metadata.delete_document("a", "x").await.unwrap());
    assert_eq!(metadata.document("a", "x"), None);
}

#[tokio::test]
async fn producer_ids_never_repeat() {
    let log = Log::in_memory(Clock::system());
    let mut ids = Vec::new();
    for _ in 0..2_100 {
        ids.push(log.allocate_producer_id().await.unwrap());
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
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
        let settings = TopicConfig {
            partitions: 3,
            retention_bytes: Some(ByteSize::gib(1)),
            retention_age: Some(Duration::from_secs(1 << 40)),
            defined_in_file: true,
            ..TopicConfig::default()
        };
        {
            let log = open(dir.path()).await;
            log.create_topic(&topic, settings.clone()).await.unwrap();
            for (number, count) in [(0, 1), (2, 4)] {
                for n in 0..count {
                    let appended = partition(&log, &topic, number).append(stamped(n * 2)).await;
                    assert_eq!(appended.unwrap().base_offset, Offset(i64::from(n * 2)));
                }
            }
            if cleanly {
                log.close().await;
            }
        }
        let log = open(dir.path()).await;
        assert_eq!(log.topic(&topic).unwrap().config, settings);
        let ends = [0, 1, 2].map(|n| partition(&log, &topic, n).bounds().high_watermark.0);
        assert_eq!(ends, [2, 0, 8], "cleanly {cleanly}");
        let third = partition(&log, &topic, 2);
        assert_eq!(third.next_sequence(ProducerId(5)), Some(Sequence(8)));
        let again = third.append(stamped(4)).await.unwrap();
        assert!(again.duplicate && again.base_offset == Offset(4));
        let gap = third.append(stamped(10)).await.unwrap_err();
        assert!(matches!(gap, AppendError::OutOfOrderSequence { expected, .. } if expected.0 == 8));
        let read = third.read(Offset(3), ByteSize::mib(1)).await.unwrap();
        assert_eq!(read.len(), 3);
        let found = third.offset_for(Timestamp(0)).await.unwrap();
        assert_eq!(found, Some((Offset(0), Timestamp(1_000))));
        let next = third.append(stamped(8)).await.unwrap();
        assert_eq!(next.base_offset, Offset(8));
    }
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_is_finished_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, deleted) = (name("kept"), name("deleted"));
    {
        let log = open(dir.path()).await;
        for topic in [&kept, &deleted] {
            log.create_topic(topic, TopicConfig::default())
                .await
                .unwrap();
            let partition = partition(&log, topic, 0);
            partition.append(batch_of(1, 10, None)).await.unwrap();
        }
        let delete = Change::DeleteTopic {
            name: deleted.clone(),
        };
        log.metadata().apply(delete.into()).await.unwrap();
    }
    assert!(dir.path().join("log/deleted-0").exists());
    let log = open(dir.path()).await;
    assert!(!dir.path().join("log/deleted-0").exists());
    assert!(log.topic(&deleted).is_none());
    assert_eq!(partition(&log, &kept, 0).bounds().log_end, Offset(1));
    log.create_topic(&deleted, TopicConfig::default())
        .await
        .unwrap();
    assert_eq!(partition(&log, &deleted, 0).bounds().log_end, Offset(0));
    log.delete_topic(&kept).await.unwrap();
    assert!(!dir.path().join("log/kept-0").exists());
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
    log.create_topic(&topic, TopicConfig::default())
        .await
        .unwrap();
    let partition = partition(&log, &topic, 0);
    let refused = partition.append(batch_of(1, 10, None)).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::DiskFull { free, min } if free.0 == 999 && min.0 == 1_000)
    );
    assert_eq!(partition.bounds().log_end, Offset(0));
}

#[tokio::test]
async fn a_rewrite_on_disk_leaves_the_live_records_only() {
    let dir = tempfile::tempdir().unwrap();
    let topic = name("__internal");
    {
        let log = open(dir.path()).await;
        log.create_topic(&topic, TopicConfig::default())
            .await
            .unwrap();
        let partition = partition(&log, &topic, 0);
        for _ in 0..20 {
            partition.append(batch_of(5, 5_000, None)).await.unwrap();
        }
        let live = vec![batch_of(1, 5_000, None)];
        partition.rewrite(live, Offset(100)).await.unwrap();
        let segments = dir.path().join("log/__internal-0");
        let segments = std::fs::read_dir(segments).unwrap().flatten();
        assert_eq!(segments.filter(|e| e.path().is_dir()).count(), 1);
    }
    let bounds = partition(&open(dir.path()).await, &topic, 0).bounds();
    assert_eq!(
        (bounds.log_start, bounds.log_end),
        (Offset(100), Offset(101))
    );
}
