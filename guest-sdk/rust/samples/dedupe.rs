//! Drops a record whose key was seen before; with `field`, one whose value has a field that was.

use std::time::Duration;

use serde::Deserialize;
use wstream_guest::{Failure, Output, Outputs, Record, State, Transform, export};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The field of the value to go by, instead of the key.
    field: Option<String>,
    /// For how long to remember; for good without.
    ttl_ms: Option<u64>,
}

#[derive(Debug)]
pub struct Dedupe(Config);

impl Transform for Dedupe {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        Ok(Self(config))
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let key = match &self.0.field {
            Some(field) => key_of(record, field)?,
            None => {
                let key = record.key().map(<[u8]>::to_vec);
                key.ok_or_else(|| Failure::new(2, "the record has no key"))?
            }
        };
        if State::get(&key).is_some() {
            return Ok(());
        }
        let put = match self.0.ttl_ms {
            Some(ttl_ms) => State::put_for(&key, "", Duration::from_millis(ttl_ms)),
            None => State::put(&key, ""),
        };
        put.map_err(|limit| Failure::new(3, limit.to_string()))?;
        out.send(Output::of(record));
        Ok(())
    }
}

/// A string by what it means, so that escapes make no difference; its quote tells it from a number.
fn key_of(record: &Record<'_>, field: &str) -> Result<Vec<u8>, Failure> {
    let object = record.json();
    let object = object.map_err(|_| Failure::new(1, "the value is not a JSON object"))?;
    let value = object.get(field).filter(|value| !value.is_null());
    let value = value.ok_or_else(|| Failure::new(2, format!("{field} is missing")))?;
    Ok(match value.as_str() {
        Some(text) => format!("\"{text}").into_bytes(),
        None => value.bytes().to_vec(),
    })
}

export!(Dedupe);
