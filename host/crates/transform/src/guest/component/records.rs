//! Records as the values of the world `transform`, and its answers as output frames.

use std::borrow::Cow;

use bytes::Bytes;
use wasmtime::{Error, Store};
use wstream_record::{PartitionId, Record, StoredRecord, TopicName};

use super::bindings::records::exports::wstream::transform::guest::{
    Failure, Guest, Input, Output, Payloads,
};
use super::bindings::records::wstream::transform::types::{
    HeaderParam, PayloadParam, PayloadResult,
};
use super::{ComponentState, code};
use crate::frame::FrameWriter;

/// The answer to a batch: its output frame, or in what it breaks the world's rules.
type Answer = Result<Bytes, String>;

/// Hands records to a component and takes its answer.
pub(super) async fn call(
    guest: &Guest,
    store: &mut Store<ComponentState>,
    (topic, partition): (&TopicName, PartitionId),
    records: &[StoredRecord],
    payloads: Payloads,
) -> Result<Result<Answer, Failure>, Error> {
    let names = header_names(records);
    let headers = headers(records, &names, payloads);
    let mut headers = headers.as_slice();
    let inputs = records.iter().map(|stored| {
        let (own, rest) = headers.split_at(stored.record.headers.len());
        headers = rest;
        input(stored, own, payloads)
    });
    let inputs: Vec<_> = inputs.collect();
    let answered = guest.call_process(store, topic.as_str(), partition.0, &inputs);
    let answered = answered.await?;
    Ok(answered.map(|outcomes| {
        let (made, given) = (outcomes.len(), records.len());
        if made == given {
            Ok(frame(&outcomes))
        } else {
            Err(format!(
                "the answer has {made} outcomes for {given} records"
            ))
        }
    }))
}

/// Names of all headers, in order; they are text in a component.
fn header_names(records: &[StoredRecord]) -> Vec<Cow<'_, str>> {
    let headers = records.iter().flat_map(|stored| &stored.record.headers);
    headers.map(|h| String::from_utf8_lossy(&h.name)).collect()
}

fn headers<'a>(
    records: &'a [StoredRecord],
    names: &'a [Cow<'a, str>],
    payloads: Payloads,
) -> Vec<HeaderParam<'a>> {
    let headers = records.iter().flat_map(|stored| &stored.record.headers);
    let header = |(header, name): (&'a wstream_record::Header, &'a Cow<'a, str>)| HeaderParam {
        name,
        value: payload(header.value.as_ref(), payloads),
    };
    headers.zip(names).map(header).collect()
}

fn input<'a>(
    stored: &'a StoredRecord,
    headers: &'a [HeaderParam<'a>],
    payloads: Payloads,
) -> Input<'a> {
    let Record {
        timestamp,
        key,
        value,
        ..
    } = &stored.record;
    Input {
        offset: stored.offset.0,
        timestamp: timestamp.0,
        key: payload(key.as_ref(), payloads),
        value: payload(value.as_ref(), payloads),
        headers,
    }
}

fn payload(bytes: Option<&Bytes>, payloads: Payloads) -> Option<PayloadParam<'_>> {
    let bytes = bytes?;
    let text = match payloads {
        Payloads::Text => std::str::from_utf8(bytes).ok(),
        Payloads::Binary => None,
    };
    Some(match text {
        Some(text) => PayloadParam::Text(text),
        None => PayloadParam::Binary(bytes),
    })
}

fn plain(payload: Option<&PayloadResult>) -> Option<&[u8]> {
    payload.map(|payload| match payload {
        PayloadResult::Text(text) => text.as_bytes(),
        PayloadResult::Binary(bytes) => bytes,
    })
}

fn frame(outcomes: &[Result<Vec<Output>, Failure>]) -> Bytes {
    let mut frame = FrameWriter::default();
    for (index, outcome) in (0_u32..).zip(outcomes) {
        match outcome {
            Ok(outputs) => outputs.iter().for_each(|output| {
                let partition = output
                    .partition
                    .map(|p| i32::try_from(p).unwrap_or(i32::MAX));
                // The lowest value means none in a frame: as a time it is as wrong as its neighbour.
                let timestamp = output.timestamp.map(|t| t.max(i64::MIN + 1));
                let value = plain(output.value.as_ref());
                let headers = output.headers.iter();
                frame.output(index, output.output, partition, timestamp);
                frame.nullable(plain(output.key.as_ref()));
                frame.nullable(value);
                frame.headers(headers.map(|h| (h.name.as_bytes(), plain(h.value.as_ref()))));
            }),
            Err(failure) => frame.failure(index, code(failure.code), failure.message.as_bytes()),
        }
    }
    frame.finish()
}
