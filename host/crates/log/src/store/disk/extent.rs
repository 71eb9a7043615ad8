//! What is known of a segment without opening it, as of the last flush and as of the last write.

use serde::{Deserialize, Serialize};
use wstream_record::{Offset, RecordBatch, Timestamp};

/// What is known of a segment without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    /// The offset after the last record.
    pub(super) next: Offset,
    /// Bytes of batches.
    pub(super) bytes: u64,
    /// Trees in the database.
    pub(super) trees: usize,
    /// Largest timestamp.
    pub(super) newest: Timestamp,
    /// When it was begun.
    pub(super) begun: Timestamp,
}

/// How far a segment goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    /// What was flushed: all that counts, if the process ends now.
    pub(super) flushed: Extent,
    /// What was written. Beyond what was flushed until `flush`.
    pub(super) written: Extent,
}

impl Extents {
    pub(super) fn all_flushed(extent: Extent) -> Self {
        Self {
            flushed: extent,
            written: extent,
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.written.next != self.flushed.next
    }
}

impl Extent {
    pub(super) fn empty(base: Offset, begun: Timestamp) -> Self {
        Self {
            next: base,
            bytes: 0,
            trees: 0,
            newest: Timestamp::NONE,
            begun,
        }
    }

    pub(super) fn note(&mut self, batch: &RecordBatch) {
        let header = batch.header();
        self.next = header.next_offset();
        self.bytes += batch.bytes().len() as u64;
        self.newest = self.newest.max(header.max_timestamp);
    }
}
