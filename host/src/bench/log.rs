//! Measures the log: appends batches of records and waits for each to be acknowledged, beside a
//! plain file that takes the same bytes in the same run.
//!
//! Each partition has a producer that keeps a number of batches in flight. A latency is the time
//! from handing a batch over to its acknowledgement. The file's producer writes the batches one
//! after the other; with `--durability disk` it calls fdatasync whenever as many batches are
//! written as the log's producers keep in flight, else once at the end. Log and file take turns,
//! and the round with the median rate is reported. CPU seconds are those of the whole process.
//! Each batch has bytes of its own, copied just before it is appended or written: what a producer
//! hands over was made a moment ago. Log and file pay for that copy alike.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Serialize;
use wstream_log::{DataDir, Durability, Log, LogConfig, Partition, TopicSpec};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, PartitionId, RecordBatch, Timestamp, TopicName, TopicPartition,
};

use super::{Scratch, cpu_time};
use crate::units::Size;

/// Batches in flight, at most, over all partitions.
const IN_FLIGHT_MAX: usize = 10_000;
/// Rounds, at most.
const ROUNDS_MAX: usize = 100;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct LogBenchOptions {
    /// Bytes of a record's value.
    #[arg(long, default_value = "1KiB")]
    pub record_bytes: Size,
    /// Bytes of a batch, about; a batch has at least one record.
    #[arg(long, default_value = "100kB")]
    pub batch_bytes: Size,
    /// Bytes to append in a round, over all partitions.
    #[arg(long, default_value = "512MiB")]
    pub total_bytes: Size,
    /// What an acknowledged batch survives.
    #[arg(long, value_enum, default_value = "process")]
    pub durability: BenchDurability,
    /// Partitions, each with a producer of its own.
    #[arg(long, default_value_t = 1)]
    pub partitions: i32,
    /// Batches that a producer sends before it waits for the first to be acknowledged.
    #[arg(long, default_value_t = 8)]
    pub in_flight: usize,
    /// Rounds; the one with the median rate is reported.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// What to measure beside the log.
    #[arg(long, value_enum)]
    pub baseline: Option<Baseline>,
    /// A directory on the device to measure; a new one in it is used and removed.
    #[arg(long, value_name = "DIR", default_value_os_t = super::scratch_parent())]
    pub dir: PathBuf,
    /// Fill the topic `bench` of a node's data directory, in one round, and keep it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "rounds", "baseline"])]
    pub data: Option<PathBuf>,
}

/// What an acknowledged batch survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchDurability {
    /// A killed process.
    Process,
    /// A power cut.
    Disk,
}

/// What to measure beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// One file that takes the same bytes.
    File,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct LogBenchReport {
    /// Bytes of a record's value.
    pub record_bytes: u64,
    /// Bytes of a batch as it is stored.
    pub batch_bytes: u64,
    /// Records of a batch.
    pub batch_records: usize,
    /// What an acknowledged batch survives.
    pub durability: BenchDurability,
    /// Producers, one per partition.
    pub partitions: i32,
    /// Batches in flight per producer.
    pub in_flight: usize,
    /// Rounds of each.
    pub rounds: usize,
    /// The log.
    pub log: Measured,
    /// The plain file, if asked for.
    pub file: Option<Measured>,
}

/// One round.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Megabytes (1,000,000 bytes) of batches per second.
    pub megabytes_per_second: f64,
    /// Records per second.
    pub records_per_second: f64,
    /// Half of the batches were acknowledged within this many microseconds.
    pub latency_p50_us: f64,
    /// 99 of 100.
    pub latency_p99_us: f64,
    /// 999 of 1,000.
    pub latency_p999_us: f64,
    /// CPU seconds of the process per 1,000,000,000 bytes of batches.
    pub cpu_seconds_per_gigabyte: f64,
}

/// Runs the measurement.
///
/// # Errors
/// The options make no sense, or the disk refuses.
pub async fn run(options: LogBenchOptions) -> anyhow::Result<LogBenchReport> {
    let partitions = usize::try_from(options.partitions).unwrap_or(0);
    let in_flight = partitions.checked_mul(options.in_flight).unwrap_or(0);
    ensure!(
        (1..=IN_FLIGHT_MAX).contains(&in_flight),
        "--partitions times --in-flight must be 1 to {IN_FLIGHT_MAX}"
    );
    ensure!(
        (1..=ROUNDS_MAX).contains(&options.rounds),
        "--rounds must be 1 to {ROUNDS_MAX}"
    );
    let (batch, records) = make_batch(&options)?;
    let bytes = batch.bytes().len() as u64;
    let count = (options.total_bytes.0.0 / bytes).max(1);
    let load = Load {
        options: options.clone(),
        batch,
        records,
        per_partition: count.div_ceil(partitions as u64),
        partitions,
        clock: Clock::system(),
    };
    let mut log = Vec::new();
    let mut file = Vec::new();
    if let Some(data) = &options.data {
        let data = DataDir::open(data)?;
        log.push(load.measure_log(data.path()).await?);
        return report(&load, log, file);
    }
    let scratch = Scratch::new(&options.dir)?;
    for round in 0..options.rounds {
        let dir = scratch.path().join(format!("log-{round}"));
        log.push(load.measure_log(&dir).await?);
        fs::remove_dir_all(&dir)?;
        if options.baseline == Some(Baseline::File) {
            let load = load.clone();
            let path = scratch.path().join(format!("file-{round}"));
            let measured = tokio::task::spawn_blocking(move || load.measure_file(&path));
            file.push(measured.await??);
        }
    }
    report(&load, log, file)
}

fn report(load: &Load, log: Vec<Measured>, file: Vec<Measured>) -> anyhow::Result<LogBenchReport> {
    let options = &load.options;
    Ok(LogBenchReport {
        record_bytes: options.record_bytes.0.0,
        batch_bytes: load.batch.bytes().len() as u64,
        batch_records: load.records,
        durability: options.durability,
        partitions: options.partitions,
        in_flight: options.in_flight,
        rounds: log.len(),
        log: median(log).context("at least one round was run")?,
        file: median(file),
    })
}

#[derive(Clone)]
struct Load {
    options: LogBenchOptions,
    batch: RecordBatch,
    records: usize,
    per_partition: u64,
    partitions: usize,
    clock: Clock,
}

impl Load {
    async fn measure_log(&self, dir: &Path) -> anyhow::Result<Measured> {
        let config = LogConfig {
            dir: dir.to_owned(),
            durability: match self.options.durability {
                BenchDurability::Process => Durability::Process,
                BenchDurability::Disk => Durability::Disk,
            },
            disk_free_min: ByteSize(0),
            ..LogConfig::default()
        };
        let log = Log::open(config, self.clock.clone()).await?;
        let topic = TopicName::new("bench")?;
        let settings = TopicSpec::partitions(self.options.partitions)
            .max_message_bytes(ByteSize(u64::from(i32::MAX.unsigned_abs())));
        if log.topic(&topic).is_none() {
            log.create_topic(&topic, settings).await?;
        }
        let mut producers = Vec::new();
        for number in (0..self.options.partitions).map(PartitionId) {
            let name = TopicPartition::new(topic.clone(), number);
            let partition = log.partition(&name).context("the topic was created")?;
            producers.push(partition);
        }
        let mut started = Meter::start(&self.clock);
        let producers: Vec<_> = producers
            .into_iter()
            .map(|partition| tokio::spawn(self.clone().produce(partition)))
            .collect();
        for producer in producers {
            started.latencies.extend(producer.await??);
        }
        let measured = started.stop(self.batches(), self);
        log.close().await;
        Ok(measured)
    }

    /// A batch with bytes of its own.
    fn fresh_batch(&self) -> RecordBatch {
        let bytes = Bytes::from(self.batch.bytes().to_vec());
        RecordBatch::parse_trusted(bytes).expect("it is a copy of a batch")
    }

    async fn produce(self, partition: Partition) -> anyhow::Result<Vec<Duration>> {
        let mut waiting = VecDeque::new();
        let mut latencies = Vec::new();
        for _ in 0..self.per_partition {
            if waiting.len() == self.options.in_flight
                && let Some((sent, ticket)) = waiting.pop_front()
            {
                self.acknowledged(sent, ticket, &mut latencies).await?;
            }
            let batch = self.fresh_batch();
            let sent = self.clock.monotonic();
            waiting.push_back((sent, partition.submit(batch).await?));
        }
        for (sent, ticket) in waiting {
            self.acknowledged(sent, ticket, &mut latencies).await?;
        }
        Ok(latencies)
    }

    async fn acknowledged(
        &self,
        sent: Duration,
        ticket: wstream_log::AppendTicket,
        latencies: &mut Vec<Duration>,
    ) -> anyhow::Result<()> {
        ticket.await?;
        latencies.push(self.clock.monotonic().saturating_sub(sent));
        Ok(())
    }

    fn measure_file(&self, path: &Path) -> anyhow::Result<Measured> {
        let mut file = File::create(path)?;
        let mut meter = Meter::start(&self.clock);
        let disk = self.options.durability == BenchDurability::Disk;
        let group = self.options.in_flight * self.partitions;
        for number in 1..=self.batches() {
            let batch = self.fresh_batch();
            let sent = self.clock.monotonic();
            file.write_all(batch.bytes())?;
            if disk && number % group as u64 == 0 {
                file.sync_data()?;
            }
            let took = self.clock.monotonic().saturating_sub(sent);
            meter.latencies.push(took);
        }
        file.sync_data()?;
        let measured = meter.stop(self.batches(), self);
        fs::remove_file(path)?;
        Ok(measured)
    }

    fn batches(&self) -> u64 {
        self.per_partition * self.partitions as u64
    }
}

/// A batch of records whose bytes do not repeat.
fn make_batch(options: &LogBenchOptions) -> anyhow::Result<(RecordBatch, usize)> {
    let bytes = usize::try_from(options.record_bytes.0.0)?;
    let batch_bytes = usize::try_from(options.batch_bytes.0.0)?;
    ensure!(
        bytes < 1 << 30 && batch_bytes < 1 << 30,
        "records and batches must be below 1 GiB"
    );
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut value = vec![0; bytes];
    let mut builder = BatchBuilder::new();
    while builder.is_empty() || builder.byte_len() + bytes < batch_bytes {
        for part in value.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            part.copy_from_slice(&random.to_le_bytes()[..part.len()]);
        }
        let time = Timestamp(1_700_000_000_000);
        builder.push_parts(time, None, Some(&value), [].into_iter());
    }
    let records = builder.len();
    let batch = builder.finish(None).context("the batch has a record")?;
    Ok((batch, records))
}

struct Meter {
    clock: Clock,
    wall: Duration,
    cpu: Duration,
    latencies: Vec<Duration>,
}

impl Meter {
    fn start(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            wall: clock.monotonic(),
            cpu: cpu_time(),
            latencies: Vec::new(),
        }
    }

    fn stop(mut self, batches: u64, load: &Load) -> Measured {
        let seconds = (self.clock.monotonic().saturating_sub(self.wall)).as_secs_f64();
        let cpu = cpu_time().saturating_sub(self.cpu).as_secs_f64();
        let bytes = batches as f64 * load.batch.bytes().len() as f64;
        self.latencies.sort_unstable();
        let quantile = |q: f64| {
            let place = (self.latencies.len() as f64 * q) as usize;
            let last = self.latencies.len().saturating_sub(1);
            let latency = self.latencies.get(place.min(last));
            latency.map_or(0.0, |d| d.as_secs_f64() * 1e6)
        };
        Measured {
            seconds,
            megabytes_per_second: bytes / 1e6 / seconds,
            records_per_second: batches as f64 * load.records as f64 / seconds,
            latency_p50_us: quantile(0.5),
            latency_p99_us: quantile(0.99),
            latency_p999_us: quantile(0.999),
            cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
        }
    }
}

fn median(mut rounds: Vec<Measured>) -> Option<Measured> {
    rounds.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    rounds.get(rounds.len() / 2).copied()
}

impl fmt::Display for LogBenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "batches of {} bytes ({} records of {}), {} partition(s), {} in flight, durability {:?}, median of {} round(s)",
            self.batch_bytes,
            self.batch_records,
            self.record_bytes,
            self.partitions,
            self.in_flight,
            self.durability,
            self.rounds,
        )?;
        writeln!(
            f,
            "{:5} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9}",
            "", "MB/s", "records/s", "p50 us", "p99 us", "p99.9 us", "CPU s/GB"
        )?;
        let rows = [("log", Some(&self.log)), ("file", self.file.as_ref())];
        for (name, measured) in rows {
            if let Some(m) = measured {
                writeln!(
                    f,
                    "{name:5} {:>9.1} {:>12.0} {:>9.0} {:>9.0} {:>9.0} {:>9.2}",
                    m.megabytes_per_second,
                    m.records_per_second,
                    m.latency_p50_us,
                    m.latency_p99_us,
                    m.latency_p999_us,
                    m.cpu_seconds_per_gigabyte,
                )?;
            }
        }
        if let Some(file) = &self.file {
            let rate = self.log.megabytes_per_second / file.megabytes_per_second;
            write!(f, "log / file: {:.0} % of the rate", rate * 100.0)?;
            // With more in flight the file's latencies are those of writes without fdatasync.
            if self.in_flight == 1 && self.partitions == 1 {
                let latency = self.log.latency_p50_us / file.latency_p50_us.max(f64::MIN_POSITIVE);
                write!(f, ", {latency:.2} times the p50")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_run_measures_log_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let options = LogBenchOptions {
            record_bytes: Size(ByteSize(100)),
            batch_bytes: Size(ByteSize(1_000)),
            total_bytes: Size(ByteSize(50_000)),
            durability: BenchDurability::Disk,
            partitions: 2,
            in_flight: 3,
            rounds: 1,
            baseline: Some(Baseline::File),
            dir: dir.path().to_owned(),
            data: None,
        };
        let report = run(options).await.unwrap();
        for measured in [Some(report.log), report.file] {
            let measured = measured.unwrap();
            assert!(measured.megabytes_per_second > 0.0);
            assert!(measured.latency_p50_us <= measured.latency_p999_us);
        }
        assert!(report.to_string().contains("CPU s/GB"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
