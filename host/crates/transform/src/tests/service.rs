//! What well-behaved modules get.

use wstream_record::{Header, ManualClock, PartitionId, Timestamp};

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

#[tokio::test]
async fn log_lines_above_the_limit_are_counted() {
    let clock = ManualClock::new(Timestamp(7_000));
    let config = RuntimeConfig {
        clock: clock.clock(),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let limits = Limits {
        log_lines_per_second: 5,
        ..Limits::default()
    };
    let transform = transform(&runtime, PROBE, limits).await;
    let mut log = runtime.logs().coming;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["!w"; 8])).await;
    assert_eq!(processed.outputs.len(), 8);
    for _ in 0..5 {
        let line = log.try_recv().unwrap();
        assert_eq!(
            (line.timestamp, &*line.text),
            (Timestamp(7_000), "as asked")
        );
        assert_eq!(line.level, tracing::Level::INFO);
    }
    assert!(log.try_recv().is_err());
    assert_eq!(transform.stats().log_lines_dropped, 3);
    clock.advance(Duration::from_secs(1));
    let processed = process_all(&mut instance, values(&["!e"])).await;
    assert_eq!(processed.failures.len(), 1);
    let lines = [log.try_recv().unwrap(), log.try_recv().unwrap()];
    assert_eq!(
        lines.each_ref().map(|l| &*l.text),
        ["first line", "second line"]
    );
    assert_eq!(lines.map(|l| l.level), [tracing::Level::WARN; 2]);
}
