//! The work that transform benchmarks measure, the same code in the node and natively: drop the
//! records whose `level` is `debug`, rename `msg` to `message`, add `env`.
//!
//! Three ways to do it: `lazy` edits the bytes, `serde` reads into types and writes them, `tree`
//! builds a map; and `identity` sends the record on, which is what the boundary itself costs.
//! All but `identity` give the same answer for the records of [`sample`].

#[cfg(not(target_family = "wasm"))]
mod sample;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wstream_guest::{Failure, Output, Outputs, Record, Transform, export};

#[cfg(not(target_family = "wasm"))]
pub use sample::sample;

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    job: Job,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Job {
    Identity,
    #[default]
    Lazy,
    Serde,
    Tree,
}

#[derive(Debug)]
pub struct BenchJson {
    job: Job,
}

/// A log event; the fields stand in the order in which they are written.
#[derive(Deserialize, Serialize)]
struct Event<'a> {
    ts: u64,
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
    latency_ms: f64,
    status: u16,
    #[serde(borrow)]
    user: &'a RawValue,
    #[serde(borrow)]
    tags: &'a RawValue,
    #[serde(borrow, rename(deserialize = "msg"))]
    message: Cow<'a, str>,
    #[serde(skip_deserializing)]
    env: &'static str,
}

impl Transform for BenchJson {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        Ok(Self { job: config.job })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        match self.job {
            Job::Identity => {
                out.send(Output::of(record));
                Ok(())
            }
            Job::Lazy => lazy(record, out),
            Job::Serde => typed(record, out),
            Job::Tree => tree(record, out),
        }
    }
}

fn lazy(record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
    let mut event = record.json()?;
    if event
        .get("level")
        .is_some_and(|level| level.is_str("debug"))
    {
        return Ok(());
    }
    event.rename("msg", "message");
    event.set("env", "prod");
    out.send(Output::of(record).json(&event));
    Ok(())
}

fn typed(record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
    let mut event: Event<'_> = record.parse()?;
    if event.level == "debug" {
        return Ok(());
    }
    event.env = "prod";
    out.send_serde(Output::of(record), &event)
}

fn tree(record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
    let mut event: Map<String, Value> = record.parse()?;
    if event.get("level").and_then(Value::as_str) == Some("debug") {
        return Ok(());
    }
    if let Some(text) = event.shift_remove("msg") {
        event.insert("message".to_owned(), text);
    }
    event.insert("env".to_owned(), Value::from("prod"));
    out.send_serde(Output::of(record), &event)
}

export!(BenchJson);

#[cfg(test)]
mod tests {
    use wstream_guest::testing::{TestRecord, check_cases, make, run};

    use super::*;

    #[test]
    fn cases_come_out_as_written() {
        check_cases::<BenchJson>("cases.jsonl");
    }

    #[test]
    fn all_ways_give_the_same_answer() {
        let records: Vec<_> = sample(500, 1)
            .into_iter()
            .map(TestRecord::of_value)
            .collect();
        let answers = ["lazy", "serde", "tree"].map(|job| {
            let mut transform = make::<BenchJson>(&format!(r#"{{"job":"{job}"}}"#)).unwrap();
            run(&mut transform, &records)
        });
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
        let dropped = answers[0]
            .iter()
            .filter(|answer| answer.is_dropped())
            .count();
        assert!((50..200).contains(&dropped), "{dropped} of 500 dropped");
        let bytes: usize = records
            .iter()
            .filter_map(|r| r.value.as_ref())
            .map(Vec::len)
            .sum();
        assert_eq!(bytes / records.len(), 305);
    }
}
