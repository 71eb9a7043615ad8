//! The thread that owns an index's tantivy writer: it applies batches in order and commits them
//! with the positions of their sources.
//!
//! It commits when something has waited for the commit interval, when enough is buffered, when
//! asked, and before it closes; never when nothing came. A position moves only after the commit's
//! files and the directory are on disk.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tantivy::columnar::Column;
use tantivy::indexer::{IndexWriterOptions, UserOperation};
use tantivy::query::{BooleanQuery, Query, RangeQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, IndexWriter, Searcher, TERMINATED, Term};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{debug, error};
use wstream_record::Offset;

use super::payload;
use super::{Shared, Slot};
use crate::document::{TapeBatch, TapeDocument};
use crate::error::WriteError;
use crate::schema::Fields;

/// The longest the thread waits before it looks at the clock, which may be a test's.
const TICK: Duration = Duration::from_millis(100);
/// Memory of tantivy's indexing thread before it cuts a segment by itself.
const HEAP_BYTES: usize = 128 << 20;
/// Replaced documents in one commit; each waits in memory with a query of 3 KB.
const REPLACED_MAX: usize = 20_000;

/// A commit may take this part of the time, until the longest wait is reached.
const COMMIT_PART: u32 = 10;

/// Work for the thread.
#[derive(Debug)]
pub(super) enum Job {
    Write {
        number: usize,
        documents: Arc<TapeBatch>,
        /// The source's position once they are durable.
        next: Offset,
    },
    Replay {
        number: usize,
        range: (Offset, Offset),
        documents: Vec<Arc<TapeBatch>>,
        reply: oneshot::Sender<()>,
        _room: OwnedSemaphorePermit,
    },
    Flush {
        reply: oneshot::Sender<()>,
        _room: OwnedSemaphorePermit,
    },
    Close,
}

/// Bounds the number of open writers of all indices; the longest unused one makes room.
#[derive(Debug)]
pub(crate) struct Writers {
    open: Arc<Semaphore>,
    shared: Mutex<VecDeque<Weak<Shared>>>,
}

impl Writers {
    pub(crate) fn new(open_max: usize) -> Self {
        Self {
            open: Arc::new(Semaphore::new(open_max)),
            shared: Mutex::default(),
        }
    }

    /// Writers that could still open.
    pub(crate) fn available(&self) -> usize {
        self.open.available_permits()
    }

    /// Waits for leave to open a writer; `None` when all is closed.
    pub(super) async fn admit(&self, shared: &Arc<Shared>) -> Option<OwnedSemaphorePermit> {
        let permit = match Arc::clone(&self.open).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.close_longest_unused();
                Arc::clone(&self.open).acquire_owned().await.ok()?
            }
        };
        let mut known = self.shared.lock();
        known.retain(|other| {
            other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), &raw const **shared)
        });
        known.push_back(Arc::downgrade(shared));
        Some(permit)
    }

    fn close_longest_unused(&self) {
        let known: Vec<Arc<Shared>> = self
            .shared
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let open = known
            .iter()
            .filter(|s| matches!(*s.slot.lock(), Slot::Open(..)));
        if let Some(oldest) = open.min_by_key(|s| s.used.load(Ordering::Relaxed)) {
            oldest.request_close();
        }
    }
}

/// Makes the names of a directory's files durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The offset of the document that has a key, if it is of source number `src`.
fn newest(
    searcher: &Searcher,
    fields: Fields,
    key: &str,
    src: i64,
) -> tantivy::Result<Option<Offset>> {
    let term = Term::from_field_text(fields.id, key);
    let mut newest = None;
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(fields.id)?;
        let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
            continue;
        };
        let (offsets, sources) = (
            segment.fast_fields().u64("_off")?,
            segment.fast_fields().u64("_src")?,
        );
        while postings.doc() != TERMINATED {
            let document = postings.doc();
            let number =
                |column: &Column<u64>| column.first(document).and_then(|n| i64::try_from(n).ok());
            if !segment.is_deleted(document) && number(&sources) == Some(src) {
                newest = newest.max(number(&offsets).map(Offset));
            }
            postings.advance();
        }
    }
    Ok(newest)
}

struct Worker {
    shared: Arc<Shared>,
    writer: IndexWriter<TapeDocument>,
    /// The positions up to which documents were given to tantivy, by source number.
    applied: Vec<Option<Offset>>,
    bytes: usize,
    replaced: usize,
    /// When the oldest uncommitted change came.
    dirty_since: Option<Duration>,
    last_work: Duration,
    /// How long the next uncommitted change waits.
    commit_wait: Duration,
}

/// Marks the index as failed if the thread panics.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fail(&self.0, "the writer's thread panicked");
        }
    }
}

fn fail(shared: &Shared, reason: &str) {
    error!(index = %shared.name, reason, "index write failed");
    shared.die(WriteError::Failed {
        index: shared.name.clone(),
        reason: reason.to_owned(),
    });
}

/// The thread's body.
pub(super) fn run(shared: Arc<Shared>, jobs: Receiver<Job>, permit: OwnedSemaphorePermit) {
    let guard = Guard(shared);
    let alone = guard.0.writing.lock();
    let result = Worker::open(Arc::clone(&guard.0)).and_then(|worker| worker.work(&jobs));
    if let Err(reason) = result {
        fail(&guard.0, &reason.to_string());
    }
    drop(alone);
    drop(permit);
}

impl Worker {
    fn open(shared: Arc<Shared>) -> tantivy::Result<Self> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(HEAP_BYTES)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let writer = shared.index.writer_with_options(options)?;
        let applied = shared.sources.lock().iter().map(|s| s.next).collect();
        let last_work = shared.clock.monotonic();
        let commit_wait = shared.config.commit_interval;
        debug!(index = %shared.name, "index writer opened");
        Ok(Self {
            shared,
            writer,
            applied,
            bytes: 0,
            replaced: 0,
            dirty_since: None,
            last_work,
            commit_wait,
        })
    }

    fn work(mut self, jobs: &Receiver<Job>) -> tantivy::Result<()> {
        loop {
            match jobs.recv_timeout(self.wait()) {
                Ok(Job::Close) => {
                    if self.close(jobs)? {
                        return Ok(());
                    }
                }
                Ok(job) => self.handle(job)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.end();
                }
            }
            let now = self.shared.clock.monotonic();
            if self.commit_is_due(now) {
                self.commit()?;
            } else if self.dirty_since.is_none()
                && now.saturating_sub(self.last_work) >= self.shared.config.writer_idle
                && self.close(jobs)?
            {
                return self.writer.wait_merging_threads();
            }
        }
    }

    /// Ends with the index's life: the search closes, or the index is deleted.
    fn end(mut self) -> tantivy::Result<()> {
        let deleted = matches!(
            &*self.shared.slot.lock(),
            Slot::Dead(WriteError::Deleted { .. })
        );
        if deleted {
            // A merge that outlives the directory would write into its successor.
            return self.writer.wait_merging_threads();
        }
        if self.dirty_since.is_some() {
            self.commit()?;
        }
        Ok(())
    }

    /// How long to wait for a job.
    fn wait(&self) -> Duration {
        let config = &self.shared.config;
        let now = self.shared.clock.monotonic();
        let due = match self.dirty_since {
            Some(since) => since + self.commit_wait,
            None => self.last_work + config.writer_idle,
        };
        due.saturating_sub(now).min(TICK)
    }

    fn commit_is_due(&self, now: Duration) -> bool {
        let config = &self.shared.config;
        let Some(since) = self.dirty_since else {
            return false;
        };
        now.saturating_sub(since) >= self.commit_wait
            || self.bytes as u64 >= config.commit_bytes.0
            || self.replaced >= REPLACED_MAX
    }

    fn handle(&mut self, job: Job) -> tantivy::Result<()> {
        let now = self.shared.clock.monotonic();
        self.last_work = now;
        match job {
            Job::Write {
                number,
                documents,
                next,
            } => {
                let from = self.position(number);
                if from < Some(next) {
                    self.dirty_since.get_or_insert(now);
                    self.bytes += documents.bytes();
                    self.apply(&documents, |index| Some(documents.offset(index)) >= from)?;
                    self.applied[number] = Some(next);
                }
            }
            Job::Replay {
                number,
                range,
                documents,
                reply,
                _room,
            } => {
                self.replay(number, range, &documents)?;
                reply.send(()).ok();
            }
            Job::Flush { reply, _room } => {
                if self.dirty_since.is_some() {
                    self.commit()?;
                }
                reply.send(()).ok();
            }
            Job::Close => {}
        }
        Ok(())
    }

    fn position(&mut self, number: usize) -> Option<Offset> {
        if self.applied.len() <= number {
            self.applied.resize(number + 1, None);
        }
        self.applied[number]
    }

    /// Gives the wanted documents to tantivy; a keyed one replaces its predecessor.
    fn apply(
        &mut self,
        batch: &Arc<TapeBatch>,
        wanted: impl Fn(usize) -> bool,
    ) -> tantivy::Result<()> {
        let mut operations = Vec::with_capacity(batch.len());
        for index in 0..batch.len() {
            if !wanted(index) {
                continue;
            }
            if let Some(key) = batch.key(index) {
                let term = Term::from_field_text(self.shared.fields.id, key);
                operations.push(UserOperation::Delete(term));
                self.replaced += 1;
            }
            operations.push(UserOperation::Add(TapeDocument {
                batch: Arc::clone(batch),
                index: u32::try_from(index).expect("a batch has few documents"),
            }));
        }
        self.writer.run(operations)?;
        Ok(())
    }

    fn replay(
        &mut self,
        number: usize,
        (from, to): (Offset, Offset),
        documents: &[Arc<TapeBatch>],
    ) -> tantivy::Result<()> {
        if self.dirty_since.is_some() {
            self.commit()?;
        }
        self.position(number);
        let fields = self.shared.fields;
        let term = |field, n: i64| Term::from_field_u64(field, u64::try_from(n).unwrap_or(0));
        let src = i64::try_from(number).unwrap_or(i64::MAX);
        let source: Box<dyn Query> = Box::new(RangeQuery::new(
            Bound::Included(term(fields.src, src)),
            Bound::Included(term(fields.src, src)),
        ));
        let range: Box<dyn Query> = Box::new(RangeQuery::new(
            Bound::Included(term(fields.off, from.0)),
            Bound::Excluded(term(fields.off, to.0)),
        ));
        let both = BooleanQuery::intersection(vec![source, range]);
        self.writer.delete_query(Box::new(both))?;
        // The last offset of a key wins, also over one that is replayed.
        let searcher = self.shared.reader.searcher();
        for batch in documents {
            let mut outdated = HashSet::new();
            for index in 0..batch.len() {
                if let Some(key) = batch.key(index)
                    && newest(&searcher, fields, key, src)? >= Some(to)
                {
                    outdated.insert(index);
                }
            }
            self.apply(batch, |index| !outdated.contains(&index))?;
        }
        self.applied[number] = self.applied[number].max(Some(to));
        self.commit()
    }

    fn commit(&mut self) -> tantivy::Result<()> {
        let start = self.shared.clock.monotonic();
        let payload = {
            let sources = self.shared.sources.lock();
            let positions = sources
                .iter()
                .enumerate()
                .map(|(number, source)| (&source.key, self.applied.get(number).copied().flatten()));
            payload::encode(positions)
                .map_err(|e| tantivy::TantivyError::InternalError(e.to_string()))?
        };
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&payload);
        prepared.commit()?;
        // tantivy renames its list of segments into place and leaves the directory to us.
        sync_directory(&self.shared.dir)?;
        self.shared.reader.reload()?;
        self.publish();
        self.bytes = 0;
        self.replaced = 0;
        self.dirty_since = None;
        // What commits fast is seen sooner; a load of which a commit takes long commits rarely.
        let took = self.shared.clock.monotonic().saturating_sub(start);
        let config = &self.shared.config;
        let wait = took.saturating_mul(COMMIT_PART);
        self.commit_wait = wait
            .max(config.commit_interval_min)
            .min(config.commit_interval);
        Ok(())
    }

    fn publish(&self) {
        {
            let mut sources = self.shared.sources.lock();
            for (source, next) in sources.iter_mut().zip(&self.applied) {
                source.next = *next;
                if let (Some(durable), Some(next)) = (&source.durable, next) {
                    durable.send_if_modified(|at| std::mem::replace(at, *next) != *next);
                }
            }
        }
        self.shared.committed.send_modify(|count| *count += 1);
    }

    /// Does what is queued, commits, and closes unless something came meanwhile.
    fn close(&mut self, jobs: &Receiver<Job>) -> tantivy::Result<bool> {
        loop {
            while let Ok(job) = jobs.try_recv() {
                self.handle(job)?;
            }
            if self.dirty_since.is_some() {
                self.commit()?;
            }
            let mut slot = self.shared.slot.lock();
            // Senders send under this lock, so an empty queue stays empty.
            match jobs.try_recv() {
                Ok(job) => {
                    drop(slot);
                    self.handle(job)?;
                }
                Err(_) => {
                    if matches!(*slot, Slot::Open(..)) {
                        *slot = Slot::Closed;
                    }
                    return Ok(true);
                }
            }
        }
    }
}
