//! Runs a `cases.jsonl`: every line through a transform made for it, and says which differ.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{Answer, Sent};
use super::record::{JsonForm, TestRecord};
use super::state::clear_state;
use super::{make, run};
use crate::Transform;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<'a> {
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    /// Records that the instance gets before.
    #[serde(borrow, default)]
    after: Vec<JsonForm<'a>>,
    #[serde(borrow, rename = "in")]
    input: JsonForm<'a>,
    #[serde(borrow)]
    out: Option<Vec<JsonForm<'a>>>,
    error: Option<ExpectedError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    code: u16,
    message: String,
}

/// Runs the cases of a file, `cases.jsonl` in a crate's own tests.
///
/// # Panics
/// The file cannot be read, holds no case, or a case comes out differently; the message shows all
/// of them.
pub fn check_cases<T: Transform>(path: impl AsRef<Path>) {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    if let Err(differences) = check_cases_text::<T>(&text) {
        panic!("{}:\n{differences}", path.display());
    }
}

/// Runs the cases of a text.
///
/// # Errors
/// What differs, by line.
pub fn check_cases_text<T: Transform>(text: &str) -> Result<(), String> {
    let mut differences = String::new();
    let mut cases = 0;
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        cases += 1;
        if let Err(difference) = check_case::<T>(line) {
            writeln!(differences, "line {}: {difference}", n + 1).expect("a string takes it");
        }
    }
    if cases == 0 {
        return Err("there is no case".to_owned());
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences)
    }
}

fn check_case<T: Transform>(line: &str) -> Result<(), String> {
    let case: Case<'_> =
        serde_json::from_str(line).map_err(|error| format!("not a case: {error}"))?;
    let input = case.input.record()?;
    let config = case.config.map_or("{}", RawValue::get);
    clear_state();
    let got = match make::<T>(config) {
        Ok(mut transform) => {
            for form in &case.after {
                run(&mut transform, &[form.record()?]);
            }
            let answer = run(&mut transform, std::slice::from_ref(&input)).pop();
            answer.unwrap_or_default()
        }
        Err(failure) => Answer::Failed(failure),
    };
    let wanted = wanted::<T>(&case, &input)?;
    let got = match got {
        Answer::Sent(sent) => Answer::Sent(sent.into_iter().map(|s| settled(s, &input)).collect()),
        failed @ Answer::Failed(_) => failed,
    };
    if got == wanted {
        return Ok(());
    }
    Err(format!("wanted {}\n  got {}", show(&wanted), show(&got)))
}

fn wanted<T: Transform>(case: &Case<'_>, input: &TestRecord) -> Result<Answer, String> {
    match (&case.out, &case.error) {
        (None, Some(error)) => Ok(Answer::Failed(crate::Failure::new(
            error.code,
            &error.message,
        ))),
        (Some(out), None) => {
            let default = T::OUTPUTS.first().copied().unwrap_or("default");
            let sent = out.iter().map(|form| {
                let record = form.record()?;
                Ok(Sent {
                    output: form.output.clone().unwrap_or_else(|| default.to_owned()),
                    partition: form.partition,
                    timestamp_ms: Some(form.timestamp.unwrap_or(input.timestamp_ms)),
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                })
            });
            Ok(Answer::Sent(sent.collect::<Result<_, String>>()?))
        }
        _ => Err("not a case: give either \"out\" or \"error\"".to_owned()),
    }
}

/// An output with the time it will have.
fn settled(sent: Sent, input: &TestRecord) -> Sent {
    Sent {
        timestamp_ms: Some(sent.timestamp_ms.unwrap_or(input.timestamp_ms)),
        ..sent
    }
}

fn show(answer: &Answer) -> String {
    match answer {
        Answer::Failed(failure) => format!("a failure: {failure}"),
        Answer::Sent(sent) if sent.is_empty() => "nothing".to_owned(),
        Answer::Sent(sent) => sent.iter().map(show_sent).collect::<Vec<_>>().join("; "),
    }
}

fn show_sent(sent: &Sent) -> String {
    let key = show_bytes(sent.key.as_ref());
    let value = show_bytes(sent.value.as_ref());
    let mut text = format!("{} key {key} value {value}", sent.output);
    for (name, header) in &sent.headers {
        let name = String::from_utf8_lossy(name);
        let header = show_bytes(header.as_ref());
        write!(text, " {name}={header}").expect("a string takes it");
    }
    let (partition, time) = (sent.partition, sent.timestamp_ms);
    write!(text, " partition {partition:?} time {time:?}").expect("a string takes it");
    text
}

fn show_bytes(bytes: Option<&Vec<u8>>) -> String {
    let text = bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    text.unwrap_or_else(|| "null".to_owned())
}
