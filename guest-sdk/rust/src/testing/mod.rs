//! Runs a transform natively, through the same frames as in the node: `cases.jsonl`, single
//! records, and what they logged and counted.
//!
//! A case is a line `{"in": record, "out": [records]}` or
//! `{"in": record, "error": {"code": 1, "message": "..."}}`, optionally with `"config": {...}`.
//! A record has the form it has everywhere: `key`, `value` (or `value_json`, `key_base64`,
//! `value_base64`), `headers`, `timestamp`, `topic`, `partition`, `offset`; an expected one may
//! name its `output`. What an expected record does not say must be null, empty, by key, or the
//! input's time. With `"after": [records]` the case's record comes behind these, whose outcomes are
//! not compared. Each case has an instance and a keyed state of its own.
//!
//! What it does not check: limits of time and memory. `wstream transform test` runs the same
//! cases in the node's runtime.

mod answer;
mod cases;
pub(crate) mod host;
mod record;
pub(crate) mod state;

pub use answer::{Answer, Sent, read_answer};
pub use cases::{check_cases, check_cases_text};
pub use host::{Logged, Metric, failed, logs, metrics};
#[cfg(test)]
pub(crate) use record::JsonForm;
pub use record::{TestRecord, batch_frame};
pub use state::{clear_state, pass_time};

use crate::{Failure, Transform, process_batch};

/// Makes a transform from its configuration as JSON text.
///
/// # Errors
/// The configuration is not of its type, or the transform refuses it.
pub fn make<T: Transform>(config: &str) -> Result<T, Failure> {
    let config = serde_json::from_str(config)
        .map_err(|error| Failure::message(format!("config: {error}")))?;
    T::new(config)
}

/// Runs records as one batch: for each what was sent or why it failed.
///
/// # Panics
/// The transform panics, or the SDK wrote a wrong frame.
pub fn run<T: Transform>(transform: &mut T, records: &[TestRecord]) -> Vec<Answer> {
    let mut output = Vec::new();
    let input = batch_frame(records);
    process_batch(transform, &input, &mut output, |_| ()).expect("the batch is well formed");
    read_answer(&output, records.len(), T::OUTPUTS).expect("the answer is well formed")
}

/// Runs one record that has this value.
pub fn run_value<T: Transform>(transform: &mut T, value: impl Into<Vec<u8>>) -> Answer {
    let record = TestRecord::of_value(value);
    run(transform, &[record]).pop().unwrap_or_default()
}
