//! Topics and documents, over the store in memory.

use bytes::Bytes;
use wstream_record::{Clock, Offset, PartitionId, TopicName, TopicPartition};

use crate::testing::batch_of;
use crate::{Log, TopicConfig, TopicError};

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
