use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wstream_log::{Cleanup, LogConfig, TopicSpec};
use wstream_record::{BatchBuilder, Clock, ManualClock, Record, RecordBatch};

use super::*;

fn name() -> TopicName {
    TopicName::new("t").unwrap()
}

fn batch(keys: &[&'static str]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for key in keys {
        builder.push(&Record {
            timestamp: Timestamp(1_000),
            key: Some(Bytes::from_static(key.as_bytes())),
            value: Some(Bytes::from_static(b"v")),
            ..Record::default()
        });
    }
    builder.finish(None).unwrap()
}

async fn cursor(log: &Log, start: Start, follow: bool) -> Cursor {
    Cursor::open(log, &name(), None, start, follow)
        .await
        .unwrap()
}

/// The next item: an offset, or what is said.
async fn next(cursor: &mut Cursor) -> Option<String> {
    cursor.next().await.unwrap().map(|item| match item {
        Item::Record(record) => record.offset.unwrap().to_string(),
        Item::Missing(missing) => missing.message(),
    })
}

async fn all(log: &Log, start: Start) -> Vec<String> {
    let mut cursor = cursor(log, start, false).await;
    let mut told = Vec::new();
    while let Some(item) = next(&mut cursor).await {
        told.push(item);
    }
    told
}

/// A topic with ten records in batches of two.
async fn ten(log: &Log) -> Partition {
    log.create_topic(&name(), TopicSpec::default())
        .await
        .unwrap();
    let partition = log.partitions(&name()).remove(0);
    for _ in 0..5 {
        partition.append(batch(&["a", "b"])).await.unwrap();
    }
    partition
}

const RETAINED: &str =
    "t-0: offsets 2 to 5 are missing: below the log start, where retention removed them";

#[tokio::test]
async fn what_lies_below_the_log_start_is_told_to_those_who_ask_for_it() {
    let log = Log::in_memory(Clock::system());
    let partition = ten(&log).await;
    partition.delete_before(Offset(6)).await.unwrap();
    let wanted = [RETAINED, "6", "7", "8", "9"];
    assert_eq!(all(&log, Start::At(Offset(2))).await, wanted);
    assert_eq!(all(&log, Start::At(Offset(6))).await, wanted[1..]);
    assert_eq!(all(&log, Start::Earliest).await, wanted[1..]);
}

#[tokio::test]
async fn a_reader_that_retention_overtakes_is_told() {
    let log = Log::in_memory(Clock::system());
    let partition = ten(&log).await;
    for follow in [false, true] {
        let mut cursor = cursor(&log, Start::At(Offset(2)), follow).await;
        partition.delete_before(Offset(6)).await.unwrap();
        assert_eq!(next(&mut cursor).await.as_deref(), Some(RETAINED));
        assert_eq!(next(&mut cursor).await.as_deref(), Some("6"));
    }
}

#[tokio::test]
async fn a_follower_of_a_deleted_topic_ends_and_never_follows_its_successor() {
    let log = Log::in_memory(Clock::system());
    for again in [false, true] {
        ten(&log).await;
        let mut idle = cursor(&log, Start::Latest, true).await;
        let mut busy = cursor(&log, Start::At(Offset(8)), true).await;
        assert_eq!(next(&mut busy).await.as_deref(), Some("8"));
        let mut waiting = Box::pin(idle.next());
        tokio::select! {
            biased;
            early = &mut waiting => panic!("{early:?}"),
            () = std::future::ready(()) => {}
        }
        log.delete_topic(&name()).await.unwrap();
        if again {
            ten(&log).await;
        }
        let ended = waiting.await.unwrap_err();
        assert_eq!((ended.status.as_u16(), ended.code), (410, "topic_deleted"));
        assert_eq!(ended.message, "topic t was deleted while it was read");
        assert_eq!(ended.hint.contains("new topic"), again, "{}", ended.hint);
        // What was read already is given.
        assert_eq!(next(&mut busy).await.as_deref(), Some("9"));
        assert_eq!(busy.next().await.unwrap_err().code, "topic_deleted");
        assert_eq!(idle.next().await.unwrap_err().code, "topic_deleted");
    }
}

#[tokio::test]
async fn a_node_that_stops_is_no_deletion() {
    let log = Log::in_memory(Clock::system());
    ten(&log).await;
    let mut follower = cursor(&log, Start::Latest, true).await;
    let mut reader = cursor(&log, Start::Earliest, false).await;
    log.close().await;
    assert_eq!(follower.next().await, Ok(None));
    assert_eq!(reader.next().await.unwrap_err().code, "closed");
}

async fn open(dir: &Path, time: &ManualClock) -> Log {
    let config = LogConfig {
        dir: dir.to_owned(),
        disk_free_min: ByteSize(0),
        ..LogConfig::default()
    };
    Log::open(config, time.clock()).await.unwrap()
}

#[tokio::test]
async fn what_compaction_took_is_told_once_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let time = ManualClock::new(Timestamp(1_000_000));
    let log = open(dir.path(), &time).await;
    let spec = TopicSpec::default()
        .cleanup(Cleanup::Compact)
        .segment_age(Duration::from_secs(60));
    log.create_topic(&name(), spec).await.unwrap();
    let partition = log.partitions(&name()).remove(0);
    for keys in [["a", "b"], ["a", "c"], ["d", "b"]] {
        partition.append(batch(&keys)).await.unwrap();
    }
    time.advance(Duration::from_secs(60));
    log.maintain().await;
    partition.append(batch(&["e"])).await.unwrap();
    log.maintain().await;
    log.close().await;
    let log = open(dir.path(), &time).await;
    // a at 0 and b at 1 have gone as a batch.
    let told = "t-0: offsets 0 to 1 are missing: compaction removed them for newer records";
    let wanted = ["2", "3", "4", "5", "6", told];
    assert_eq!(all(&log, Start::Earliest).await, wanted);
    let mut follower = cursor(&log, Start::Earliest, true).await;
    for wanted in wanted {
        assert_eq!(next(&mut follower).await.as_deref(), Some(wanted));
    }
    // One that ends before is told as well, and only of what it came by.
    for (start, offset, wanted) in [(0, "2", Some(told)), (3, "3", None)] {
        let mut cursor = cursor(&log, Start::At(Offset(start)), false).await;
        assert_eq!(next(&mut cursor).await.as_deref(), Some(offset));
        let rest: Vec<String> = cursor.rest().iter().map(Missing::message).collect();
        assert_eq!(rest.first().map(String::as_str), wanted);
    }
    log.close().await;
}
