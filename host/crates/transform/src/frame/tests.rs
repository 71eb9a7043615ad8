//! The frames against the vectors that every SDK reads too, and against noise.

use proptest::prelude::*;
use serde::Deserialize;
use wstream_record::{JsonRecord, Offset, PartitionId, StoredRecord, Timestamp, TopicName};

use super::*;

const INPUT: &str = include_str!("../../../../../guest-sdk/vectors/input.jsonl");
const OUTPUT: &str = include_str!("../../../../../guest-sdk/vectors/output.jsonl");

#[derive(Deserialize)]
struct InputVector {
    name: String,
    topic: TopicName,
    partition: PartitionId,
    records: Vec<serde_json::Value>,
    hex: String,
}

#[derive(Deserialize)]
struct OutputVector {
    name: String,
    records: u32,
    hex: String,
    entries: Option<Vec<serde_json::Value>>,
    bad_frame: Option<String>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn vectors<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn input_frames_are_the_vectors_byte_for_byte() {
    let vectors: Vec<InputVector> = vectors(INPUT);
    assert!(vectors.len() >= 10);
    for vector in vectors {
        let records: Vec<StoredRecord> = vector
            .records
            .iter()
            .map(|r| {
                // A frame carries any number; a record in JSON has a time of its range only.
                let mut fields = r.clone();
                let time = fields.as_object_mut().and_then(|o| o.remove("timestamp"));
                let json = JsonRecord::parse(&fields.to_string()).unwrap();
                let mut record = json.record;
                if let Some(time) = time.and_then(|time| time.as_i64()) {
                    record.timestamp = Timestamp(time);
                }
                StoredRecord {
                    offset: json.offset.unwrap_or(Offset(0)),
                    record,
                }
            })
            .collect();
        let mut frame = vec![0xaa; frame_bytes(&vector.topic, &records)];
        assert!(encode(
            &mut frame,
            &vector.topic,
            vector.partition,
            &records
        ));
        assert_eq!(frame, bytes(&vector.hex), "{}", vector.name);
        frame.pop();
        assert!(!encode(
            &mut frame,
            &vector.topic,
            vector.partition,
            &records
        ));
    }
}

#[test]
fn output_frames_decode_as_the_vectors_say() {
    let vectors: Vec<OutputVector> = vectors(OUTPUT);
    assert!(vectors.len() >= 40);
    for vector in vectors {
        let frame = bytes(&vector.hex);
        let decoded: Result<Vec<_>, _> = Entries::new(&frame, vector.records).collect();
        match (decoded, vector.entries, vector.bad_frame) {
            (Ok(decoded), Some(entries), None) => {
                let sizes: usize = decoded.iter().map(|e| e.bytes).sum();
                assert_eq!(sizes, frame.len(), "{}", vector.name);
                let decoded: Vec<_> = decoded.into_iter().map(as_json).collect();
                assert_eq!(decoded, entries, "{}", vector.name);
            }
            (Err(error), None, Some(message)) => {
                assert_eq!(error.to_string(), message, "{}", vector.name);
            }
            (decoded, ..) => panic!("{}: {decoded:?}", vector.name),
        }
    }
}

fn as_json(entry: Entry<'_>) -> serde_json::Value {
    let index = entry.index;
    match entry.body {
        EntryBody::Failure { code, message } => serde_json::json!({
            "index": index, "code": code, "message": String::from_utf8_lossy(message),
        }),
        EntryBody::Output(o) => {
            let own = |b: &[u8]| bytes::Bytes::copy_from_slice(b);
            let headers = o.headers.map(|(name, value)| wstream_record::Header {
                name: own(name),
                value: value.map(own),
            });
            let record = wstream_record::Record {
                timestamp: wstream_record::Timestamp::NONE,
                key: o.key.map(own),
                value: o.value.map(own),
                headers: headers.collect(),
            };
            let json = JsonRecord {
                record,
                ..JsonRecord::default()
            };
            let record: serde_json::Value = serde_json::from_str(&json.to_json()).unwrap();
            serde_json::json!({
                "index": index, "output": o.output, "partition": o.partition,
                "timestamp": o.timestamp, "record": record,
            })
        }
    }
}

/// Frames that are almost right: the vectors, cut, joined and with bytes changed.
fn almost_frames() -> impl Strategy<Value = Vec<u8>> {
    let vectors: Vec<OutputVector> = vectors(OUTPUT);
    let frames: Vec<_> = vectors.iter().map(|v| bytes(&v.hex)).collect();
    let one = prop::sample::select(frames);
    (
        prop::collection::vec(one, 1..4),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    )
        .prop_map(|(parts, changes)| {
            let mut frame = parts.concat();
            for (at, byte) in changes {
                if !frame.is_empty() {
                    let at = at.index(frame.len());
                    frame[at] = byte;
                }
            }
            frame
        })
}

proptest! {
    #[test]
    fn the_decoder_survives_any_bytes(frame in prop::collection::vec(any::<u8>(), 0..200), count in 0u32..4) {
        check_invariants(&frame, count)?;
    }

    #[test]
    fn the_decoder_survives_almost_right_frames(frame in almost_frames(), count in 0u32..1200) {
        check_invariants(&frame, count)?;
    }
}

fn check_invariants(frame: &[u8], count: u32) -> Result<(), TestCaseError> {
    let mut last = 0;
    let mut sizes = 0;
    let mut failed = false;
    for entry in Entries::new(frame, count) {
        prop_assert!(!failed, "an entry after a fault");
        let Ok(entry) = entry else {
            failed = true;
            continue;
        };
        prop_assert!(entry.index >= last && entry.index < count);
        last = entry.index;
        sizes += entry.bytes;
        if let EntryBody::Output(output) = entry.body {
            let headers = output.headers.count_left();
            prop_assert_eq!(output.headers.count(), headers);
        }
    }
    prop_assert!(failed || sizes == frame.len());
    Ok(())
}
