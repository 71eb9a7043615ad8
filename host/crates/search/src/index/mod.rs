//! One index: what is submitted becomes durable and searchable at the next commit, once, together
//! with the position of its source.
//!
//! A handle stands for one life of the index. After a failed write or a deletion every call on it
//! says so, its watches end, and the owner gets the index anew and goes on from `position`.

mod payload;
mod prepared;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tantivy::directory::MmapDirectory;
use tantivy::{IndexReader, ReloadPolicy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use wstream_record::{Clock, Offset, Timestamp};

pub use payload::SourceKey;
pub use prepared::Prepared;
pub(crate) use writer::Writers;

use crate::config::SearchConfig;
use crate::document::{BatchBuilder, ColumnPaths, Incoming, TapeBatch};
use crate::error::{IndexError, WriteError};
use crate::schema::{self, Fields};
use crate::snapshot::SnapshotCache;
use writer::Job;

/// Most documents in one step of the writer.
const CHUNK_DOCUMENTS_MAX: usize = 512;
/// Bytes of text at which a step ends.
const CHUNK_BYTES: usize = 256 << 10;
/// The unit in which room in the queue is counted.
const ROOM_UNIT_BYTES: usize = 4 << 10;
/// Decompressed blocks of stored documents kept per segment.
const STORE_CACHE_BLOCKS: usize = 8;

/// A document of a source.
#[derive(Debug, Clone)]
pub struct Document {
    /// The offset of the record it was made from.
    pub offset: Offset,
    /// Which output of that record it is, from 0.
    pub n: u32,
    /// Its own id: the last document of an id stays. Without one the id is
    /// `topic-partition-offset[-n]`.
    pub key: Option<String>,
    /// The record's time, for documents without a usable `@timestamp`.
    pub timestamp: Timestamp,
    /// A JSON object.
    pub json: Bytes,
}

/// Documents of one source in the order of their offsets.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// Where they come from.
    pub source: SourceKey,
    /// The position once they are durable: behind every record read, even one without documents.
    pub next_offset: Offset,
    /// The documents.
    pub documents: Vec<Document>,
}

/// A document that was not taken; the rest of its batch was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the batch.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// A handle to one index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Index(pub(crate) Arc<Shared>);

struct Source {
    key: SourceKey,
    next: Option<Offset>,
    /// Gone when the index is.
    durable: Option<watch::Sender<Offset>>,
}

#[derive(Debug)]
enum Slot {
    Closed,
    Open(SyncSender<Job>, JoinHandle<()>),
    Dead(WriteError),
}

/// What the handles, the writer and the searches of an index share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) index: tantivy::Index,
    pub(crate) fields: Fields,
    pub(crate) reader: IndexReader,
    pub(crate) snapshots: SnapshotCache,
    pub(crate) paths: ColumnPaths,
    config: SearchConfig,
    clock: Clock,
    sources: Mutex<Vec<Source>>,
    slot: Mutex<Slot>,
    room: Arc<Semaphore>,
    room_units: u32,
    committed: watch::Sender<u64>,
    /// Whether this life of the index is over.
    ended: watch::Sender<bool>,
    /// Held by the writer's thread: the next one starts when the last has let go of the files.
    writing: Mutex<()>,
    writers: Arc<Writers>,
    /// Milliseconds of the clock at the last submit.
    used: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Opens the index in `dir`, or makes it there.
    pub(crate) fn open(
        name: &str,
        dir: &Path,
        config: &SearchConfig,
        clock: &Clock,
        writers: &Arc<Writers>,
    ) -> Result<Arc<Self>, IndexError> {
        let failed = |reason: String| IndexError::Open {
            name: name.to_owned(),
            reason,
        };
        let (index, fields) = open_files(dir).map_err(failed)?;
        schema::register(&index);
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(STORE_CACHE_BLOCKS)
            .try_into()
            .map_err(|error: tantivy::TantivyError| failed(error.to_string()))?;
        let metas = index.load_metas().map_err(|e| failed(e.to_string()))?;
        let sources = payload::decode(metas.payload.as_deref()).map_err(failed)?;
        let sources = sources.into_iter().map(|(key, next)| Source {
            key,
            next,
            durable: Some(watch::Sender::new(next.unwrap_or_default())),
        });
        let units = (config.queue_bytes.0 / ROOM_UNIT_BYTES as u64).clamp(1, 1 << 20);
        let room_units = u32::try_from(units).unwrap_or(u32::MAX);
        let shared = Arc::new(Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            index,
            fields,
            reader,
            snapshots: SnapshotCache::default(),
            paths: ColumnPaths::new(name, config.column_paths_max),
            config: config.clone(),
            clock: clock.clone(),
            sources: Mutex::new(sources.collect()),
            slot: Mutex::new(Slot::Closed),
            room: Arc::new(Semaphore::new(room_units as usize)),
            room_units,
            committed: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            writing: Mutex::new(()),
            writers: Arc::clone(writers),
            used: AtomicU64::new(0),
        });
        shared.know_paths().map_err(|e| failed(e.to_string()))?;
        Ok(shared)
    }

    /// Notes the paths that have columns already.
    fn know_paths(self: &Arc<Self>) -> tantivy::Result<()> {
        for segment in &self.snapshots.get(self)?.segments {
            for (path, _) in segment.paths(self.fields)?.iter() {
                self.paths.admit(path);
            }
        }
        Ok(())
    }

    /// The number of a source, given at first sight.
    fn source_number(&self, key: &SourceKey) -> usize {
        let mut sources = self.sources.lock();
        if let Some(number) = sources.iter().position(|source| &source.key == key) {
            return number;
        }
        sources.push(Source {
            key: key.clone(),
            next: None,
            durable: Some(watch::Sender::new(Offset::default())),
        });
        sources.len() - 1
    }

    /// The sources by number, for ids.
    pub(crate) fn source_names(&self) -> Vec<(String, i32)> {
        let sources = self.sources.lock();
        let names = sources.iter();
        names
            .map(|s| (s.key.topic.to_string(), s.key.partition.0))
            .collect()
    }

    /// Whether the handle's life is over.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Dead(_))
    }

    fn closed(&self) -> WriteError {
        match &*self.slot.lock() {
            Slot::Dead(error) => error.clone(),
            _ => WriteError::Closed {
                index: self.name.clone(),
            },
        }
    }

    /// Waits for the end that made the writer drop a reply, and says why it came.
    async fn ended(&self) -> WriteError {
        self.ended.subscribe().wait_for(|ended| *ended).await.ok();
        self.closed()
    }

    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, WriteError> {
        let units = u32::try_from(bytes / ROOM_UNIT_BYTES + 1).unwrap_or(u32::MAX);
        Arc::clone(&self.room)
            .acquire_many_owned(units.min(self.room_units))
            .await
            .map_err(|_| self.closed())
    }

    /// Hands a job to the writer, opening it first if it is closed.
    async fn send(self: &Arc<Self>, mut job: Job) -> Result<(), WriteError> {
        self.touch();
        loop {
            match self.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => {
                    job = back;
                    tokio::task::yield_now().await;
                }
                Err(TrySendError::Disconnected(back)) => {
                    job = back;
                    if self.is_dead() {
                        return Err(self.closed());
                    }
                    let permit = self
                        .writers
                        .admit(self)
                        .await
                        .ok_or_else(|| self.closed())?;
                    self.open_writer(permit)?;
                }
            }
        }
    }

    /// Parses documents from `at` on, until a step is full. A record's documents stay together: a
    /// position never lies between them.
    fn fill(
        &self,
        documents: &[Document],
        at: &mut usize,
        rejected: &mut Vec<Rejected>,
    ) -> BatchBuilder {
        let left = documents.len() - *at;
        let mut builder =
            BatchBuilder::new(left.min(CHUNK_DOCUMENTS_MAX), CHUNK_BYTES.min(left * 256));
        while let Some(document) = documents.get(*at) {
            let full = builder.len() >= CHUNK_DOCUMENTS_MAX || builder.bytes() >= CHUNK_BYTES;
            if full && documents[*at - 1].offset != document.offset {
                break;
            }
            let incoming = Incoming {
                offset: document.offset,
                n: document.n,
                key: document.key.as_deref(),
                timestamp: document.timestamp,
                json: &document.json,
            };
            if let Err(error) = builder.push(&incoming, &self.paths) {
                rejected.push(Rejected {
                    index: *at,
                    reason: error.to_string(),
                });
            }
            *at += 1;
        }
        builder
    }

    fn try_send(&self, job: Job) -> Result<(), TrySendError<Job>> {
        match &*self.slot.lock() {
            Slot::Open(jobs, _) => jobs.try_send(job),
            _ => Err(TrySendError::Disconnected(job)),
        }
    }

    fn open_writer(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<(), WriteError> {
        let mut slot = self.slot.lock();
        match &*slot {
            Slot::Dead(error) => return Err(error.clone()),
            Slot::Open(..) => return Ok(()),
            Slot::Closed => {}
        }
        let (sender, jobs) = sync_channel(self.room_units as usize + 1);
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name(format!("index-{}", self.name))
            .spawn(move || writer::run(shared, jobs, permit))
            .map_err(|error| WriteError::Failed {
                index: self.name.clone(),
                reason: error.to_string(),
            })?;
        *slot = Slot::Open(sender, thread);
        Ok(())
    }

    /// Ends this life of the index: watches end, waiting submits fail. Answers the writer's thread.
    pub(crate) fn die(&self, error: WriteError) -> Option<JoinHandle<()>> {
        let thread = self.end(error);
        self.end_watches();
        thread
    }

    fn end(&self, error: WriteError) -> Option<JoinHandle<()>> {
        let before = {
            let mut slot = self.slot.lock();
            if matches!(*slot, Slot::Dead(_)) {
                return None;
            }
            std::mem::replace(&mut *slot, Slot::Dead(error))
        };
        self.room.close();
        self.ended.send_replace(true);
        match before {
            Slot::Open(_, thread) => Some(thread),
            _ => None,
        }
    }

    fn end_watches(&self) {
        for source in &mut *self.sources.lock() {
            source.durable = None;
        }
    }

    /// Ends this life after what is queued is committed. Blocks until then.
    pub(crate) fn finish(&self) {
        let thread = self.end(WriteError::Closed {
            index: self.name.clone(),
        });
        if let Some(thread) = thread {
            thread.join().ok();
        }
        self.end_watches();
    }

    /// Asks the writer to commit and close; the next submit opens it again.
    pub(crate) fn request_close(&self) {
        if let Slot::Open(jobs, _) = &*self.slot.lock() {
            // A full queue means that it is busy; then it is asked again by whoever waits.
            jobs.try_send(Job::Close).ok();
        }
    }

    fn touch(&self) {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    /// Bytes of its files.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let Ok(files) = std::fs::read_dir(&self.dir) else {
            return 0;
        };
        files
            .filter_map(|file| file.ok()?.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}

fn open_files(dir: &Path) -> Result<(tantivy::Index, Fields), String> {
    let (schema, fields) = schema::schema();
    std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    let directory = MmapDirectory::open(dir).map_err(|error| error.to_string())?;
    let exists = tantivy::Index::exists(&directory).map_err(|error| error.to_string())?;
    let index = if exists {
        tantivy::Index::open(directory)
    } else {
        tantivy::Index::builder()
            .schema(schema.clone())
            .settings(schema::settings())
            .open_or_create(directory)
    };
    let index = index.map_err(|error| error.to_string())?;
    if index.schema() != schema {
        return Err("its schema is of another version".to_owned());
    }
    if !exists && let Some(parent) = dir.parent() {
        writer::sync_directory(dir)
            .and_then(|()| writer::sync_directory(parent))
            .map_err(|error| error.to_string())?;
    }
    Ok((index, fields))
}

impl Index {
    /// The index's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Takes documents, waiting while the queue is full. Documents below the source's position are
    /// skipped. What is not a JSON object is answered and left out; it never stops the batch.
    ///
    /// Cancelling may leave the first part of the batch taken.
    ///
    /// # Errors
    /// The index failed, was deleted or is closed: get it anew and go on from its position.
    pub async fn submit(&self, batch: SourceBatch) -> Result<Vec<Rejected>, WriteError> {
        let number = self.0.source_number(&batch.source);
        let mut rejected = Vec::new();
        if self.position(&batch.source) >= Some(batch.next_offset) {
            return Ok(rejected);
        }
        let mut at = 0;
        loop {
            let builder = self.0.fill(&batch.documents, &mut at, &mut rejected);
            let next = batch
                .documents
                .get(at)
                .map_or(batch.next_offset, |d| d.offset);
            let room = self.0.reserve(builder.bytes()).await?;
            let documents = builder.finish(self.0.fields, number as u64, Some(room));
            let job = Job::Write {
                number,
                documents,
                next,
            };
            self.0.send(job).await?;
            if at >= batch.documents.len() {
                return Ok(rejected);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Replaces the documents of `[from, next_offset)` of a source by those of the batch, in one
    /// commit of its own. The source's position does not fall. A keyed document stays away if its
    /// key has a document of a later offset. Returns when it is durable.
    ///
    /// # Errors
    /// As for [`Index::submit`].
    pub async fn replay(
        &self,
        from: Offset,
        batch: SourceBatch,
    ) -> Result<Vec<Rejected>, WriteError> {
        let number = self.0.source_number(&batch.source);
        let mut rejected = Vec::new();
        let mut chunks: Vec<Arc<TapeBatch>> = Vec::new();
        let mut at = 0;
        while at < batch.documents.len() {
            let builder = self.0.fill(&batch.documents, &mut at, &mut rejected);
            chunks.push(builder.finish(self.0.fields, number as u64, None));
            tokio::task::yield_now().await;
        }
        let (reply, done) = oneshot::channel();
        let job = Job::Replay {
            number,
            range: (from, batch.next_offset),
            documents: chunks,
            reply,
            _room: self.0.reserve(CHUNK_BYTES).await?,
        };
        self.0.send(job).await?;
        match done.await {
            Ok(()) => Ok(rejected),
            Err(_) => Err(self.0.ended().await),
        }
    }

    /// Commits now. Returns when everything submitted before is durable and searchable.
    ///
    /// # Errors
    /// As for [`Index::submit`].
    pub async fn flush(&self) -> Result<(), WriteError> {
        let (reply, done) = oneshot::channel();
        let room = self.0.reserve(0).await?;
        self.0.send(Job::Flush { reply, _room: room }).await?;
        match done.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.0.ended().await),
        }
    }

    /// The next offset of a source by the last commit.
    #[must_use]
    pub fn position(&self, source: &SourceKey) -> Option<Offset> {
        let sources = self.0.sources.lock();
        sources.iter().find(|s| &s.key == source)?.next
    }

    /// Follows the next offset of a source; everything before it survives a crash. It ends when
    /// the handle's life does.
    #[must_use]
    pub fn durable(&self, source: &SourceKey) -> watch::Receiver<Offset> {
        let number = self.0.source_number(source);
        match &self.0.sources.lock()[number].durable {
            Some(sender) => sender.subscribe(),
            None => watch::channel(Offset::default()).1,
        }
    }

    /// Counts commits; it changes when a search may answer anew.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.0.committed.subscribe()
    }
}
