//! Passes records whose `amount` is a number from 0 on, and fails at the others: the SDK panics.

use anyhow::{ensure, Context, Result};
use redpanda_transform_sdk::{on_record_written, RecordWriter, WriteEvent};
use serde_json::Value;

fn main() {
    on_record_written(check);
}

fn check(event: WriteEvent<'_>, writer: &mut RecordWriter<'_>) -> Result<()> {
    // What was written before the error is taken back with it.
    writer.write(&event.record)?;
    let value = event.record.value().unwrap_or_default();
    let payment: Value = serde_json::from_slice(value).context("the value is not JSON")?;
    let amount = payment["amount"].as_f64();
    let amount = amount.context("amount is not a number")?;
    ensure!(amount >= 0.0, "amount is below 0");
    Ok(())
}
