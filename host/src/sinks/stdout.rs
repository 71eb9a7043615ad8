//! Standard output: a batch is durable once it is written and flushed, which is all that a pipe
//! can promise. Batches of all partitions take turns; lines of two batches never mix.

use std::io::ErrorKind;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use wstream_record::{JsonRecord, Timestamp, TopicPartition};

use crate::metrics::SinkMetrics;

use super::progress::Progress;
use super::{
    Durable, Origin, Refusal, Sink, SinkBatch, SinkDeps, SinkError, SinkRecord, Start, Stdout,
    StdoutFormat, StdoutSinkConfig, count,
};

struct StdoutSink {
    format: StdoutFormat,
    partition: TopicPartition,
    stdout: Stdout,
    prepared: Option<SinkBatch>,
    progress: Progress,
    metrics: Arc<SinkMetrics>,
}

pub(super) fn open(
    config: &StdoutSinkConfig,
    origin: Origin,
    deps: &SinkDeps,
    metrics: Arc<SinkMetrics>,
) -> Box<dyn Sink> {
    Box::new(StdoutSink {
        format: config.format,
        progress: Progress::new(origin.position),
        partition: origin.partition,
        stdout: deps.stdout.clone(),
        prepared: None,
        metrics,
    })
}

impl Sink for StdoutSink {
    fn start(&self) -> Start {
        Start::Group
    }

    fn prepare(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        self.prepared = Some(batch);
        async { Ok(Vec::new()) }.boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.progress.check()?;
            let Some(batch) = self.prepared.take() else {
                return Ok(());
            };
            count(&self.metrics, &batch);
            let mut text = Vec::with_capacity(batch.payload_bytes() + batch.records.len() * 64);
            for record in &batch.records {
                match self.format {
                    StdoutFormat::Pretty => pretty(&mut text, &self.partition, record),
                    StdoutFormat::Json => json(&mut text, &self.partition, record),
                }
            }
            if !text.is_empty() {
                let stdout = self.stdout.clone();
                let written = tokio::task::spawn_blocking(move || {
                    let mut out = stdout.0.lock();
                    out.write_all(&text).and_then(|()| out.flush())
                });
                let written = written.await.map_err(SinkError::retry)?;
                written.map_err(|error| match error.kind() {
                    ErrorKind::BrokenPipe => SinkError::fatal("standard output is closed"),
                    _ => SinkError::retry(format!("could not write to standard output: {error}")),
                })?;
            }
            self.progress.durable(batch.next_offset);
            Ok(())
        }
        .boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async { Ok(()) }.boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

/// The record as JSON at the place of the record it came from.
pub(super) fn json(out: &mut Vec<u8>, from: &TopicPartition, record: &SinkRecord) {
    let json = JsonRecord {
        topic: Some(from.topic.clone()),
        partition: Some(from.partition),
        offset: Some(record.offset),
        record: record.record.clone(),
    };
    json.write(out);
    out.push(b'\n');
}

fn pretty(out: &mut Vec<u8>, from: &TopicPartition, stored: &SinkRecord) {
    let record = &stored.record;
    let mut line = format!(
        "{} partition {} offset {}",
        from.topic, from.partition, stored.offset
    );
    if record.timestamp != Timestamp::NONE {
        let time = jiff::Timestamp::from_millisecond(record.timestamp.0);
        let time = time.map_or_else(|_| record.timestamp.to_string(), |t| format!("{t:.3}"));
        line.push_str(" time ");
        line.push_str(&time);
    }
    if let Some(key) = &record.key {
        line.push_str(&format!(" key {:?}", String::from_utf8_lossy(key)));
    }
    for header in &record.headers {
        let name = String::from_utf8_lossy(&header.name);
        let value = header.value.as_deref().map(String::from_utf8_lossy);
        let value = value.map_or_else(|| "null".to_owned(), |v| format!("{v:?}"));
        line.push_str(&format!(" header {name}={value}"));
    }
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\n  ");
    match &record.value {
        Some(value) => out.extend_from_slice(&value[..]),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wstream_record::{Header, Offset, PartitionId, Record, TopicName};

    use super::*;

    fn record() -> SinkRecord {
        let bytes = |s: &'static str| Some(Bytes::from_static(s.as_bytes()));
        let null = Header {
            name: Bytes::from_static(b"none"),
            value: None,
        };
        SinkRecord {
            offset: Offset(17),
            n: 0,
            partition: None,
            record: Record {
                timestamp: Timestamp(1_609_646_706_789),
                key: bytes("ts1"),
                value: bytes(r#"{"a":1}"#),
                headers: vec![Header::text("trace", "x y"), null],
            },
        }
    }

    #[test]
    fn a_pretty_record_shows_everything() {
        let from = TopicPartition::new(TopicName::new("titles").unwrap(), PartitionId(2));
        let mut out = Vec::new();
        pretty(&mut out, &from, &record());
        let expected = "titles partition 2 offset 17 time 2021-01-03T04:05:06.789Z key \"ts1\" \
                        header trace=\"x y\" header none=null\n  {\"a\":1}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut bare = record();
        bare.record = Record {
            timestamp: Timestamp::NONE,
            ..Record::default()
        };
        let mut out = Vec::new();
        pretty(&mut out, &from, &bare);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "titles partition 2 offset 17\n  null\n"
        );
    }

    #[test]
    fn a_json_record_is_one_line() {
        let from = TopicPartition::new(TopicName::new("titles").unwrap(), PartitionId(2));
        let mut out = Vec::new();
        json(&mut out, &from, &record());
        let line = r#"{"topic":"titles","partition":2,"offset":17,"timestamp":1609646706789,"key":"ts1","value":"{\"a\":1}","headers":[["trace","x y"],["none",null]]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }
}
