//! Measures a module: batches of records through one instance, as a pipeline hands them over.
//!
//! The time of a record is what the guest threads spent on it: writing the input frame, the module,
//! checking and taking over the output frame. The rate is that of the caller, who waits for each
//! batch before it hands over the next. Every round has a warm-up batch that does not count; the
//! round with the median rate is reported.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use wstream_record::{
    ByteSize, Clock, Offset, PartitionId, Record, StoredRecord, Timestamp, TopicName,
};
use wstream_transform::{InputBatch, Instance, Limits, Module, Runtime, RuntimeConfig, Transform};

use super::{Scratch, cpu_time, scratch_parent};

/// Bytes of a generated record.
const RECORD_BYTES: usize = 305;
/// Records that are made or read; a longer run takes them again.
const RECORDS_HELD_MAX: usize = 100_000;
/// Bytes of a file of records.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Rounds, at most.
const ROUNDS_MAX: usize = 100;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct TransformBenchOptions {
    /// The module.
    pub module: PathBuf,
    /// Its configuration as JSON.
    #[arg(long, default_value = "{}")]
    pub config: String,
    /// A file whose lines are the values of the records. Default: log lines of 305 bytes of JSON,
    /// one in ten of them at debug level.
    #[arg(long)]
    pub records: Option<PathBuf>,
    /// Records of a round.
    #[arg(long, default_value_t = 500_000)]
    pub count: usize,
    /// Records of a batch.
    #[arg(long, default_value_t = 1000)]
    pub batch: usize,
    /// Rounds; the one with the median rate is reported.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Hold so many instances at a time and report what they take.
    #[arg(long, value_name = "N")]
    pub instances: Option<usize>,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct TransformBenchReport {
    /// The module's name, or its file's.
    pub module: String,
    /// Bytes of the module.
    pub module_bytes: u64,
    /// Milliseconds it took to compile.
    pub compile_ms: f64,
    /// Milliseconds it took to find it compiled, as at a node's next start.
    pub cached_ms: f64,
    /// Instances that were held at a time, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// Bytes of this process that they took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances_bytes: Option<u64>,
    /// Microseconds it took to make an instance.
    pub instantiate_us: f64,
    /// Records of a batch.
    pub batch: usize,
    /// Bytes of a record's value, on average.
    pub record_bytes: f64,
    /// Rounds.
    pub rounds: usize,
    /// The round with the median rate.
    #[serde(flatten)]
    pub measured: Measured,
}

/// One round.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Records.
    pub records: u64,
    /// Outputs.
    pub outputs: u64,
    /// Records that failed.
    pub failures: u64,
    /// Records per second.
    pub records_per_second: f64,
    /// Nanoseconds per record on the guest threads.
    pub ns_per_record: f64,
    /// Half of the batches were done within this many microseconds.
    pub batch_p50_us: f64,
    /// 99 of 100.
    pub batch_p99_us: f64,
    /// CPU seconds of the process per 1,000,000 records.
    pub cpu_seconds_per_million: f64,
    /// Bytes of the instance's memory at the end.
    pub memory_bytes: u64,
}

/// Runs the measurement.
///
/// # Errors
/// The options make no sense, a file cannot be read, or the module is not a transform.
pub async fn run(options: TransformBenchOptions) -> anyhow::Result<TransformBenchReport> {
    ensure!(options.count > 0, "--count must be at least 1");
    ensure!(
        (1..=RECORDS_HELD_MAX).contains(&options.batch),
        "--batch must be 1 to {RECORDS_HELD_MAX}"
    );
    ensure!(
        (1..=ROUNDS_MAX).contains(&options.rounds),
        "--rounds must be 1 to {ROUNDS_MAX}"
    );
    let config: Box<RawValue> =
        serde_json::from_str(&options.config).context("--config is not JSON")?;
    let wasm = read(&options.module)?;
    let kept = Scratch::new(&scratch_parent())?;
    let compile_ms = milliseconds(&compile(&wasm, kept.path()).await?);
    // Another engine on the same folder: what the next start of a node finds.
    let module = compile(&wasm, kept.path()).await?;
    let values = match &options.records {
        Some(path) => read_lines(path)?,
        None => generate(options.batch.max(10_000).min(options.count)),
    };
    let bytes: usize = values.iter().map(Bytes::len).sum();
    let record_bytes = bytes as f64 / values.len() as f64;
    let batches = make_batches(&values, options.batch)?;
    let name = module.metadata().name.clone();
    let name = name.unwrap_or_else(|| options.module.display().to_string());
    let clock = Clock::system();
    let (mut rounds, mut instantiate) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let transform = Transform::new(&name, &module, Some(&config), Limits::default());
        let from = clock.monotonic();
        let instance = transform.instantiate().await?;
        instantiate.push(clock.monotonic().saturating_sub(from));
        let round = Round {
            transform,
            instance,
            clock: clock.clone(),
        };
        rounds.push(round.measure(&batches, options.count).await?);
    }
    let instances_bytes = match options.instances {
        Some(count) => {
            let transform = Transform::new(&name, &module, Some(&config), Limits::default());
            Some(hold(&transform, count).await?)
        }
        None => None,
    };
    rounds.sort_by(|a, b| a.records_per_second.total_cmp(&b.records_per_second));
    instantiate.sort_unstable();
    Ok(TransformBenchReport {
        module: name,
        module_bytes: module.size().0,
        compile_ms,
        cached_ms: milliseconds(&module),
        instances: options.instances,
        instances_bytes,
        instantiate_us: quantile(&instantiate, 0.5),
        batch: options.batch,
        record_bytes,
        rounds: options.rounds,
        measured: *rounds.get(rounds.len() / 2).context("no round was run")?,
    })
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let wasm = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Bytes::from(wasm))
}

async fn compile(wasm: &Bytes, kept: &Path) -> anyhow::Result<Module> {
    let runtime: Arc<Runtime> = Runtime::new(RuntimeConfig {
        cache_dir: Some(kept.to_owned()),
        // Many instances are held at a time to see what they take.
        memory_total: ByteSize::gib(64),
        ..RuntimeConfig::default()
    })?;
    Ok(runtime.compile(wasm.clone()).await?)
}

fn milliseconds(module: &Module) -> f64 {
    module.compile_time().as_secs_f64() * 1e3
}

/// Bytes that so many instances add to this process.
async fn hold(transform: &Transform, count: usize) -> anyhow::Result<u64> {
    let before = resident_bytes()?;
    let mut instances = Vec::with_capacity(count);
    for _ in 0..count {
        instances.push(transform.instantiate().await?);
    }
    let after = resident_bytes()?;
    drop(instances);
    Ok(after.saturating_sub(before))
}

/// Memory of this process. A page that many instances map, as the first contents of a module's
/// memory, counts once; `VmRSS` would count it for each.
fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: u64 = kib
        .context("the system does not say how much memory is used")?
        .trim()
        .parse()?;
    Ok(kib << 10)
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Bytes>> {
    let cannot = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    ensure!(
        size <= FILE_BYTES_MAX,
        "{} has {size} bytes, at most {FILE_BYTES_MAX} are taken",
        path.display()
    );
    let text = Bytes::from(std::fs::read(path).with_context(cannot)?);
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let values: Vec<_> = lines
        .take(RECORDS_HELD_MAX)
        .map(|line| text.slice_ref(line))
        .collect();
    ensure!(!values.is_empty(), "{} has no lines", path.display());
    Ok(values)
}

/// Log lines of 305 bytes whose fields differ; the same each time.
fn generate(count: usize) -> Vec<Bytes> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let line = |i: usize| {
        let level = if i % 10 == 9 { "debug" } else { "info" };
        let (host, user, cart) = (next(100), next(1_000_000), next(100_000));
        let (whole, part) = (next(1000), next(1000));
        let head = format!(
            concat!(
                r#"{{"ts":{},"level":"{}","host":"web-{:02}","service":"checkout","#,
                r#""latency_ms":{}.{:03},"status":200,"user":{{"id":{},"country":"DE"}},"#,
                r#""tags":["eu","blue","canary"],"msg":"cart {} was paid"#
            ),
            1_760_000_000_000_u64 + i as u64,
            level,
            host,
            whole,
            part,
            user,
            cart
        );
        let mut line = head.into_bytes();
        line.resize(RECORD_BYTES - 2, b'.');
        line.extend_from_slice(b"\"}");
        Bytes::from(line)
    };
    (0..count.min(RECORDS_HELD_MAX)).map(line).collect()
}

fn make_batches(values: &[Bytes], size: usize) -> anyhow::Result<Vec<InputBatch>> {
    let topic = TopicName::new("bench")?;
    let record = |(offset, value): (i64, &Bytes)| StoredRecord {
        offset: Offset(offset),
        record: Record {
            timestamp: Timestamp(1_760_000_000_000),
            value: Some(value.clone()),
            ..Record::default()
        },
    };
    let batch = |values: &[Bytes]| {
        let records: Vec<_> = (0..).zip(values).map(record).collect();
        InputBatch::new(topic.clone(), PartitionId(0), records)
    };
    Ok(values.chunks(size).map(batch).collect())
}

struct Round {
    transform: Transform,
    instance: Instance,
    clock: Clock,
}

impl Round {
    async fn measure(mut self, batches: &[InputBatch], count: usize) -> anyhow::Result<Measured> {
        let mut cycle = batches.iter().cycle();
        let first = cycle.next().context("there is no batch")?;
        self.process(first.clone()).await?;
        let before = self.transform.stats();
        let cpu = cpu_time();
        let from = self.clock.monotonic();
        let (mut done, mut latencies) = (0, Vec::new());
        while done < count {
            let batch = cycle.next().context("there is no batch")?.clone();
            done += batch.records().len();
            let sent = self.clock.monotonic();
            self.process(batch).await?;
            latencies.push(self.clock.monotonic().saturating_sub(sent));
        }
        let took = self.clock.monotonic().saturating_sub(from);
        let cpu = cpu_time().saturating_sub(cpu);
        let after = self.transform.stats();
        let records = after.records - before.records;
        let failed: u64 = after.failures.values().sum();
        let failed_before: u64 = before.failures.values().sum();
        latencies.sort_unstable();
        Ok(Measured {
            records,
            outputs: after.outputs - before.outputs,
            failures: failed - failed_before,
            records_per_second: records as f64 / took.as_secs_f64(),
            ns_per_record: (after.nanos - before.nanos) as f64 / records as f64,
            batch_p50_us: quantile(&latencies, 0.5),
            batch_p99_us: quantile(&latencies, 0.99),
            cpu_seconds_per_million: cpu.as_secs_f64() * 1e6 / records as f64,
            memory_bytes: after.memory.0,
        })
    }

    /// The outputs are dropped as a sink would drop them: after the batch.
    async fn process(&mut self, batch: InputBatch) -> anyhow::Result<()> {
        let mut next = Some(batch);
        while let Some(batch) = next {
            let processed = self.instance.process(batch).await;
            if let Some(error) = processed.error {
                return Err(error.into());
            }
            next = processed.rest;
        }
        Ok(())
    }
}

/// A quantile of sorted times, in microseconds.
fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let place = (sorted.len() as f64 * q) as usize;
    let last = sorted.len().saturating_sub(1);
    let time = sorted.get(place.min(last));
    time.map_or(0.0, |d| d.as_secs_f64() * 1e6)
}

impl fmt::Display for TransformBenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.measured;
        writeln!(
            f,
            "{}: {} bytes, compiled in {:.0} ms, again in {:.1} ms, an instance in {:.0} us",
            self.module, self.module_bytes, self.compile_ms, self.cached_ms, self.instantiate_us
        )?;
        if let (Some(count), Some(bytes)) = (self.instances, self.instances_bytes) {
            writeln!(f, "{count} instances take {bytes} bytes of this process")?;
        }
        writeln!(
            f,
            "{} records of {:.0} bytes in batches of {}: {} outputs, {} failures, median of {} round(s)",
            m.records, self.record_bytes, self.batch, m.outputs, m.failures, self.rounds
        )?;
        writeln!(
            f,
            "{:>12} {:>10} {:>12} {:>12} {:>12} {:>10}",
            "records/s", "ns/record", "batch p50 us", "batch p99 us", "CPU s/million", "memory KiB"
        )?;
        write!(
            f,
            "{:>12.0} {:>10.0} {:>12.0} {:>12.0} {:>12.2} {:>10}",
            m.records_per_second,
            m.ns_per_record,
            m.batch_p50_us,
            m.batch_p99_us,
            m.cpu_seconds_per_million,
            m.memory_bytes / 1024
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: &str = include_str!("../../crates/transform/guests/probe.wat");

    #[test]
    fn generated_records_are_json_of_305_bytes_with_debug_lines() {
        let values = generate(1000);
        let mut debug = 0;
        for value in &values {
            assert_eq!(value.len(), RECORD_BYTES);
            let json: serde_json::Value = serde_json::from_slice(value).unwrap();
            debug += usize::from(json["level"] == "debug");
        }
        assert_eq!(debug, 100);
        assert_eq!(values, generate(1000));
    }

    #[tokio::test]
    async fn a_module_is_measured_on_lines_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("probe.wasm");
        std::fs::write(&module, wat::parse_str(PROBE).unwrap()).unwrap();
        let records = dir.path().join("records.txt");
        std::fs::write(&records, "a\n!f\n\n!2\nb\n").unwrap();
        let report = run(TransformBenchOptions {
            module,
            config: "{}".to_owned(),
            records: Some(records),
            count: 100,
            batch: 4,
            rounds: 1,
            instances: Some(3),
        })
        .await
        .unwrap();
        let measured = report.measured;
        assert_eq!((measured.records, measured.outputs), (100, 100));
        assert_eq!(measured.failures, 25);
        assert!(measured.ns_per_record > 0.0 && measured.memory_bytes > 0);
        assert!(report.to_string().contains("100 records of 2 bytes"));
    }
}
