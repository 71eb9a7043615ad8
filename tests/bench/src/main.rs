//! Measures the same Rust code natively and as a module, in one run: `wstream-bench transform DIST`
//! with the folder that holds `bench-json.wasm`. Prints JSON: nanoseconds per record, medians.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bench_json::{BenchJson, Config};
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use wstream_guest::Transform as _;
use wstream_record::{Clock, Offset, PartitionId, Record, StoredRecord, Timestamp, TopicName};
use wstream_transform::{InputBatch, Instance, Limits, Runtime, RuntimeConfig, Transform};

/// Records of a batch, as a pipeline hands them over.
const BATCH: usize = 1000;
/// Batches of a round.
const BATCHES: usize = 200;
/// Rounds of each kind; native and guest alternate.
const ROUNDS: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(text) => {
            use std::io::Write as _;
            writeln!(std::io::stdout(), "{text}").map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [command, dist] = args.as_slice() else {
        bail!("usage: wstream-bench transform DIST")
    };
    if command != "transform" {
        bail!("unknown measurement {command:?}: there is transform");
    }
    let path = Path::new(dist).join("bench-json.wasm");
    let wasm = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let module = runtime.compile(Bytes::from(wasm)).await?;
    let values = bench_json::sample(BATCH, 7);
    let bytes: usize = values.iter().map(Vec::len).sum();
    let mut rows = Map::new();
    rows.insert("bytes per record".to_owned(), json!(bytes / BATCH));
    for job in ["identity", "lazy", "serde", "tree"] {
        let config = format!("{{\"job\":\"{job}\"}}");
        let raw = RawValue::from_string(config.clone())?;
        let transform = Transform::new("bench-json", &module, Some(&raw), Limits::default());
        let mut instance = transform.instantiate().await?;
        let mut native = BenchJson::new(serde_json::from_str::<Config>(&config)?)
            .map_err(|e| anyhow::anyhow!("{e:?}"))?;
        let (mut natives, mut guests, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            natives.push(native_round(&mut native, &values)?);
            let before = transform.stats().nanos;
            guests.push(guest_round(&mut instance, &values).await?);
            let inside = transform.stats().nanos - before;
            calls.push(inside as f64 / (BATCH * BATCHES) as f64);
        }
        let (native, guest, call) = (median(natives), median(guests), median(calls));
        let row = json!({
            "native_ns": native.round(),
            "guest_call_ns": call.round(),
            "guest_end_to_end_ns": guest.round(),
            "ratio": (call / native * 100.0).round() / 100.0,
        });
        rows.insert(job.to_owned(), row);
    }
    Ok(Value::Object(rows).to_string())
}

/// Nanoseconds per record of the code compiled natively, over the same frames.
fn native_round(transform: &mut BenchJson, values: &[Vec<u8>]) -> anyhow::Result<f64> {
    let frame = frame(values)?;
    let mut out = Vec::new();
    let clock = Clock::system();
    for _ in 0..BATCHES {
        out.clear();
        wstream_guest::process_batch(transform, &frame, &mut out, |index| {
            std::hint::black_box(index);
        })
        .map_err(|_| anyhow::anyhow!("the frame does not read"))?;
        std::hint::black_box(&out);
    }
    Ok(clock.monotonic().as_nanos() as f64 / (BATCH * BATCHES) as f64)
}

/// Nanoseconds per record from handing a batch over to having its outputs.
async fn guest_round(instance: &mut Instance, values: &[Vec<u8>]) -> anyhow::Result<f64> {
    let topic = TopicName::new("bench")?;
    let batches: Vec<Vec<StoredRecord>> = (0..BATCHES).map(|_| records(values)).collect();
    let clock = Clock::system();
    for batch in batches {
        let mut rest = Some(InputBatch::new(topic.clone(), PartitionId(0), batch));
        while let Some(batch) = rest {
            let done = instance.process(batch).await;
            if let Some(failure) = done.failures.first() {
                bail!("record {}: {}", failure.index, failure.message);
            }
            rest = done.rest;
        }
    }
    Ok(clock.monotonic().as_nanos() as f64 / (BATCH * BATCHES) as f64)
}

fn records(values: &[Vec<u8>]) -> Vec<StoredRecord> {
    let values = values.iter().map(|v| Bytes::from(v.clone()));
    values
        .enumerate()
        .map(|(at, value)| StoredRecord {
            offset: Offset(at as i64),
            record: Record {
                timestamp: Timestamp(1),
                value: Some(value),
                ..Record::default()
            },
        })
        .collect()
}

/// A batch frame as guest-sdk/ABI.md lays it out.
fn frame(values: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(5u16.to_le_bytes());
    out.extend(b"bench");
    out.extend(0i32.to_le_bytes());
    out.extend(u32::try_from(values.len())?.to_le_bytes());
    for (offset, value) in values.iter().enumerate() {
        out.extend((offset as i64).to_le_bytes());
        out.extend(1i64.to_le_bytes());
        out.extend((-1i32).to_le_bytes());
        out.extend(i32::try_from(value.len())?.to_le_bytes());
        out.extend(value);
        out.extend(0u32.to_le_bytes());
    }
    Ok(out)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
