//! The byte-exact vectors of the ABI, which the host's tests read too.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::testing::{Answer, Sent, TestRecord, batch_frame, read_answer};
use crate::testing::{JsonForm, run};
use crate::{Failure, NoConfig, Output, Outputs, Record, Transform};

#[derive(Deserialize)]
struct InputVector<'a> {
    name: String,
    topic: String,
    partition: i32,
    #[serde(borrow)]
    records: Vec<JsonForm<'a>>,
    hex: String,
}

#[derive(Deserialize)]
struct OutputVector<'a> {
    name: String,
    records: usize,
    hex: String,
    #[serde(borrow)]
    entries: Option<Vec<Entry<'a>>>,
    #[serde(default)]
    decode_only: bool,
    bad_frame: Option<String>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    index: u32,
    output: Option<usize>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    #[serde(borrow)]
    record: Option<JsonForm<'a>>,
    code: Option<u16>,
    message: Option<String>,
}

fn vectors(file: &str) -> String {
    let path = format!("{}/../vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().count() > 5, "{file}");
    text
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs
        .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
        .collect()
}

/// Notes what it reads and sends every record on.
struct Notes(Vec<TestRecord>);

impl Transform for Notes {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self(Vec::new()))
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let headers = record.headers();
        assert_eq!(headers.iter().count(), headers.len());
        self.0.push(TestRecord {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp_ms: record.timestamp_ms(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers
                .iter()
                .map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec)))
                .collect(),
        });
        out.send(Output::of(record));
        Ok(())
    }
}

#[test]
fn batches_are_read_as_the_vectors_say() {
    for line in vectors("input.jsonl").lines() {
        let vector: InputVector<'_> = serde_json::from_str(line).unwrap();
        let records: Vec<TestRecord> = vector
            .records
            .iter()
            .map(|form| TestRecord {
                topic: vector.topic.clone(),
                partition: vector.partition,
                ..form.record().unwrap()
            })
            .collect();
        assert_eq!(
            to_hex(&batch_frame(&records)),
            vector.hex,
            "{}",
            vector.name
        );
        let mut notes = Notes::new(NoConfig {}).unwrap();
        let answers = run(&mut notes, &records);
        assert_eq!(notes.0, records, "{}", vector.name);
        for (answer, record) in answers.iter().zip(&records) {
            let sent = Sent {
                output: "default".to_owned(),
                partition: None,
                timestamp_ms: None,
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
            };
            assert_eq!(*answer, Answer::Sent(vec![sent]), "{}", vector.name);
        }
    }
}

#[test]
fn a_batch_that_is_cut_or_too_long_is_refused() {
    for line in vectors("input.jsonl").lines() {
        let vector: InputVector<'_> = serde_json::from_str(line).unwrap();
        let frame = from_hex(&vector.hex);
        let refused = |frame: &[u8]| {
            let mut notes = Notes(Vec::new());
            crate::process_batch(&mut notes, frame, &mut Vec::new(), |_| ()).is_err()
        };
        for len in 0..frame.len() {
            assert!(refused(&frame[..len]), "{} cut to {len}", vector.name);
        }
        assert!(refused(&[&frame[..], &[0]].concat()), "{}", vector.name);
    }
}

/// As many output names as an entry can number, made once.
fn names() -> &'static [&'static str] {
    let names = (0..=u16::MAX).map(|n| &*Box::leak(n.to_string().into_boxed_str()));
    Box::leak(names.collect::<Box<[&'static str]>>())
}

#[test]
fn answers_are_written_as_the_vectors_say() {
    let names = names();
    for line in vectors("output.jsonl").lines() {
        let vector: OutputVector<'_> = serde_json::from_str(line).unwrap();
        let read = read_answer(&from_hex(&vector.hex), vector.records, names);
        let Some(entries) = vector.entries else {
            assert!(
                vector.bad_frame.is_some() && read.is_err(),
                "{}",
                vector.name
            );
            continue;
        };
        let mut frame = Vec::new();
        let mut wanted = vec![Answer::default(); vector.records];
        for entry in &entries {
            write_entry(entry, &mut frame, names, &mut wanted);
        }
        assert_eq!(read, Ok(wanted), "{}", vector.name);
        if !vector.decode_only {
            assert_eq!(to_hex(&frame), vector.hex, "{}", vector.name);
        }
    }
}

fn write_entry(
    entry: &Entry<'_>,
    frame: &mut Vec<u8>,
    names: &'static [&'static str],
    wanted: &mut [Answer],
) {
    let answer = &mut wanted[entry.index as usize];
    if let (Some(code), Some(message)) = (entry.code, &entry.message) {
        let failure = Failure::new(code, message);
        crate::output::put_failure(frame, entry.index, &failure);
        *answer = Answer::Failed(failure);
        return;
    }
    let record = entry.record.as_ref().unwrap().record().unwrap();
    let name = names[entry.output.unwrap()];
    let mut output = Output::new().to(name);
    if let Some(key) = &record.key {
        output = output.key(key);
    }
    if let Some(value) = &record.value {
        output = output.value(value);
    }
    for (name, value) in &record.headers {
        let name = std::str::from_utf8(name).unwrap();
        output = match value {
            Some(value) => output.header(name, value),
            None => output.null_header(name),
        };
    }
    if let Some(partition) = entry.partition {
        output = output.partition(partition);
    }
    if let Some(timestamp) = entry.timestamp {
        output = output.timestamp_ms(timestamp);
    }
    Outputs::new(frame, names, entry.index).send(output);
    let sent = Sent {
        output: name.to_owned(),
        partition: entry.partition,
        timestamp_ms: entry.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers,
    };
    match answer {
        Answer::Sent(all) => all.push(sent),
        Answer::Failed(_) => panic!("an output after a failure"),
    }
}
