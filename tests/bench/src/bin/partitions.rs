//! Measures the log with many partitions: `partitions WHAT DIR [NAME=VALUE...]`, one line of JSON.
//!
//! | what | measures | settings |
//! |---|---|---|
//! | `appends` | appends/s with so many in flight in each partition | partitions, bytes, in_flight, mb, disk |
//! | `trickle` | latencies with one append a second in each partition; ends without a clean stop if told to | partitions, bytes, seconds, disk, abort |
//! | `start` | seconds to open and to close what is there | |
//! | `catchup` | bytes read from the files per byte of one partition, written evenly with others | partitions, bytes, mb, settle |
//! | `fetch` | CPU seconds of a fetch over all partitions with nothing new | partitions, rounds |
//!
//! DIR is used as it is: `appends` and `trickle` want an empty one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use wstream_log::{DataDir, Durability, Log, LogConfig, Partition, TopicSpec, Upto};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, Offset, PartitionId, RecordBatch, Timestamp, TopicName,
    TopicPartition,
};

/// Bytes that a batch has besides its one record's value, about.
const AROUND_BYTES: usize = 75;

struct Settings(BTreeMap<String, u64>);

impl Settings {
    fn get(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).copied().unwrap_or(default)
    }

    fn durability(&self) -> Durability {
        if self.get("disk", 0) == 1 {
            Durability::Disk
        } else {
            Durability::Process
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (what, dir) = args
        .next()
        .zip(args.next())
        .context("partitions WHAT DIR [NAME=VALUE...]")?;
    let mut settings = BTreeMap::new();
    for arg in args {
        let (name, value) = arg.split_once('=').context("settings are NAME=VALUE")?;
        settings.insert(name.to_owned(), value.parse()?);
    }
    let settings = Settings(settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let dir = Path::new(&dir);
    let report = runtime.block_on(async {
        match what.as_str() {
            "appends" => appends(dir, &settings).await,
            "trickle" => trickle(dir, &settings).await,
            "start" => start(dir, &settings).await,
            "catchup" => catchup(dir, &settings).await,
            "fetch" => fetch(dir, &settings).await,
            _ => bail!("no such measurement: {what}"),
        }
    })?;
    use std::io::Write;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

async fn open(dir: &Path, settings: &Settings) -> anyhow::Result<(Log, Vec<Partition>)> {
    let config = LogConfig {
        dir: dir.to_owned(),
        durability: settings.durability(),
        ..LogConfig::default()
    };
    let log = Log::open(config, Clock::system()).await?;
    let topic = TopicName::new("bench")?;
    if log.topic(&topic).is_none() {
        let partitions = i32::try_from(settings.get("partitions", 1))?;
        log.create_topic(&topic, TopicSpec::partitions(partitions))
            .await?;
    }
    let partitions = log.partitions(&topic);
    Ok((log, partitions))
}

fn batch(bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    let value = vec![b'v'; bytes.saturating_sub(AROUND_BYTES)];
    builder.push_parts(Timestamp(1), None, Some(&value), [].into_iter());
    builder.finish(None).expect("one record was given")
}

/// A copy with bytes of its own, as each batch from a producer has.
fn fresh(batch: &RecordBatch) -> RecordBatch {
    let bytes = Bytes::copy_from_slice(batch.bytes());
    RecordBatch::parse_trusted(bytes).expect("it is a batch")
}

async fn appends(dir: &Path, settings: &Settings) -> anyhow::Result<serde_json::Value> {
    let _dir = DataDir::open(dir)?;
    let (log, partitions) = open(dir, settings).await?;
    let bytes = usize::try_from(settings.get("bytes", 1_100))?;
    let in_flight = usize::try_from(settings.get("in_flight", 1))?;
    let total = settings.get("mb", 256) * 1_000_000;
    let template = Arc::new(batch(bytes));
    let each = total / template.bytes().len() as u64 / partitions.len() as u64;
    let (begun, before) = (Clock::system(), Usage::now()?);
    let tasks: Vec<_> = partitions
        .into_iter()
        .map(|partition| {
            let template = Arc::clone(&template);
            tokio::spawn(async move {
                let mut waiting = std::collections::VecDeque::new();
                for _ in 0..each.max(1) {
                    if waiting.len() == in_flight
                        && let Some(ticket) = waiting.pop_front()
                    {
                        let ticket: wstream_log::AppendTicket = ticket;
                        ticket.await?;
                    }
                    waiting.push_back(partition.submit(fresh(&template)).await?);
                }
                for ticket in waiting {
                    ticket.await?;
                }
                Ok::<u64, wstream_log::AppendError>(each.max(1))
            })
        })
        .collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await??;
    }
    let seconds = begun.monotonic().as_secs_f64();
    let used = Usage::now()?.since(&before);
    let payload = appended * template.bytes().len() as u64;
    let closing = Clock::system();
    log.close().await;
    Ok(serde_json::json!({
        "appends_per_second": round(appended as f64 / seconds),
        "megabytes_per_second": round(payload as f64 / seconds / 1e6),
        "cpu_seconds_per_gigabyte": used.cpu / payload as f64 * 1e9,
        "written_per_byte": used.written as f64 / payload as f64,
        "peak_mb": peak_mb()?,
        "close_seconds": closing.monotonic().as_secs_f64(),
    }))
}

async fn trickle(dir: &Path, settings: &Settings) -> anyhow::Result<serde_json::Value> {
    let _dir = DataDir::open(dir)?;
    let (log, partitions) = open(dir, settings).await?;
    let template = Arc::new(batch(usize::try_from(settings.get("bytes", 1_100))?));
    let seconds = settings.get("seconds", 30);
    let before = Usage::now()?;
    let count = partitions.len() as u64;
    let tasks: Vec<_> = (0_u64..)
        .zip(partitions)
        .map(|(n, partition)| {
            let template = Arc::clone(&template);
            tokio::spawn(async move {
                let mut times = Vec::new();
                tokio::time::sleep(Duration::from_micros(n * 1_000_000 / count)).await;
                let mut every = tokio::time::interval(Duration::from_secs(1));
                for _ in 0..seconds {
                    every.tick().await;
                    let begun = Clock::system();
                    partition.append(fresh(&template)).await?;
                    times.push(begun.monotonic());
                }
                Ok::<_, wstream_log::AppendError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    let used = Usage::now()?.since(&before);
    let payload = times.len() * template.bytes().len();
    let at = |part: usize| times[(times.len() - 1) * part / 1_000].as_secs_f64() * 1e3;
    let mut report = serde_json::json!({
        "p50_ms": at(500), "p99_ms": at(990), "p999_ms": at(999), "max_ms": at(1_000),
        "written_per_byte": used.written as f64 / payload as f64,
        "cpu_seconds_per_second": used.cpu / seconds as f64,
        "peak_mb": peak_mb()?,
    });
    if settings.get("abort", 0) == 1 {
        use std::io::Write;
        writeln!(std::io::stdout(), "{report}")?;
        std::process::abort();
    }
    let closing = Clock::system();
    log.close().await;
    report["close_seconds"] = closing.monotonic().as_secs_f64().into();
    Ok(report)
}

async fn start(dir: &Path, settings: &Settings) -> anyhow::Result<serde_json::Value> {
    let _dir = DataDir::open(dir)?;
    let begun = Clock::system();
    let (log, partitions) = open(dir, settings).await?;
    let opened = begun.monotonic().as_secs_f64();
    let records: i64 = partitions.iter().map(|p| p.marks().log_end.0).sum();
    let closing = Clock::system();
    log.close().await;
    Ok(serde_json::json!({
        "open_seconds": opened, "records": records, "partitions": partitions.len(),
        "close_seconds": closing.monotonic().as_secs_f64(), "peak_mb": peak_mb()?,
    }))
}

async fn catchup(dir: &Path, settings: &Settings) -> anyhow::Result<serde_json::Value> {
    if settings.get("mb", 0) > 0 {
        appends(dir, settings).await?;
    }
    let _dir = DataDir::open(dir)?;
    let (log, partitions) = open(dir, settings).await?;
    let mut settled = 0.0;
    if settings.get("settle", 1) == 1 {
        let begun = Clock::system();
        log.maintain().await;
        settled = begun.monotonic().as_secs_f64();
    }
    log.close().await;
    drop((log, partitions));
    let (log, partitions) = open(dir, settings).await?;
    let name = TopicPartition::new(TopicName::new("bench")?, PartitionId(7));
    let partition = partitions
        .iter()
        .find(|p| *p.name() == name)
        .context("no partition 7")?;
    let (begun, before) = (Clock::system(), Usage::now()?);
    let (mut at, mut bytes) = (Offset(0), 0);
    let end = partition.marks().high_watermark;
    while at < end {
        let read = partition
            .fetch(at, ByteSize::mib(1), Upto::HighWatermark, None)
            .await?;
        bytes += read.parts.iter().map(Bytes::len).sum::<usize>();
        anyhow::ensure!(read.next > at, "stuck at {at}");
        at = read.next;
    }
    let used = Usage::now()?.since(&before);
    let seconds = begun.monotonic().as_secs_f64();
    log.close().await;
    Ok(serde_json::json!({
        "bytes": bytes, "read_per_byte": used.read as f64 / bytes as f64, "seconds": seconds,
        "settle_seconds": settled, "peak_mb": peak_mb()?,
    }))
}

async fn fetch(dir: &Path, settings: &Settings) -> anyhow::Result<serde_json::Value> {
    let _dir = DataDir::open(dir)?;
    let (log, partitions) = open(dir, settings).await?;
    for partition in &partitions {
        partition.append(batch(200)).await?;
    }
    let rounds = settings.get("rounds", 100);
    let before = Usage::now()?;
    for _ in 0..rounds {
        for partition in &partitions {
            let end = partition.marks().high_watermark;
            let read = partition
                .fetch(end, ByteSize::mib(1), Upto::HighWatermark, None)
                .await?;
            anyhow::ensure!(read.parts.is_empty());
        }
    }
    let used = Usage::now()?.since(&before);
    log.close().await;
    Ok(serde_json::json!({ "cpu_ms_per_round": used.cpu * 1e3 / rounds as f64 }))
}

fn round(number: f64) -> f64 {
    number.round()
}

/// What the process has used.
struct Usage {
    cpu: f64,
    read: u64,
    written: u64,
}

impl Usage {
    fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit_once(')').context("no stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse().unwrap_or(0)).sum();
        let io = std::fs::read_to_string("/proc/self/io")?;
        let field = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Self {
            cpu: ticks as f64 / 100.0,
            read: field("rchar:"),
            written: field("wchar:"),
        })
    }

    fn since(self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            read: self.read - before.read,
            written: self.written - before.written,
        }
    }
}

fn peak_mb() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: u64 = line
        .unwrap_or("0 kB")
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kb / 1024)
}
