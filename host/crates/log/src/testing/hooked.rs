//! A store in memory that does something else first, when a test wants that.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use wstream_record::{ByteSize, Offset, RecordBatch, Timestamp};

use crate::errors::StoreError;
use crate::store::memory::MemoryStore;
use crate::store::{
    Aborted, Cleanup, Derived, Done, Entry, Extent, Found, Hole, LogStore, PartitionKey, Recovered,
    Replay, Stored,
};

/// Before which call something happens; after it, for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Flush,
    Look,
}

type Action = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// The store; clones share it.
#[derive(Clone)]
pub(crate) struct HookedStore {
    pub(crate) inner: MemoryStore,
    actions: Arc<Mutex<Vec<(Call, Action)>>>,
}

impl HookedStore {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        let actions = Arc::default();
        Self { inner, actions }
    }

    /// Does this once, before the next such call.
    pub(crate) fn before(
        &self,
        call: Call,
        action: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) {
        self.actions.lock().push((call, Box::new(action)));
    }

    fn act(&self, call: Call) -> Result<(), StoreError> {
        let action = {
            let mut actions = self.actions.lock();
            let at = actions.iter().position(|(of, _)| *of == call);
            at.map(|at| actions.remove(at).1)
        };
        action.map_or(Ok(()), |action| action())
    }
}

impl fmt::Debug for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl LogStore for HookedStore {
    fn recover(&self, replay: &mut dyn Replay) -> Result<Vec<Recovered>, StoreError> {
        self.inner.recover(replay)
    }
    fn begin_behind(&self, keys: &[PartitionKey]) -> Result<Vec<Recovered>, StoreError> {
        self.inner.begin_behind(keys)
    }
    fn streams(&self) -> usize {
        self.inner.streams()
    }
    fn stream_of(&self, key: PartitionKey) -> usize {
        self.inner.stream_of(key)
    }
    fn write(
        &self,
        stream: usize,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        self.inner.write(stream, entries, derived)?;
        // In the middle: some of it is there.
        self.act(Call::Write)
    }
    fn begin_flush(&self, stream: usize, done: &Done) -> Result<bool, StoreError> {
        self.inner.begin_flush(stream, done)
    }
    fn flush(&self, stream: usize) -> Result<(), StoreError> {
        self.act(Call::Flush)?;
        self.inner.flush(stream)
    }
    fn abandon(&self, stream: usize) -> Result<(), StoreError> {
        self.inner.abandon(stream)
    }
    fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Stored, StoreError> {
        self.act(Call::Read)?;
        self.inner.read(key, from, end, limit)
    }
    fn offset_for(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        self.inner.offset_for(key, from, end, at)
    }
    fn look(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.act(Call::Look)?;
        self.inner.look(key, from, end, look)
    }
    fn note_aborted(&self, key: PartitionKey, range: Aborted) {
        self.inner.note_aborted(key, range);
    }
    fn has_aborted(&self, key: PartitionKey, from: Offset) -> bool {
        self.inner.has_aborted(key, from)
    }
    fn aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, StoreError> {
        self.inner.aborted(key, from, next)
    }
    fn boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, StoreError> {
        self.inner.boundary(key, at)
    }
    fn extents(&self, key: PartitionKey) -> Vec<Extent> {
        self.inner.extents(key)
    }
    fn bytes(&self, key: PartitionKey) -> ByteSize {
        self.inner.bytes(key)
    }
    fn records(&self, key: PartitionKey, end: Offset) -> u64 {
        self.inner.records(key, end)
    }
    fn tidy(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) -> Result<bool, StoreError> {
        self.inner.tidy(cleanup)
    }
    fn roll_if_older(&self, stream: usize, age_ms: i64) {
        self.inner.roll_if_older(stream, age_ms);
    }
    fn holes(&self) -> Vec<Hole> {
        self.inner.holes()
    }
    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
    fn close(&self, derived: &dyn Fn() -> Derived) -> Result<(), StoreError> {
        self.inner.close(derived)
    }
}
