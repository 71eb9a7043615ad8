//! Makes a record of each element of an array, and one with their number for the output `totals`.

use serde::Deserialize;
use serde::de::IgnoredAny;
use wstream_guest::json::Kind;
use wstream_guest::{Failure, Output, Outputs, Record, Transform, export};

const TOTALS: &str = "totals";

#[derive(Debug, Deserialize)]
pub struct Config {
    /// The field that holds the array.
    field: Option<Field>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    Named(String),
    NoText(IgnoredAny),
}

#[derive(Debug)]
pub struct Split {
    field: String,
}

impl Transform for Split {
    const OUTPUTS: &'static [&'static str] = &["default", TOTALS];

    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        let field = match config.field {
            None => "items".to_owned(),
            Some(Field::Named(field)) => field,
            Some(Field::NoText(_)) => return Err(Failure::new(1, "field is not a string")),
        };
        Ok(Self { field })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let order = record.json();
        let order = order.map_err(|_| Failure::new(1, "the value is not a JSON object"))?;
        let items = order.get(&self.field);
        let Some(items) = items.filter(|items| items.kind() == Kind::Array) else {
            return Err(Failure::new(2, format!("{} is not an array", self.field)));
        };
        let mut count = 0;
        for item in items.elements() {
            out.send(each(record).value(item.bytes()));
            count += 1;
        }
        let total = format!("{{\"count\":{count}}}");
        out.send(each(record).to(TOTALS).value(&total));
        Ok(())
    }
}

/// The record's key, without its headers.
fn each<'a>(record: &Record<'a>) -> Output<'a> {
    Output::of(record).no_headers()
}

export!(Split);
