//! Single things that once went wrong, each by itself, on real files.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use wstream_log::{
    AppendError, Durability, FreeSpace, Log, LogConfig, Problem, ReadError, RetentionBy, TopicSpec,
    Upto,
};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, ManualClock, Offset, PartitionId, Record, RecordBatch,
    Timestamp, TopicName, TopicPartition,
};

use super::nodes::{batch, check_no_blobs, check_whole, config, copy, name, open};

fn one(time: i64, bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        timestamp: Timestamp(time),
        value: Some(Bytes::from(vec![7; bytes])),
        ..Record::default()
    });
    builder.finish(None).unwrap()
}

fn first(topic: &TopicName) -> TopicPartition {
    TopicPartition::new(topic.clone(), PartitionId(0))
}

async fn with_clock(dir: &std::path::Path, clock: &ManualClock) -> Log {
    let config = config(dir, Durability::Process);
    Log::open(config, clock.clock()).await.unwrap()
}

#[tokio::test]
async fn the_longest_names_are_created_deleted_and_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let topics: Vec<TopicName> = (240..=249)
        .map(|length| TopicName::new(&"n".repeat(length)).unwrap())
        .collect();
    for round in 0..3 {
        let log = Log::open(config(dir.path(), Durability::Process), Clock::system())
            .await
            .unwrap();
        for topic in &topics {
            log.create_topic(topic, TopicSpec::default()).await.unwrap();
            let partition = log.partition(&first(topic)).unwrap();
            assert_eq!(
                partition.marks().log_end,
                Offset(0),
                "a successor begins empty"
            );
            partition.append(one(1, 10)).await.unwrap();
        }
        if round == 1 {
            log.close().await;
            let log = Log::open(config(dir.path(), Durability::Process), Clock::system())
                .await
                .unwrap();
            for topic in &topics {
                log.delete_topic(topic).await.unwrap();
            }
            log.close().await;
            continue;
        }
        for topic in &topics {
            log.delete_topic(topic).await.unwrap();
        }
        log.close().await;
    }
    assert_eq!(log_health(dir.path()).await, 0);
}

async fn log_health(dir: &std::path::Path) -> usize {
    let log = Log::open(config(dir, Durability::Process), Clock::system())
        .await
        .unwrap();
    let problems = log.health().len() + log.missing().len();
    log.close().await;
    problems
}

#[tokio::test]
async fn a_time_in_large_batches_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let topic = TopicName::new("times").unwrap();
    let clock = ManualClock::new(Timestamp(10_000));
    let log = with_clock(dir.path(), &clock).await;
    let spec = TopicSpec::default().max_message_bytes(ByteSize::mib(2));
    log.create_topic(&topic, spec).await.unwrap();
    let sizes = [
        300_000, 10, 1_000_000, 32_768, 122_880, 300_000, 122_881, 300_000,
    ];
    let times: Vec<i64> = (0..8).map(|n| n * 100 + 100).collect();
    let partition = log.partition(&first(&topic)).unwrap();
    for (time, size) in times.iter().zip(sizes) {
        partition.append(one(*time, size)).await.unwrap();
    }
    log.close().await;
    let log = with_clock(dir.path(), &clock).await;
    let partition = log.partition(&first(&topic)).unwrap();
    for (offset, time) in (0..).zip(&times) {
        for at in [*time, *time - 99] {
            let found = partition.offset_for(Timestamp(at)).await.unwrap();
            assert_eq!(found, Some((Offset(offset), Timestamp(*time))), "{at}");
        }
    }
    assert_eq!(partition.offset_for(Timestamp(801)).await.unwrap(), None);
    log.close().await;
}

#[tokio::test]
async fn retention_goes_by_the_append_and_times_stay_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let log = with_clock(dir.path(), &clock).await;
    let day = Duration::from_secs(24 * 3_600);
    let spec = || TopicSpec::default().retention_age(Some(day));
    let topics = [
        ("append", spec()),
        ("record", spec().retention_by(RetentionBy::Record)),
    ];
    let times = [1_546_300_800_000, -1, Timestamp::MAX_VALID.0, 0];
    for (topic, spec) in topics {
        let topic = TopicName::new(topic).unwrap();
        log.create_topic(&topic, spec).await.unwrap();
        let partition = log.partition(&first(&topic)).unwrap();
        for time in times {
            partition.append(one(time, 10)).await.unwrap();
        }
        for time in [i64::MIN, -2, Timestamp::MAX_VALID.0 + 1, i64::MAX] {
            let refused = partition.append(one(time, 10)).await;
            assert!(
                matches!(refused, Err(AppendError::Timestamp { .. })),
                "{time}: {refused:?}"
            );
        }
        let fetched = partition
            .fetch(Offset(0), ByteSize::mib(1), Upto::LogEnd, None)
            .await
            .unwrap();
        let batches = fetched.batches().unwrap();
        let found = batches.iter().flat_map(|b| b.records().unwrap());
        let found: Vec<i64> = found.map(|r| r.record.timestamp.0).collect();
        assert_eq!(found, [times[0], 1_700_000_000_000, times[2], times[3]]);
    }
    let start = |log: &Log, topic: &str| {
        let topic = TopicName::new(topic).unwrap();
        log.partition(&first(&topic)).unwrap().marks().log_start.0
    };
    log.maintain().await;
    assert_eq!(
        start(&log, "append"),
        0,
        "what came just now stays, whatever its time"
    );
    clock.advance(day + Duration::from_secs(1));
    log.maintain().await;
    assert_eq!(
        start(&log, "append"),
        4,
        "what came a day ago goes, though one is of the year 9999"
    );
    log.close().await;
}

#[tokio::test]
async fn a_reader_hears_that_its_offset_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Durability::Process).await;
    let partition = log.partition(&name(0)).unwrap();
    for offset in 0..50 {
        partition.append(batch(0, offset, 1)).await.unwrap();
    }
    let reader = {
        let partition = partition.clone();
        tokio::spawn(async move {
            let mut at = Offset(0);
            while at < Offset(50) {
                match partition.fetch(at, ByteSize(1), Upto::LogEnd, None).await {
                    Ok(fetched) => {
                        let batches = fetched.batches().unwrap();
                        // Never moved on over what was there a moment ago.
                        assert_eq!(batches.first().unwrap().header().base_offset, at);
                        at = fetched.next;
                    }
                    Err(ReadError::Trimmed { start, .. }) => at = start,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    for to in 0..=50 {
        partition.delete_before(Offset(to)).await.unwrap();
        log.maintain().await;
    }
    reader.await.unwrap();
    log.close().await;
    check_no_blobs(dir.path());
}

#[tokio::test]
async fn a_directory_that_was_removed_takes_no_appends() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Durability::Process).await;
    let partition = log.partition(&name(0)).unwrap();
    partition.append(batch(0, 0, 1)).await.unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let refused = partition.append(batch(0, 1, 1)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(log.health().iter().any(wstream_log::Problem::stops_appends));
    log.close().await;
}

#[tokio::test]
async fn what_was_recovered_is_there_after_another_kill() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut end = 0;
    for _ in 0..6 {
        let log = open(dir.path(), Durability::Disk).await;
        check_whole(&log, &[end]).await;
        let partition = log.partition(&name(0)).unwrap();
        for _ in 0..3 {
            end = partition
                .append(batch(0, end, 2))
                .await
                .unwrap()
                .next_offset
                .0;
        }
        let left = tempfile::tempdir().unwrap();
        copy(dir.path(), left.path());
        log.close().await;
        dir = left;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_topics_and_partitions_start_and_go_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let open = |dir: std::path::PathBuf| async move {
        let config = LogConfig {
            dir,
            disk_free_min: ByteSize(0),
            ..LogConfig::default()
        };
        Log::open(config, Clock::system()).await.unwrap()
    };
    let log = open(dir.path().to_owned()).await;
    let wide = TopicName::new("wide").unwrap();
    log.create_topic(&wide, TopicSpec::partitions(10_000))
        .await
        .unwrap();
    let mut tickets = Vec::new();
    for partition in log.partitions(&wide) {
        tickets.push(partition.submit(one(1, 100)).await.unwrap());
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
    for number in 0..TOPICS {
        let topic = TopicName::new(&format!("t{number}")).unwrap();
        log.create_topic(&topic, TopicSpec::default())
            .await
            .unwrap();
    }
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    log.close().await;
    let began = clock.monotonic();
    let log = open(left.path().to_owned()).await;
    let started = clock.monotonic();
    assert_eq!(log.topics().len(), TOPICS + 1);
    assert!(
        log.partitions(&wide)
            .iter()
            .all(|p| p.marks().log_end == Offset(1))
    );
    let asked = clock.monotonic();
    log.delete_topic(&wide).await.unwrap();
    let deleted = clock.monotonic();
    println!(
        "start {:?}, deletion {:?}",
        started - began,
        deleted - asked
    );
    assert!(started - began < SECONDS_MAX && deleted - asked < SECONDS_MAX);
    log.close().await;
}

/// Topics beside the one with many partitions; each is a synced command of the metadata.
const TOPICS: usize = 300;
/// Generous, for a busy machine and code that is not optimized.
const SECONDS_MAX: Duration = Duration::from_secs(20);

/// A log whose disk is not mounted is not begun anew at offset 0.
#[tokio::test]
async fn what_is_not_there_any_more_is_not_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Durability::Process).await;
    let partition = log.partition(&name(0)).unwrap();
    partition.append(batch(0, 0, 5)).await.unwrap();
    log.close().await;
    let moved = tempfile::tempdir().unwrap();
    for gone in ["log", "log/0"] {
        let gone = dir.path().join(gone);
        for empty in [false, true] {
            let kept = moved.path().join("kept");
            fs::rename(&gone, &kept).unwrap();
            if empty {
                fs::create_dir(&gone).unwrap();
            }
            let refused = Log::open(config(dir.path(), Durability::Process), Clock::system()).await;
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("is its disk mounted"), "{refused}");
            if gone.exists() {
                fs::remove_dir_all(&gone).unwrap();
            }
            fs::rename(&kept, &gone).unwrap();
        }
    }
    let log = open(dir.path(), Durability::Process).await;
    check_whole(&log, &[5]).await;
    log.close().await;
}

/// On a full disk, what makes room is still done: retention and the deletion of topics.
#[tokio::test]
async fn a_full_disk_still_takes_what_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let left = Arc::clone(&room);
    let config = LogConfig {
        disk_free_min: ByteSize::mib(1),
        free_space: FreeSpace::from_fn(move |_| Ok(ByteSize(left.load(Ordering::Relaxed)))),
        ..config(dir.path(), Durability::Process)
    };
    let clock = ManualClock::new(Timestamp(1_000_000));
    let log = Log::open(config, clock.clock()).await.unwrap();
    let topic = TopicName::new("t").unwrap();
    let spec = TopicSpec::default().with("retention.bytes", "1000");
    log.create_topic(&topic, spec).await.unwrap();
    let partition = log.partition(&first(&topic)).unwrap();
    for _ in 0..4 {
        partition.append(one(1, 900_000)).await.unwrap();
    }
    room.store(10, Ordering::Relaxed);
    clock.advance(Duration::from_secs(2));
    let refused = partition.append(one(1, 10)).await;
    assert!(matches!(refused, Err(AppendError::DiskFull { .. })));
    assert!(log.health().iter().any(Problem::stops_appends));
    log.maintain().await;
    assert!(partition.marks().log_start > Offset(0));
    partition.delete_before(Offset(4)).await.unwrap();
    log.delete_topic(&topic).await.unwrap();
    assert!(
        !log.health()
            .iter()
            .any(|p| matches!(p, Problem::NotRemoved { .. }))
    );
    room.store(u64::MAX, Ordering::Relaxed);
    clock.advance(Duration::from_secs(2));
    assert_eq!(log.health(), []);
    log.close().await;
}
