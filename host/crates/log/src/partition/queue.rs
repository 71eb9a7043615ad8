//! What waits to be written in a stream, in the order in which it came, bounded in bytes: for each
//! partition and for the node. `Core::hold` waits for room, `Held` gives it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use wstream_record::{Offset, RecordBatch};

use super::Core;
use super::ticket::FlushedReply;
use crate::errors::{AppendError, DeleteError};

/// What waits for a stream.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Item>,
    /// Bytes of what waits.
    bytes: usize,
    /// The stream's flush has come back.
    pub(super) came_back: bool,
    closed: bool,
}

/// Something that is to happen to a partition.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) held: Held,
    pub(super) operation: Operation,
}

/// What is to happen.
#[derive(Debug)]
pub(super) enum Operation {
    /// A producer's batch.
    Append {
        batch: RecordBatch,
        reply: FlushedReply,
    },
    /// The leader's batches.
    Replicate {
        batches: Vec<RecordBatch>,
        reply: OffsetReply,
    },
    Truncate {
        end: Offset,
        reply: OffsetReply,
    },
    Reset {
        start: Offset,
        reply: OffsetReply,
    },
    /// Raises the log start.
    Start {
        to: Offset,
        reply: Option<oneshot::Sender<Result<Offset, DeleteError>>>,
    },
}

pub(super) type OffsetReply = oneshot::Sender<Result<Offset, AppendError>>;

/// Room in the queue of a partition and of the node, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    core: Arc<Core>,
    permits: u32,
    /// What retention has on its way.
    raises: bool,
}

impl Queue {
    /// Adds something at the end, or gives it back.
    pub(super) fn push(&mut self, item: Item) -> Result<(), Item> {
        if self.closed {
            return Err(item);
        }
        self.bytes = self.bytes.saturating_add(item.operation.bytes());
        self.waiting.push_back(item);
        Ok(())
    }

    /// Moves what fits in `bytes_max` to `into`; the first one in any case if `alone`.
    pub(super) fn take(&mut self, bytes_max: usize, alone: bool, into: &mut VecDeque<Item>) {
        let mut bytes = 0_usize;
        let mut count = 0;
        for item in &self.waiting {
            let with_it = bytes.saturating_add(item.operation.bytes());
            if with_it > bytes_max && !(alone && count == 0) {
                break;
            }
            bytes = with_it;
            count += 1;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        if count == self.waiting.len() && into.is_empty() {
            std::mem::swap(&mut self.waiting, into);
        } else {
            into.extend(self.waiting.drain(..count));
        }
    }

    /// Puts back what was taken and not looked at.
    pub(super) fn put_back(&mut self, items: &mut VecDeque<Item>) {
        while let Some(item) = items.pop_back() {
            self.bytes = self.bytes.saturating_add(item.operation.bytes());
            self.waiting.push_front(item);
        }
    }

    /// Bytes of what waits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes no more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

impl Operation {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { batch, .. } => batch.bytes().len(),
            Self::Replicate { batches, .. } => batches.iter().map(|b| b.bytes().len()).sum(),
            Self::Truncate { .. } | Self::Reset { .. } | Self::Start { .. } => 0,
        }
    }

    /// Says that it did not happen.
    pub(super) fn refuse(self, error: AppendError) {
        // Whoever dropped the other end does not want to know.
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Replicate { reply, .. }
            | Self::Truncate { reply, .. }
            | Self::Reset { reply, .. } => drop(reply.send(Err(error))),
            Self::Start { reply, .. } => {
                if let Some(reply) = reply {
                    drop(reply.send(Err(error.into())));
                }
            }
        }
    }
}

impl Held {
    /// `permits` of the partition's and the node's room, which are taken from now on.
    pub(super) fn new(core: &Arc<Core>, permits: u32) -> Self {
        let core = Arc::clone(core);
        Self {
            core,
            permits,
            raises: false,
        }
    }

    /// No room at all, for a start that retention raises: one at a time.
    pub(super) fn raising(core: &Arc<Core>) -> Option<Self> {
        if core.raising.swap(true, Ordering::AcqRel) {
            return None;
        }
        let core = Arc::clone(core);
        Some(Self {
            core,
            permits: 0,
            raises: true,
        })
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.raises {
            self.core.raising.store(false, Ordering::Release);
        }
        if self.permits > 0 {
            let permits = self.permits as usize;
            self.core.room.add_permits(permits);
            self.core.shared.room.add_permits(permits);
        }
    }
}
