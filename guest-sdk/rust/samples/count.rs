//! Adds to each object how many records with its key came so far, this one included.

use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, State, Transform, export};

#[derive(Debug)]
pub struct Count;

impl Transform for Count {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let key = record.key();
        let key = key.ok_or_else(|| Failure::new(2, "the record has no key"))?;
        let count = State::get_json::<u64>(key)?.unwrap_or(0) + 1;
        State::put(key, count.to_string()).map_err(|limit| Failure::new(3, limit.to_string()))?;
        // If this fails, what was just put is discarded: a record that fails does not count.
        let object = record.json();
        let mut object = object.map_err(|_| Failure::new(1, "the value is not a JSON object"))?;
        object.set("count", count);
        out.send(Output::of(record).json(&object));
        Ok(())
    }
}

export!(Count);
