//! Reads Avro values by the schema whose id they begin with, and writes JSON values by a schema that
//! it registers; values of another schema than the latest of `SUBJECT` are marked.

use std::cell::RefCell;

use anyhow::{bail, Context, Result};
use redpanda_transform_sdk::{on_record_written, BorrowedHeader, BorrowedRecord};
use redpanda_transform_sdk::{RecordWriter, WriteEvent};
use redpanda_transform_sdk_sr::{decode_schema_id, encode_schema_id};
use redpanda_transform_sdk_sr::{Schema, SchemaFormat, SchemaId, SchemaRegistryClient};
use serde_json::{json, Map, Value};

struct Transcoder {
    client: SchemaRegistryClient,
    subject: String,
    /// The schema of what is written, once it is registered.
    registered: Option<SchemaId>,
}

fn main() {
    let transcoder = RefCell::new(Transcoder {
        client: SchemaRegistryClient::new(),
        subject: std::env::var("SUBJECT").unwrap_or_else(|_| "in-value".to_owned()),
        registered: None,
    });
    on_record_written(|event, writer| transcoder.borrow_mut().transcode(&event, writer));
}

impl Transcoder {
    fn transcode(&mut self, event: &WriteEvent<'_>, writer: &mut RecordWriter<'_>) -> Result<()> {
        let value = event.record.value().context("no value")?;
        let (id, avro) = decode_schema_id(value)?;
        let latest = self.client.lookup_latest_schema(&self.subject)?;
        let schema = self.client.lookup_schema_by_id(id)?;
        let object = decode(schema.schema(), avro)?;
        let json = encode_schema_id(self.register()?, &serde_json::to_vec(&object)?);
        let old = id != latest.id();
        let version = latest.version().0.to_string();
        let header = BorrowedHeader::new(b"latest", Some(version.as_bytes()));
        let headers = Vec::from_iter(old.then_some(header));
        let key = event.record.key();
        writer.write(BorrowedRecord::new_with_headers(key, Some(&json), headers))?;
        Ok(())
    }

    fn register(&mut self) -> Result<SchemaId> {
        if let Some(id) = self.registered {
            return Ok(id);
        }
        let text = json!({"type": "object"}).to_string();
        let schema = Schema::new(text, SchemaFormat::Json, Vec::new());
        let subject = format!("{}-json", self.subject);
        let id = self.client.create_schema(subject, schema)?.id();
        self.registered = Some(id);
        Ok(id)
    }
}

/// An Avro record of integers and strings.
fn decode(schema: &str, mut avro: &[u8]) -> Result<Map<String, Value>> {
    let schema: Value = serde_json::from_str(schema)?;
    let fields = schema["fields"].as_array().context("not a record")?;
    let mut object = Map::new();
    for field in fields {
        let name = field["name"].as_str().context("a field without a name")?;
        let value = match field["type"].as_str() {
            Some("int" | "long") => long(&mut avro)?.into(),
            Some("string") => {
                let length = usize::try_from(long(&mut avro)?)?;
                let text = avro.split_at_checked(length).context("cut")?;
                avro = text.1;
                std::str::from_utf8(text.0)?.into()
            }
            other => bail!("{name} has the type {other:?}"),
        };
        object.insert(name.to_owned(), value);
    }
    Ok(object)
}

fn long(avro: &mut &[u8]) -> Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = avro.split_first().context("cut")?;
        *avro = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    bail!("an integer is too long")
}
