//! Passes records whose `amount` is a number from 0 on, and fails the others.

use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, Transform, export};

#[derive(Debug)]
pub struct Strict;

impl Transform for Strict {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let payment = record.json();
        let payment = payment.map_err(|_| Failure::new(1, "the value is not a JSON object"))?;
        let raw = payment.get("amount");
        let amount = raw.as_ref().and_then(|raw| raw.as_f64());
        if amount.is_none_or(|amount| amount < 0.0) {
            let shown = raw.map_or_else(|| "missing".to_owned(), |raw| raw.to_string());
            let message = format!("amount is not a number from 0 on: {shown}");
            return Err(Failure::new(3, message));
        }
        out.send(Output::of(record));
        Ok(())
    }
}

export!(Strict);
