//! Makes a record of each element of `items`, and one with their number for the second topic if
//! there is one.

use anyhow::{Context, Result};
use redpanda_transform_sdk::{
    on_record_written, BorrowedRecord, RecordWriter, WriteEvent, WriteOptions,
};
use serde_json::Value;

fn main() {
    let totals = std::env::var("REDPANDA_OUTPUT_TOPIC_1").ok();
    on_record_written(move |event, writer| split(totals.as_deref(), &event, writer));
}

fn split(
    totals: Option<&str>,
    event: &WriteEvent<'_>,
    writer: &mut RecordWriter<'_>,
) -> Result<()> {
    let key = event.record.key();
    let value = event.record.value().unwrap_or_default();
    let order: Value = serde_json::from_slice(value).context("the value is not JSON")?;
    let items = order["items"].as_array().context("items is not an array")?;
    for item in items {
        let item = serde_json::to_vec(item)?;
        writer.write(BorrowedRecord::new(key, Some(&item)))?;
    }
    if let Some(topic) = totals {
        let count = format!(r#"{{"count":{}}}"#, items.len());
        let record = BorrowedRecord::new(key, Some(count.as_bytes()));
        writer.write_with_options(record, WriteOptions::to_topic(topic))?;
    }
    Ok(())
}
