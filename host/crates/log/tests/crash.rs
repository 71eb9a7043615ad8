//! Kills a process that appends, again and again, and looks whether everything it acknowledged is
//! there: in order, without gaps, byte for byte. Then the same with a file system that refuses to
//! grow a file.
//!
//! The process is this test binary, started with `WSTREAM_LOG_CHILD`. It prints the log's end
//! after each acknowledgement. The parent kills it after reading a number of lines that the seed
//! says, and some spinning, so that the kill comes at any moment of an append, a roll or an open.
//! `WSTREAM_LOG_KILLS` sets the number of kills.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use wstream_log::{AppendError, Log, LogConfig, Partition, TopicConfig};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, Offset, PartitionId, ProducerEpoch, ProducerId, ProducerStamp,
    Record, RecordBatch, Sequence, Timestamp, TopicName, TopicPartition,
};

const CHILD: &str = "WSTREAM_LOG_CHILD";
const KILLS: &str = "WSTREAM_LOG_KILLS";
const KILLS_DEFAULT: u32 = 20;
const SEED: u64 = 0x6b69_6c6c;
const PRODUCER: ProducerId = ProducerId(7);
/// Small segments, so that kills meet rolls.
const SEGMENT_SMALL: ByteSize = ByteSize::mib(2);
/// One segment for all, which meets the limit.
const SEGMENT_LARGE: ByteSize = ByteSize::mib(64);
/// Bytes of a file that the second test's file system allows at first.
const FILE_BYTES: u64 = 3 << 20;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Offset `o` always has the same record; sizes are such that values are shared, whole and cut.
fn record(offset: i64) -> Record {
    let mut random = Random(offset.unsigned_abs().wrapping_mul(0x9e37_79b9) | 1);
    let size = match random.below(12) {
        0 => random.below(300_000),
        1..=4 => random.below(20_000),
        _ => random.below(400),
    };
    let mut value = vec![(offset % 251) as u8; size as usize];
    value.extend_from_slice(&offset.to_be_bytes());
    Record {
        timestamp: Timestamp(offset),
        value: Some(Bytes::from(value)),
        ..Record::default()
    }
}

/// The batch of `count` records at `offset`, by a producer that stamps it with its offset.
fn batch(offset: i64, count: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    (offset..offset + count).for_each(|o| builder.push(&record(o)));
    let stamp = ProducerStamp {
        id: PRODUCER,
        epoch: ProducerEpoch(0),
        sequence: Sequence(i32::try_from(offset).unwrap()),
    };
    builder.finish(Some(stamp)).unwrap()
}

async fn open(dir: &Path, segment_bytes: ByteSize) -> (Log, Partition) {
    let config = LogConfig {
        dir: dir.to_owned(),
        disk_free_min: ByteSize(0),
        ..LogConfig::default()
    };
    let log = Log::open(config, Clock::system()).await.unwrap();
    let topic = TopicName::new("t").unwrap();
    if log.topic(&topic).is_none() {
        let settings = TopicConfig {
            segment_bytes,
            max_message_bytes: ByteSize::mib(16),
            ..TopicConfig::default()
        };
        log.create_topic(&topic, settings).await.unwrap();
    }
    let name = TopicPartition::new(topic, PartitionId(0));
    let partition = log.partition(&name).unwrap();
    (log, partition)
}

fn command_for(dir: &Path, kind: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, kind)
        .env("WSTREAM_LOG_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The ends that a child prints, one a line; the test harness prints some lines of its own.
fn ends(child: &mut Child) -> impl Iterator<Item = i64> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("end ")?.parse().ok())
}

fn say(end: i64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nend {end}").unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: what the other tests kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(kind) = env::var(CHILD) else { return };
    let dir = PathBuf::from(env::var_os("WSTREAM_LOG_DIR").unwrap());
    match kind.as_str() {
        "append" => append_until_killed(&dir).await,
        "limited" => append_against_a_limit(&dir).await,
        other => panic!("no child of kind {other}"),
    }
}

async fn append_until_killed(dir: &Path) {
    let (_log, partition) = open(dir, SEGMENT_SMALL).await;
    let mut end = partition.bounds().log_end.0;
    let mut random = Random(end.unsigned_abs() * 7_919 + 1);
    loop {
        let mut tickets = Vec::new();
        for _ in 0..=random.below(3) {
            let count = 1 + random.below(4) as i64;
            tickets.push(partition.submit(batch(end, count)).await.unwrap());
            end += count;
        }
        for ticket in tickets {
            say(ticket.await.unwrap().next_offset.0);
        }
    }
}

/// Reads the whole log and compares it with what was appended.
async fn check(partition: &Partition, acknowledged: i64) -> i64 {
    let bounds = partition.bounds();
    let end = bounds.log_end.0;
    assert!(
        end >= acknowledged,
        "{acknowledged} acknowledged, {end} there"
    );
    assert_eq!(bounds.log_start, Offset(0));
    let mut next = Offset(0);
    while next < bounds.log_end {
        let batches = partition.read(next, ByteSize::mib(4)).await.unwrap();
        assert!(!batches.is_empty(), "nothing at {next}");
        for batch in batches {
            batch.check_crc().unwrap();
            for stored in batch.records().unwrap() {
                assert_eq!(stored.offset, next);
                assert!(stored.record == record(next.0), "record {next} differs");
                next = next.plus(1);
            }
        }
    }
    let sequence = i32::try_from(end).unwrap();
    let expected = (end > 0).then_some(Sequence(sequence));
    assert_eq!(partition.next_sequence(PRODUCER), expected);
    end
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let kills = env::var(KILLS).ok().and_then(|n| n.parse().ok());
    let mut random = Random(SEED);
    println!("seed {SEED:#x}");
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..kills.unwrap_or(KILLS_DEFAULT) {
        let mut child = command_for(dir.path(), "append").spawn().unwrap();
        let mut lines = ends(&mut child);
        // Now and then during the open itself.
        let wanted = random.below(12) * random.below(6);
        for end in lines.by_ref().take(wanted as usize) {
            acknowledged = acknowledged.max(end);
        }
        for _ in 0..random.below(3_000_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = lines.fold(acknowledged, i64::max);
        let (log, partition) = open(dir.path(), SEGMENT_SMALL).await;
        assert_eq!(log.set_aside(), []);
        let end = check(&partition, acknowledged).await;
        println!("kill {kill}: {acknowledged} acknowledged, {end} there");
        // The next child begins where this log ends, now after a clean close, now after none.
        if random.below(2) == 0 {
            log.close().await;
        }
    }
    assert!(acknowledged > 0);
}

/// Appends until the file system refuses, then asks the parent for room and goes on.
async fn append_against_a_limit(dir: &Path) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let (log, partition) = open(dir, SEGMENT_LARGE).await;
    let mut end = 0;
    let mut failures = 0;
    while failures < 3 {
        match partition.append(batch(end, 2)).await {
            Ok(appended) => {
                end = appended.next_offset.0;
                say(end);
            }
            Err(AppendError::Failed(_)) => {
                failures += 1;
                // What reached the disk before the failure counts.
                let mut limit = getrlimit(Resource::Fsize);
                limit.current = limit.current.map(|bytes| bytes * 2);
                setrlimit(Resource::Fsize, limit).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    for _ in 0..20 {
        let found = partition.bounds().log_end.0;
        assert!(found >= end);
        end = partition
            .append(batch(found, 2))
            .await
            .unwrap()
            .next_offset
            .0;
        say(end);
    }
    log.close().await;
    say(i64::from(failures) * 1_000_000);
}

#[tokio::test]
async fn after_a_refused_write_the_log_goes_on_with_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    // The shell ignores the signal that would else end a process whose file is too large.
    let wanted = command_for(dir.path(), "limited");
    let script = format!(
        "trap '' XFSZ; ulimit -S -f {}; exec \"$@\"",
        FILE_BYTES / 512
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(wanted.get_program());
    shell.args(wanted.get_args()).stdout(Stdio::piped());
    for (name, value) in wanted.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut shell = shell.spawn().unwrap();
    let said: Vec<i64> = ends(&mut shell).collect();
    assert!(shell.wait().unwrap().success());
    assert_eq!(said.last(), Some(&3_000_000), "{said:?}");
    let acknowledged = said[said.len() - 2];
    let (_log, partition) = open(dir.path(), SEGMENT_LARGE).await;
    check(&partition, acknowledged).await;
}
