//! Tables over a log in memory.

use std::sync::Mutex;
use std::time::Duration;

use wstream_record::{Clock, Compression, ManualClock, PartitionId};

use super::*;
use crate::testing::batch_of;

const SETTINGS: TableSettings = TableSettings {
    partitions: 2,
    message_bytes_max: ByteSize::mib(64),
};

fn of(partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new("__t").unwrap(), PartitionId(partition))
}

fn plain(batch: &RecordBatch) -> Result<Vec<StoredRecord>, BatchError> {
    batch.records()
}

async fn open(log: &Log, partition: i32) -> (Table, LastRecords) {
    Table::open(log, &of(partition), SETTINGS, &plain)
        .await
        .unwrap()
}

fn batch(records: &[(&str, Option<&str>)]) -> RecordBatch {
    let mut batch = TableBatch::new(Timestamp(1_000));
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        let bound = batch.bytes_with(key.as_bytes(), value);
        batch.put(key.as_bytes(), value);
        assert!(batch.bytes() <= bound);
    }
    batch.finish().unwrap()
}

/// Keys and values.
fn shown(live: &LastRecords) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let shown = live.iter().map(|(k, last)| (text(k), text(&last.value)));
    shown.collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn the_last_record_of_each_key_is_found_again() {
    let log = Log::in_memory(Clock::system());
    let (table, live) = open(&log, 0).await;
    assert!(live.is_empty());
    let first = batch(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    table.append(first).await.unwrap();
    let second = batch(&[("b", None), ("a", Some("4")), ("", Some("5"))]);
    table.append(second).await.unwrap();
    let (_, live) = open(&log, 0).await;
    assert_eq!(shown(&live), pairs(&[("", "5"), ("a", "4"), ("c", "3")]));
    let last = &live[&b"a"[..]];
    assert_eq!((last.offset, last.timestamp), (Offset(4), Timestamp(1_000)));
    assert!(open(&log, 1).await.1.is_empty());
}

#[tokio::test]
async fn the_topic_is_made_and_grows() {
    let log = Log::in_memory(Clock::system());
    open(&log, 1).await;
    let topic = log.topic(&of(0).topic).unwrap();
    assert_eq!(topic.config.cleanup, Cleanup::Compact);
    assert_eq!(topic.config.partitions, 2);
    let more = TableSettings {
        partitions: 3,
        message_bytes_max: ByteSize(100),
    };
    let opened = Table::open(&log, &of(2), more, &plain).await;
    let (table, _) = opened.unwrap();
    // What is there keeps its settings.
    assert_eq!(table.message_bytes_max(), ByteSize::mib(64));
    assert_eq!(log.partitions(&of(0).topic).len(), 3);
    open(&log, 0).await;
    let past = Table::open(&log, &of(3), SETTINGS, &plain).await;
    assert!(matches!(past, Err(TableError::Read { .. })));
}

#[tokio::test]
async fn compaction_changes_nothing_but_the_size() {
    let time = ManualClock::new(Timestamp(1_000));
    let log = Log::in_memory(time.clock());
    let (table, _) = open(&log, 0).await;
    let long = "x".repeat(10_000);
    for n in 0..300 {
        let key = format!("k{}", n % 7);
        let value = (n % 3 > 0).then_some(long.as_str());
        table.append(batch(&[(&key, value)])).await.unwrap();
    }
    let before = open(&log, 0).await.1;
    let bytes = table.partition.stats().bytes;
    assert!(bytes > ByteSize::mib(1));
    time.advance(Duration::from_secs(48 * 3600));
    log.maintain().await;
    assert!(table.partition.stats().bytes < ByteSize(bytes.0 / 10));
    assert_eq!(open(&log, 0).await.1, before);
}

/// Between two reads a tombstone and what it hides go together.
#[tokio::test]
async fn what_compaction_takes_while_a_table_is_read_does_not_come_back() {
    let time = ManualClock::new(Timestamp(1_000));
    let log = Log::in_memory(time.clock());
    let (table, _) = open(&log, 0).await;
    let long = "x".repeat(1 << 20);
    let records = [
        ("gone", Some("1")),
        ("a", Some(&*long)),
        ("gone", None),
        // More than is kept in memory.
        ("b", Some(&long)),
        ("c", Some(&long)),
    ];
    for record in records {
        table.append(batch(&[record])).await.unwrap();
    }
    time.advance(Duration::from_secs(48 * 3600));
    let left = Mutex::new(Some(log.clone()));
    let decoder = move |batch: &RecordBatch| {
        if let Some(log) = left.lock().unwrap().take() {
            let maintain = move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.build().unwrap().block_on(log.maintain());
            };
            std::thread::spawn(maintain).join().unwrap();
        }
        batch.records()
    };
    let opened = Table::open(&log, &of(0), SETTINGS, &decoder).await;
    let (_, live) = opened.unwrap();
    let keys: Vec<_> = live.keys().map(|k| &k[..]).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn what_was_handed_over_is_there_whoever_waits() {
    let log = Log::in_memory(Clock::system());
    let (table, _) = open(&log, 0).await;
    for n in 0..50 {
        let value = n.to_string();
        drop(table.submit(batch(&[("a", Some(&value))])).await.unwrap());
        let (_, live) = open(&log, 0).await;
        assert_eq!(shown(&live), pairs(&[("a", &value)]));
    }
}

#[tokio::test]
async fn a_batch_above_the_bound_is_refused_whole() {
    let log = Log::in_memory(Clock::system());
    let small = TableSettings {
        partitions: 1,
        message_bytes_max: ByteSize(200),
    };
    let (table, _) = Table::open(&log, &of(0), small, &plain).await.unwrap();
    let long = "x".repeat(200);
    let refused = table.append(batch(&[("a", Some("1")), ("b", Some(&long))]));
    let refused = refused.await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    assert!(table.read(&plain).await.unwrap().is_empty());
}

/// The same bytes with other attributes.
fn with_attributes(batch: &RecordBatch, attributes: u8) -> RecordBatch {
    let mut bytes = batch.bytes().to_vec();
    bytes[22] = attributes;
    RecordBatch::parse_trusted(bytes.into()).unwrap()
}

#[tokio::test]
async fn what_is_no_plain_record_is_passed_over() {
    let log = Log::in_memory(Clock::system());
    let (table, _) = open(&log, 0).await;
    table.append(batch(&[("a", Some("1"))])).await.unwrap();
    // Compressed, and of a transaction.
    for attributes in [4, 16] {
        let other = with_attributes(&batch(&[("a", Some("2")), ("b", None)]), attributes);
        table.append(other).await.unwrap();
    }
    table.append(batch_of(3, 10, None)).await.unwrap();
    assert_eq!(shown(&open(&log, 0).await.1), pairs(&[("a", "1")]));
    // A decoder that knows what is in it.
    let decoder = |found: &RecordBatch| match found.header().compression {
        Compression::None => found.records(),
        _ => with_attributes(found, 0).records(),
    };
    let live = table.read(&decoder).await.unwrap();
    assert_eq!(shown(&live), pairs(&[("a", "2")]));
    let broken = |_: &RecordBatch| Err(BatchError::Malformed("told to"));
    let refused = table.read(&broken).await.unwrap_err().to_string();
    assert!(
        refused.contains("__t-0") && refused.contains("offset 0"),
        "{refused}"
    );
}

/// On the real store: the largest batch that a table's owner writes.
#[tokio::test]
async fn a_batch_of_many_mebibytes_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = || crate::LogConfig {
        dir: dir.path().to_owned(),
        disk_free_min: ByteSize(0),
        ..crate::LogConfig::default()
    };
    let settings = TableSettings {
        partitions: 1,
        message_bytes_max: ByteSize::mib(96),
    };
    let log = Log::open(config(), Clock::system()).await.unwrap();
    let opened = Table::open(&log, &of(0), settings, &plain).await;
    let (table, _) = opened.unwrap();
    let value = vec![7; 1 << 20];
    let mut batch = TableBatch::new(Timestamp(1_000));
    for n in 0..90_u8 {
        batch.put(&[n], Some(&value));
    }
    let batch = batch.finish().unwrap();
    assert!(batch.bytes().len() > 90 << 20);
    table.append(batch).await.unwrap();
    log.close().await;
    let log = Log::open(config(), Clock::system()).await.unwrap();
    let opened = Table::open(&log, &of(0), settings, &plain).await;
    let (_, live) = opened.unwrap();
    assert_eq!(live.len(), 90);
    assert!(live.values().all(|last| last.value == value));
    log.close().await;
}
