//! What well-behaved modules get.

use wstream_record::{Header, PartitionId, Timestamp};

use super::*;

#[tokio::test]
async fn records_come_back_as_they_went_in() {
    let transform = transform(&runtime(), PROBE, Limits::default()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let mut records: Vec<_> = (0..5000).map(|i| record(&format!("value {i}"))).collect();
    records[1].key = None;
    records[2].value = None;
    records[3].timestamp = Timestamp::NONE;
    records[4].headers = vec![
        Header::text("a", "1"),
        Header {
            name: Bytes::new(),
            value: None,
        },
        Header::text("a", ""),
    ];
    records[4999].value = Some(vec![b'x'; 3 << 20].into());
    let processed = process_all(&mut instance, batch(records.clone())).await;
    assert_eq!(processed.failures, []);
    let expected = (0..).zip(records).map(|(index, record)| crate::Output {
        index,
        output: 0,
        partition: None,
        record,
    });
    assert!(processed.outputs == expected.collect::<Vec<_>>());
    let stats = transform.stats();
    assert_eq!((stats.records, stats.outputs), (5000, 5000));
    assert_eq!((stats.instances, stats.restarts), (1, 0));
    assert!(stats.memory.0 > 3 << 20);
    drop(instance);
    assert_eq!(transform.stats().memory.0, 0);
    assert_eq!(transform.stats().instances, 0);
}

#[tokio::test]
async fn records_may_be_dropped_split_and_failed() {
    let transform = transform(&runtime(), PROBE, Limits::default()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "!d", "!2", "!f", "b"])).await;
    let places: Vec<_> = processed
        .outputs
        .iter()
        .map(|o| (o.index, o.output, o.partition, o.record.timestamp.0))
        .collect();
    let now = 1_760_000_000_000;
    let expected = [
        (0, 0, None, now),
        (2, 0, None, now),
        (2, 1, Some(PartitionId(7)), 5),
        (4, 0, None, now),
    ];
    assert_eq!(places, expected);
    let failure = &processed.failures[0];
    assert_eq!(
        (failure.index, failure.code, failure.name),
        (3, 42, "guest")
    );
    assert_eq!(failure.message, "as asked");
    assert_eq!(processed.failures.len(), 1);
}
