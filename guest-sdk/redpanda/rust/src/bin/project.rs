//! Drops debug events, calls `msg` `message`, and says where events come from.

use anyhow::{Context, Result};
use redpanda_transform_sdk::{on_record_written, BorrowedRecord, RecordWriter, WriteEvent};
use serde_json::{Map, Value};

fn main() {
    let env = std::env::var("ENV").unwrap_or_else(|_| "dev".to_owned());
    on_record_written(move |event, writer| project(&env, &event, writer));
}

fn project(env: &str, event: &WriteEvent<'_>, writer: &mut RecordWriter<'_>) -> Result<()> {
    let record = &event.record;
    let value = record.value().context("no value")?;
    let mut object: Map<String, Value> =
        serde_json::from_slice(value).context("the value is not a JSON object")?;
    if object.get("level").is_some_and(|level| level == "debug") {
        return Ok(());
    }
    if let Some(msg) = object.remove("msg") {
        object.insert("message".to_owned(), msg);
    }
    object.insert("env".to_owned(), env.into());
    let value = serde_json::to_vec(&object)?;
    writer.write(BorrowedRecord::new_with_headers(
        record.key(),
        Some(&value),
        record.headers().to_vec(),
    ))?;
    Ok(())
}
