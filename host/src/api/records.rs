//! Browsing, tailing and producing records of a topic over HTTP.
//!
//! A read streams: one buffer of lines is in work at a time and a slow client slows the reader.
//! Between the records stand lines `{"missing": ...}` where offsets have none any more, and a last
//! line `{"error": ...}` where a read cannot go on; as events they are `missing` and `end`.
//! A produce answers once every record is acknowledged.

use std::collections::{BTreeMap, VecDeque};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use wstream_log::AppendError;
use wstream_record::{
    BatchBuilder, JsonRecord, Offset, PartitionId, Record, Timestamp, TopicName, TopicPartition,
};

use super::ApiState;
use super::cursor::{Cursor, FROM_END_MAX, Item, Start};
use super::missing::Missing;
use crate::http::{ApiError, event_stream};

/// Bytes of lines that go out together.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes at which a produced batch is closed.
const BATCH_BYTES: usize = 100 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    partition: Option<i32>,
    offset: Option<String>,
    timestamp: Option<i64>,
    limit: Option<u64>,
    #[serde(default)]
    follow: bool,
    /// Whether offsets that are missing are told. Default true.
    missing: Option<bool>,
}

impl ReadQuery {
    fn start(&self) -> Result<Start, ApiError> {
        let offset = match (&self.offset, self.timestamp) {
            (Some(_), Some(_)) => {
                let message = "give offset or timestamp, not both";
                return Err(ApiError::bad_request("bad_parameter", message));
            }
            (None, Some(at)) => return Ok(Start::Time(Timestamp(at))),
            (None, None) => {
                return Ok(if self.follow {
                    Start::Latest
                } else {
                    Start::Earliest
                });
            }
            (Some(offset), None) => offset.as_str(),
        };
        match (offset, offset.parse::<i64>()) {
            ("earliest", _) => Ok(Start::Earliest),
            ("latest", _) => Ok(Start::Latest),
            (_, Ok(n)) if n >= 0 => Ok(Start::At(Offset(n))),
            (_, Ok(n)) if n >= -FROM_END_MAX => Ok(Start::FromEnd(-n)),
            _ => {
                let message = format!("offset {offset:?} is not a position");
                Err(ApiError::bad_request("bad_parameter", message).hint(format!(
                    "use a number, -1 to -{FROM_END_MAX} for the last records, earliest or latest"
                )))
            }
        }
    }
}

/// `GET /topics/{t}/records`
pub(super) async fn read(
    State(state): State<ApiState>,
    Path(topic): Path<String>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let topic = topic_name(&topic)?;
    let start = query.start()?;
    let partition = query.partition.map(PartitionId);
    let mut cursor = Cursor::open(&state.log, &topic, partition, start, query.follow).await?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let limit = query.limit.unwrap_or(u64::MAX);
    let tells = query.missing.unwrap_or(true);
    if accept.contains("text/event-stream") {
        return Ok(events(&state, cursor, limit, tells));
    }
    let content = [(header::CONTENT_TYPE, "application/x-ndjson")];
    if let (Start::FromEnd(n), None, false) = (start, query.partition, query.follow) {
        let kept = u64::try_from(n).unwrap_or_default().min(limit);
        return Ok((content, newest(&mut cursor, kept, tells).await?).into_response());
    }
    let state = Some((cursor, limit));
    let body = stream::unfold(state, move |state| async move {
        let (mut cursor, mut left) = state?;
        let (lines, more) = lines(&mut cursor, &mut left, tells).await;
        if lines.is_empty() && !more {
            return None;
        }
        let state = more.then_some((cursor, left));
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(lines)), state))
    });
    Ok((content, Body::from_stream(body)).into_response())
}

/// The next lines and whether there may be more. A reader that follows gets each record at once.
async fn lines(cursor: &mut Cursor, left: &mut u64, tells: bool) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while out.len() < CHUNK_BYTES {
        if *left == 0 {
            let rest = cursor.rest();
            rest.iter()
                .filter(|_| tells)
                .for_each(|missing| missing_line(missing, &mut out));
            return (out, false);
        }
        // A follower's wait at the tail must not hold back what was read.
        let next = tokio::select! {
            biased;
            next = cursor.next() => next,
            () = std::future::ready(()), if cursor.follows() && !out.is_empty() => return (out, true),
        };
        match next {
            Ok(Some(Item::Record(record))) => {
                record.write(&mut out);
                out.push(b'\n');
                *left -= 1;
            }
            Ok(Some(Item::Missing(missing))) => {
                if tells {
                    missing_line(&missing, &mut out);
                }
            }
            Ok(None) => return (out, false),
            Err(error) => {
                out.extend_from_slice(error.body().to_string().as_bytes());
                out.push(b'\n');
                return (out, false);
            }
        }
    }
    (out, true)
}

fn missing_line(missing: &Missing, out: &mut Vec<u8>) {
    let line = json!({"missing": missing.to_json()}).to_string();
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

/// The last records of all partitions together, oldest first; in front of them what is missing.
async fn newest(cursor: &mut Cursor, kept: u64, tells: bool) -> Result<Vec<u8>, ApiError> {
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let mut ring = VecDeque::new();
    let mut out = Vec::new();
    while let Some(item) = cursor.next().await? {
        match item {
            Item::Record(record) => {
                if ring.len() == kept {
                    ring.pop_front();
                }
                ring.push_back(record);
            }
            Item::Missing(missing) if tells => missing_line(&missing, &mut out),
            Item::Missing(_) => {}
        }
    }
    for record in ring.iter().take(kept) {
        record.write(&mut out);
        out.push(b'\n');
    }
    Ok(out)
}

fn events(state: &ApiState, mut cursor: Cursor, limit: u64, tells: bool) -> Response {
    let (events, response) = event_stream(&state.shutdown);
    let shutdown = state.shutdown.clone();
    state.shutdown.spawn(async move {
        let mut left = limit;
        while left > 0 {
            let next = tokio::select! {
                () = shutdown.asked() => return,
                () = events.gone() => return,
                next = cursor.next() => next,
            };
            let sent = match next {
                Ok(Some(Item::Record(record))) => {
                    left -= 1;
                    events.send("record", &record.to_json()).await
                }
                Ok(Some(Item::Missing(missing))) if tells => {
                    let text = missing.to_json().to_string();
                    events.send("missing", &text).await
                }
                Ok(Some(Item::Missing(_))) => continue,
                Ok(None) => return,
                Err(error) => {
                    // The last one: `error` would be taken for a broken connection by a browser.
                    let text = error.body()["error"].to_string();
                    events.send("end", &text).await.ok();
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    response
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProduceQuery {
    partition: Option<i32>,
}

/// `POST /topics/{t}/records`
pub(super) async fn produce(
    State(state): State<ApiState>,
    Path(topic): Path<String>,
    Query(query): Query<ProduceQuery>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let topic = topic_name(&topic)?;
    let Some(info) = state.log.topic(&topic) else {
        return Err(ApiError::not_found("topic", topic.as_str()));
    };
    if topic.is_internal() {
        let message = format!("{topic} is internal: only the node writes to it");
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "internal_topic",
            message,
        ));
    }
    let partitions = info.config.partitions;
    let records = parse(&state, &body, query.partition, partitions)?;
    let mut offsets = Vec::new();
    let mut count = 0;
    for (partition, records) in records {
        for (base, n) in append(&state, &topic, partition, &records, count).await? {
            count += n;
            offsets.push(json!({"partition": partition, "base_offset": base, "count": n}));
        }
    }
    Ok((
        StatusCode::OK,
        Json(json!({"records": count, "offsets": offsets})),
    ))
}

/// Reads the lines and says which partition each record goes to.
fn parse(
    state: &ApiState,
    body: &[u8],
    asked: Option<i32>,
    partitions: i32,
) -> Result<BTreeMap<PartitionId, Vec<Record>>, ApiError> {
    let mut by_partition: BTreeMap<PartitionId, Vec<Record>> = BTreeMap::new();
    let now = state.clock.now();
    // Records without a key of one request stay together; requests take turns.
    let turn = PartitionId(state.turn().rem_euclid(partitions));
    for (number, line) in body.split(|&b| b == b'\n').enumerate() {
        let bad = |message: String| {
            ApiError::bad_request("bad_record", format!("line {}: {message}", number + 1))
                .hint("nothing of this request was stored; send one record per line as JSON")
        };
        let line = std::str::from_utf8(line).map_err(|e| bad(e.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed = JsonRecord::parse(line).map_err(|e| bad(e.to_string()))?;
        let mut record = parsed.record;
        if record.timestamp == Timestamp::NONE {
            record.timestamp = now;
        }
        let partition = match asked.or_else(|| parsed.partition.map(|p| p.0)) {
            Some(p) if (0..partitions).contains(&p) => PartitionId(p),
            Some(p) => {
                return Err(bad(format!(
                    "there is no partition {p}, only 0 to {}",
                    partitions - 1
                )));
            }
            None => wstream_kafka::partition_for(record.key.as_deref(), partitions, turn),
        };
        by_partition.entry(partition).or_default().push(record);
    }
    Ok(by_partition)
}

/// Appends records to a partition and answers where they are: base offset and count of each run of
/// offsets, of which there are several if other writers came between. An error says how many records of the request are stored: those
/// `before`, and the batches in front of the one that was refused.
async fn append(
    state: &ApiState,
    topic: &TopicName,
    partition: PartitionId,
    records: &[Record],
    before: usize,
) -> Result<Vec<(Offset, usize)>, ApiError> {
    let name = TopicPartition::new(topic.clone(), partition);
    let Some(log) = state.log.partition(&name) else {
        return Err(ApiError::unavailable(
            "closed",
            format!("{name} is not open"),
        ));
    };
    let mut builder = BatchBuilder::new();
    let mut runs: Vec<(Offset, usize)> = Vec::new();
    let (mut end, mut stored) = (None, before);
    let mut rest = records.iter().peekable();
    while let Some(record) = rest.next() {
        builder.push(record);
        let next = rest.peek().map_or(0, |r| r.payload_bytes());
        if rest.peek().is_some() && builder.byte_len() + next < BATCH_BYTES {
            continue;
        }
        let count = builder.len();
        if let Some(batch) = builder.finish(None) {
            let appended = log.append(batch).await;
            let appended = appended.map_err(|e| refused(&name, &e, stored))?;
            stored += count;
            match runs
                .last_mut()
                .filter(|_| end == Some(appended.base_offset))
            {
                Some((_, so_far)) => *so_far += count,
                None => runs.push((appended.base_offset, count)),
            }
            end = Some(appended.next_offset);
        }
    }
    Ok(runs)
}

fn refused(name: &TopicPartition, error: &AppendError, stored: usize) -> ApiError {
    let message = format!("{name}: {error}; {stored} records of this request were stored");
    match error {
        AppendError::TooLarge { .. } => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "record_too_large", message)
        }
        AppendError::DiskFull { .. } => {
            ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
                .hint("make room on the data directory's file system; appends then work again")
        }
        AppendError::Timestamp { .. } => ApiError::bad_request("bad_timestamp", message)
            .hint("milliseconds since 1970, up to the end of the year 9999"),
        AppendError::NotLeader { .. }
        | AppendError::FencedLeader { .. }
        | AppendError::Offline { .. } => ApiError::unavailable("not_available", message),
        AppendError::Closed => ApiError::unavailable("closed", message),
        AppendError::Malformed(_)
        | AppendError::OutOfOrderSequence { .. }
        | AppendError::FencedProducer { .. }
        | AppendError::FencedCoordinator { .. }
        | AppendError::Failed(_) => ApiError::internal(message),
    }
}

/// A topic's name out of a path.
pub(super) fn topic_name(text: &str) -> Result<TopicName, ApiError> {
    TopicName::new(text).map_err(|e| ApiError::bad_request("bad_topic_name", e.to_string()))
}
