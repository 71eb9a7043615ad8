//! A log with some topics whose records everybody can tell: offset and partition say what they are.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use wstream_log::{Durability, Log, LogConfig, Partition, TopicSpec, Upto};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, Offset, PartitionId, ProducerEpoch, ProducerId, ProducerStamp,
    Record, RecordBatch, Sequence, Timestamp, TopicName, TopicPartition,
};

pub(crate) const CHILD: &str = "WSTREAM_LOG_CHILD";
const DIR: &str = "WSTREAM_LOG_DIR";
pub(crate) const PARTITIONS: i32 = 12;
const PRODUCER: ProducerId = ProducerId(7);

/// Numbers that a seed determines.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

/// The record at an offset of a partition. Sizes are such that values are shared, whole and cut.
pub(crate) fn record(partition: i32, offset: i64) -> Record {
    let seed = offset.unsigned_abs() << 8 | u64::from(partition.unsigned_abs());
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = match random.below(30) {
        0 => random.below(300_000),
        1..=4 => random.below(20_000),
        _ => random.below(400),
    };
    let mut value = vec![u8::try_from(offset % 251).unwrap(); usize::try_from(size).unwrap()];
    value.extend_from_slice(&offset.to_be_bytes());
    Record {
        timestamp: Timestamp(offset),
        value: Some(Bytes::from(value)),
        ..Record::default()
    }
}

/// The batch of `count` records at `offset`, by a producer that stamps it with its offset.
pub(crate) fn batch(partition: i32, offset: i64, count: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    (offset..offset + count).for_each(|o| builder.push(&record(partition, o)));
    let stamp = ProducerStamp {
        id: PRODUCER,
        epoch: ProducerEpoch(0),
        sequence: Sequence(i32::try_from(offset).unwrap()),
    };
    builder.finish(Some(stamp)).unwrap()
}

pub(crate) fn config(dir: &Path, durability: Durability) -> LogConfig {
    LogConfig {
        dir: dir.to_owned(),
        durability,
        disk_free_min: ByteSize(0),
        segment_bytes: ByteSize::mib(1),
        tail_bytes_max: ByteSize(0),
        // What tests want to have done they ask for; children do it by themselves.
        maintenance_interval: Duration::from_secs(3_600),
        ..LogConfig::default()
    }
}

pub(crate) fn name(partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(partition))
}

pub(crate) async fn open(dir: &Path, durability: Durability) -> Log {
    open_with(config(dir, durability)).await
}

async fn open_with(config: LogConfig) -> Log {
    let log = Log::open(config, Clock::system()).await.unwrap();
    let topic = TopicName::new("t").unwrap();
    if log.topic(&topic).is_none() {
        let spec = TopicSpec::partitions(PARTITIONS);
        log.create_topic(&topic, spec).await.unwrap();
    }
    log
}

/// Reads a partition from its start; which offsets are there. Their records are what they must be.
pub(crate) async fn offsets(partition: &Partition) -> Vec<i64> {
    let number = partition.name().partition.0;
    let marks = partition.marks();
    let mut next = marks.log_start;
    let mut found = Vec::new();
    while next < marks.log_end {
        let fetched = partition
            .fetch(next, ByteSize::mib(4), Upto::LogEnd, None)
            .await
            .unwrap();
        for batch in fetched.batches().unwrap() {
            batch.check_crc().unwrap();
            for stored in batch.records().unwrap() {
                let at = stored.offset.0;
                assert!(
                    found.last().is_none_or(|last| *last < at),
                    "{at} is there twice"
                );
                let wanted = record(number, written_as(&stored.record));
                assert!(stored.record == wanted, "record {at} of {number} differs");
                found.push(at);
            }
        }
        assert!(fetched.next > next, "a reader at {next} gets on");
        next = fetched.next;
    }
    found
}

/// The offset at which a record was written.
pub(crate) fn written_as(record: &Record) -> i64 {
    let value = record.value.as_deref().unwrap();
    let (_, last) = value.split_last_chunk::<8>().unwrap();
    i64::from_be_bytes(*last)
}

/// All offsets below what was acknowledged are there, one after the other.
pub(crate) async fn check_whole(log: &Log, acknowledged: &[i64]) -> Vec<i64> {
    let mut ends = Vec::new();
    for (number, acknowledged) in (0..).zip(acknowledged) {
        let partition = log.partition(&name(number)).unwrap();
        let marks = partition.marks();
        let end = marks.log_end.0;
        assert!(
            end >= *acknowledged,
            "{number}: {acknowledged} acknowledged, {end} there"
        );
        assert_eq!(marks.log_start, Offset(0));
        let found = offsets(&partition).await;
        assert!(found.into_iter().eq(0..end), "{number} has a hole");
        let sequence = (end > 0).then(|| Sequence(i32::try_from(end).unwrap()));
        assert_eq!(partition.next_sequence(PRODUCER), sequence, "{number}");
        ends.push(end);
    }
    ends
}

/// No file below any `blobs/`.
pub(crate) fn check_no_blobs(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        if entry.file_name() == "blobs" {
            let files = fs::read_dir(entry.path()).unwrap().count();
            assert_eq!(files, 0, "{}", entry.path().display());
        } else {
            check_no_blobs(&entry.path());
        }
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn command_for(dir: &Path, kind: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "nodes::child", "--nocapture"])
        .env(CHILD, kind)
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// What a child acknowledges, one a line: partition and end.
pub(crate) fn ends(child: &mut Child) -> impl Iterator<Item = (usize, i64)> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines()
        .map_while(Result::ok)
        .filter_map(|line| end_in(&line))
}

pub(crate) fn end_in(line: &str) -> Option<(usize, i64)> {
    let (partition, end) = line.strip_prefix("end ")?.split_once(' ')?;
    Some((partition.parse().ok()?, end.parse().ok()?))
}

fn say(partition: i32, end: i64) {
    let line = format!("\nend {partition} {end}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: what the other tests kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(kind) = env::var(CHILD) else { return };
    let dir = PathBuf::from(env::var_os(DIR).unwrap());
    let durability = if kind == "disk" {
        Durability::Disk
    } else {
        Durability::Process
    };
    let log = open_with(LogConfig {
        maintenance_interval: Duration::from_millis(50),
        ..config(&dir, durability)
    })
    .await;
    let mut writers = Vec::new();
    for number in 0..PARTITIONS {
        let partition = log.partition(&name(number)).unwrap();
        writers.push(tokio::spawn(append(partition)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Appends for ever.
async fn append(partition: Partition) {
    let number = partition.name().partition.0;
    let mut end = partition.marks().log_end.0;
    let mut random = Random(end.unsigned_abs() * 7_919 + u64::from(number.unsigned_abs()) + 1);
    loop {
        let mut tickets = Vec::new();
        for _ in 0..=random.below(3) {
            let count = 1 + i64::try_from(random.below(4)).unwrap();
            let ticket = partition.submit(batch(number, end, count)).await.unwrap();
            tickets.push(ticket);
            end += count;
        }
        for ticket in tickets {
            say(number, ticket.await.unwrap().next_offset.0);
        }
    }
}
