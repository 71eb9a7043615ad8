//! Joins records to a table that is itself a topic: its records are kept under their keys, and
//! records of other topics get the one that has their key as the field `table`.

use serde::Deserialize;
use wstream_guest::json::{Object, Raw};
use wstream_guest::{Failure, Output, Outputs, Record, State, Transform, export};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The topic that is the table.
    table: Option<String>,
}

#[derive(Debug)]
pub struct Enrich {
    table: String,
}

impl Transform for Enrich {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        let table = config.table;
        let table = table.ok_or_else(|| Failure::new(1, "table is missing"))?;
        Ok(Self { table })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        if record.topic() == self.table {
            return keep(record);
        }
        let Some(row) = record.key().and_then(State::get) else {
            out.send(Output::of(record));
            return Ok(());
        };
        let mut object = object(record)?;
        object.set("table", Raw::parse(&row)?);
        out.send(Output::of(record).json(&object));
        Ok(())
    }
}

fn keep(record: &Record<'_>) -> Result<(), Failure> {
    let key = record.key();
    let key = key.ok_or_else(|| Failure::new(2, "the record has no key"))?;
    let Some(row) = record.value() else {
        State::delete(key);
        return Ok(());
    };
    object(record)?;
    State::put(key, row).map_err(|limit| Failure::new(3, limit.to_string()))
}

fn object<'a>(record: &Record<'a>) -> Result<Object<'a>, Failure> {
    let object = record.json();
    object.map_err(|_| Failure::new(1, "the value is not a JSON object"))
}

export!(Enrich);
