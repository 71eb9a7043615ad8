//! Turns the values of records to upper case: a transform made of the WIT world and plain tools, with
//! no SDK of wstream's. Any language whose tools read WIT goes the same way.
//!
//! ```console
//! rustup target add wasm32-wasip2
//! cargo build --release --target wasm32-wasip2
//! wstream transform test target/wasm32-wasip2/release/plain_component.wasm --cases cases.jsonl
//! ```

wit_bindgen::generate!({
    path: "..",
    world: "transform",
});

use exports::wstream::transform::guest::{Failure, Guest, Input, Output, Payloads};
use wstream::transform::host::{self, Level};
use wstream::transform::types::Payload;

struct Upper;

impl Guest for Upper {
    fn init(config: String) -> Result<Payloads, Failure> {
        host::log(Level::Info, &format!("started with {config}"));
        Ok(Payloads::Text)
    }

    fn process(
        _topic: String,
        _partition: i32,
        records: Vec<Input>,
    ) -> Result<Vec<Result<Vec<Output>, Failure>>, Failure> {
        Ok(records.into_iter().map(upper).collect())
    }
}

fn upper(record: Input) -> Result<Vec<Output>, Failure> {
    let Some(Payload::Text(text)) = record.value else {
        return Err(Failure {
            code: 1,
            message: "the value is not text".to_owned(),
        });
    };
    Ok(vec![Output {
        output: 0,
        partition: None,
        timestamp: None,
        key: record.key,
        value: Some(Payload::Text(text.to_uppercase())),
        headers: record.headers,
    }])
}

export!(Upper);
