//! Indices of the embedded search engine: each document is there once, whatever is killed when.
//!
//! With a fixed name the index itself holds the position, in the same commit as the documents.
//! With a name that follows from the record's time one partition feeds many indices: a batch is
//! durable when every index that got a document of it has committed, which is the sink's own
//! checkpoint; after a restart each index skips what its own position covers.
//! Documents that are not JSON objects are refused one by one. An index that failed or was deleted
//! stops the sink, which is opened anew at the index's position: a deleted index is built again.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use wstream_record::{Offset, Timestamp};
use wstream_search::{
    Document, Index, IndexError, Prepared, Search, SourceBatch, SourceKey, WriteError,
};

use crate::metrics::SinkMetrics;

use super::id::IdRule;
use super::progress::Progress;
use super::{
    Durable, IndexPattern, Origin, Refusal, SearchSinkConfig, Sink, SinkBatch, SinkDeps, SinkError,
    SinkRecord, Start,
};

/// Batches that wait for the commits of their indices.
const UNCOMMITTED_MAX: usize = 1024;
/// Indices whose handles are kept.
const HANDLES_MAX: usize = 64;

struct SearchSink {
    search: Search,
    pattern: IndexPattern,
    id: IdRule,
    source: SourceKey,
    start: Start,
    indices: HashMap<String, Index>,
    prepared: Option<Ready>,
    uncommitted: mpsc::Sender<Uncommitted>,
    submitted: Offset,
    progress: Progress,
    metrics: Arc<SinkMetrics>,
}

/// A batch whose documents are parsed.
struct Ready {
    next_offset: Offset,
    indices: Vec<(Index, Prepared)>,
    records: u64,
    bytes: u64,
    room: Option<OwnedSemaphorePermit>,
}

/// A submitted batch and the indices whose commit it waits for.
struct Uncommitted {
    next_offset: Offset,
    indices: Vec<watch::Receiver<Offset>>,
    _room: Option<OwnedSemaphorePermit>,
}

pub(super) async fn open(
    config: &SearchSinkConfig,
    origin: Origin,
    deps: &SinkDeps,
    metrics: Arc<SinkMetrics>,
) -> Result<Box<dyn Sink>, SinkError> {
    let pattern = IndexPattern::parse(&config.index).map_err(SinkError::fatal)?;
    let id = IdRule::parse(config.id.as_deref()).map_err(SinkError::fatal)?;
    let source = SourceKey {
        pipeline: origin.pipeline.to_string(),
        topic: origin.partition.topic.clone(),
        partition: origin.partition.partition,
    };
    let mut indices = HashMap::new();
    let mut start = Start::Group;
    let mut next = origin.position;
    if let Some(name) = pattern.fixed() {
        let index = deps.search.index(name).await.map_err(index_error)?;
        next = index.position(&source).unwrap_or_default();
        start = Start::Exactly(next);
        indices.insert(name.to_owned(), index);
    }
    let progress = Progress::new(next);
    let (uncommitted, queue) = mpsc::channel(UNCOMMITTED_MAX);
    // Ends by itself when the sink is dropped.
    drop(tokio::spawn(follow(queue, progress.clone())));
    Ok(Box::new(SearchSink {
        search: deps.search.clone(),
        pattern,
        id,
        source,
        start,
        indices,
        prepared: None,
        uncommitted,
        submitted: next,
        progress,
        metrics,
    }))
}

/// Awaits commits in the order of the batches.
async fn follow(mut queue: mpsc::Receiver<Uncommitted>, progress: Progress) {
    while let Some(batch) = queue.recv().await {
        for mut committed in batch.indices {
            let covers = committed.wait_for(|&position| position >= batch.next_offset);
            if covers.await.is_err() {
                progress.failed(SinkError::retry("the index has failed or was deleted"));
                return;
            }
        }
        progress.durable(batch.next_offset);
    }
}

fn index_error(error: IndexError) -> SinkError {
    match error {
        IndexError::Name { .. } => SinkError::fatal(error),
        IndexError::Open { .. } | IndexError::Closed => SinkError::retry(error),
    }
}

fn write_error(error: WriteError) -> SinkError {
    SinkError::retry(error)
}

/// Documents of one submit by index; few, so a list.
type ByIndex = Vec<(String, Vec<Document>)>;

impl SearchSink {
    /// Documents by the name of their index, in order, and what cannot be one.
    fn documents(&self, records: Vec<SinkRecord>) -> (ByIndex, Vec<Refusal>) {
        let mut by_index: ByIndex = Vec::new();
        let mut refused = Vec::new();
        if let Some(name) = self.pattern.fixed() {
            by_index.push((name.to_owned(), Vec::with_capacity(records.len())));
        }
        let mut last: Option<(Timestamp, usize)> = None;
        for record in records {
            let at = record.record.timestamp;
            let place = match last {
                _ if self.pattern.fixed().is_some() => Ok(0),
                Some((before, place)) if IndexPattern::same_name(before, at) => Ok(place),
                _ => self.place(at, &mut by_index),
            };
            let offset = record.offset;
            let document = place.and_then(|place| {
                last = Some((at, place));
                Ok((place, self.document(record)?))
            });
            match document {
                Ok((place, document)) => by_index[place].1.push(document),
                Err(message) => refused.push(Refusal {
                    offset,
                    code: "document",
                    message,
                }),
            }
        }
        (by_index, refused)
    }

    fn place(&self, at: Timestamp, by_index: &mut ByIndex) -> Result<usize, String> {
        let no_time = || "the record has no time, and the name of its index needs one".to_owned();
        let at = (at != Timestamp::NONE).then_some(at).ok_or_else(no_time)?;
        let name = self.pattern.name(at).ok_or_else(no_time)?;
        let known = by_index.iter().position(|(n, _)| *n == name);
        Ok(known.unwrap_or_else(|| {
            by_index.push((name, Vec::new()));
            by_index.len() - 1
        }))
    }

    fn document(&self, record: SinkRecord) -> Result<Document, String> {
        let null = || "the value is null, not a JSON object".to_owned();
        let json: Bytes = record.record.value.ok_or_else(null)?;
        let key = self.id.id(record.record.key.as_ref(), &json)?;
        Ok(Document {
            offset: record.offset,
            n: record.n,
            key,
            timestamp: record.record.timestamp,
            json,
        })
    }

    async fn index(&mut self, name: &str) -> Result<Index, SinkError> {
        if let Some(index) = self.indices.get(name) {
            return Ok(index.clone());
        }
        if self.indices.len() >= HANDLES_MAX {
            self.indices.clear();
        }
        let index = self.search.index(name).await.map_err(index_error)?;
        self.indices.insert(name.to_owned(), index.clone());
        Ok(index)
    }
}

impl Sink for SearchSink {
    fn start(&self) -> Start {
        self.start
    }

    fn prepare(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        async move {
            let next_offset = batch.next_offset;
            let (records, bytes) = (batch.records.len() as u64, batch.payload_bytes() as u64);
            let (by_index, mut refused) = self.documents(batch.records);
            let mut indices = Vec::with_capacity(by_index.len());
            for (name, documents) in by_index {
                let index = self.index(&name).await?;
                let offsets: Vec<Offset> = documents.iter().map(|d| d.offset).collect();
                let prepared = index.prepare(SourceBatch {
                    source: self.source.clone(),
                    next_offset,
                    documents,
                });
                let prepared = prepared.await;
                let rejected = prepared.rejected().iter().filter_map(|document| {
                    Some(Refusal {
                        offset: *offsets.get(document.index)?,
                        code: "document",
                        message: document.reason.clone(),
                    })
                });
                refused.extend(rejected);
                indices.push((index, prepared));
            }
            for refusal in &refused {
                self.metrics.refused.add(refusal.code, 1);
            }
            self.prepared = Some(Ready {
                next_offset,
                indices,
                records,
                bytes,
                room: batch.room,
            });
            Ok(refused)
        }
        .boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.progress.check()?;
            let Some(ready) = self.prepared.take() else {
                return Ok(());
            };
            self.metrics.records.add(ready.records);
            self.metrics.bytes.add(ready.bytes);
            let mut indices = Vec::with_capacity(ready.indices.len());
            for (index, prepared) in ready.indices {
                // Before the submit, so that the end of the watch tells of a failure.
                indices.push(index.durable(&self.source));
                let submitted = index.submit_prepared(prepared).await;
                submitted.map_err(write_error)?;
            }
            let uncommitted = Uncommitted {
                next_offset: ready.next_offset,
                indices,
                _room: ready.room,
            };
            if self.uncommitted.send(uncommitted).await.is_err() {
                self.progress.check()?;
                return Err(SinkError::retry("the sink has stopped"));
            }
            self.submitted = ready.next_offset;
            Ok(())
        }
        .boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.progress.check()?;
            for index in self.indices.values() {
                index.flush().await.map_err(write_error)?;
            }
            self.progress.reached(self.submitted).await
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
