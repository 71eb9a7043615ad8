//! What follows from a partition's batches and transaction markers, and from nothing else: which
//! batches an idempotent producer sent, where each leader epoch began, which transactions are open.
//! Whoever takes note of the same batches knows the same. What a marker aborted is answered once, when
//! it is noted: the store keeps it.
//!
//! Each of the three is fed batch by batch in the order of offsets, goes back to an earlier offset
//! (`truncate`) and drops what lies below the log start (`drop_below`). Where going back is not
//! exact `truncate` answers `false`, and the caller takes note of the kept batches anew.
//!
//! ```text
//! encoded:  version u8 | producers | epochs | transactions      all numbers are zigzag varints
//! ```
//!
//! `decode` takes bytes from anywhere: it refuses what `encode` cannot have written by its shape
//! (order, signs, bounds) and never reserves memory that the bytes do not back. It has no checksum:
//! the store checks the value that it is kept in.
//! Nothing here reads the log, decides who leads, or knows the high watermark: it is passed in.

mod epochs;
mod producers;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use wstream_record::{BatchHeader, Offset, RecordBatch, Timestamp};

pub(crate) use epochs::Epochs;
pub use epochs::{EpochEnd, EpochStart};
pub(crate) use producers::{ProducerBudget, Producers, Verdict};
pub use transactions::Marker;
pub(crate) use transactions::Transactions;

use crate::numbers::Reader;
use crate::store::Aborted;

/// The version of the encoding.
const VERSION: u8 = 2;
/// The version before held no coordinators' epochs, and the aborted ranges, of which no node ever had
/// any.
const VERSION_WITH_ABORTED: u8 = 1;

/// What is derived from one partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Derived {
    /// Idempotent producers and their last batches.
    pub(crate) producers: Producers,
    /// Leader epochs and where they began.
    pub(crate) epochs: Epochs,
    /// Open transactions.
    pub(crate) transactions: Transactions,
}

impl Derived {
    /// Of an empty log. Producers count in the node's `budget` until this is dropped.
    pub(crate) fn new(budget: Arc<ProducerBudget>) -> Self {
        Self {
            producers: Producers::new(budget),
            epochs: Epochs::default(),
            transactions: Transactions::default(),
        }
    }

    /// Takes note of a stored batch, at or above all noted before. `control` is the whole batch of
    /// a control batch. `now` is when it was appended here; producers expire by it.
    ///
    /// What is stored counts: nothing is refused here. A control batch that is no transaction's
    /// marker ends no transaction and touches no producer; it is logged. Answers what it aborted.
    pub(crate) fn note(
        &mut self,
        header: &BatchHeader,
        control: Option<&RecordBatch>,
        now: Timestamp,
    ) -> Option<Aborted> {
        self.epochs.note(header.leader_epoch, header.base_offset);
        if !header.is_control() {
            self.producers.note(header, now);
            self.transactions.note(header);
            return None;
        }
        let parsed = control.map_or(Err("the batch was not given"), Marker::parse);
        match (parsed, header.producer) {
            (Ok(Some((marker, coordinator))), Some(stamp)) => {
                self.producers
                    .note_marker(stamp, coordinator, header.base_offset, now);
                return self
                    .transactions
                    .note_marker(stamp.id, marker, header.base_offset);
            }
            // Compaction has emptied it: nothing of the transaction is left.
            (Ok(None), _) => {}
            (Ok(Some(_)), None) => ignored(header, "a marker names no producer"),
            (Err(reason), _) => ignored(header, reason),
        }
        None
    }

    /// Forgets what came from batches at or above `end`. `false`: what is left is not enough to say
    /// what was known at `end`; the caller begins with `new` and takes note of the kept batches.
    #[must_use]
    pub(crate) fn truncate(&mut self, end: Offset) -> bool {
        let producers = self.producers.truncate(end);
        let epochs = self.epochs.truncate(end);
        let transactions = self.transactions.truncate(end);
        producers && epochs && transactions
    }

    /// The log begins at `start`: epochs and transactions below are dropped. Producers stay until
    /// they expire, as Kafka's do.
    pub(crate) fn drop_below(&mut self, start: Offset) {
        self.epochs.drop_below(start);
        self.transactions.drop_below(start);
    }

    /// Forgets the producers that were silent for `after` (`producer.id.expiration.ms`), other than
    /// those with an open transaction.
    pub(crate) fn expire(&mut self, now: Timestamp, after: Duration) {
        let transactions = &self.transactions;
        self.producers
            .expire(now, after, &|id| transactions.first_of(id).is_some());
    }

    /// Appends the encoding to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.producers.encode(out);
        self.epochs.encode(out);
        self.transactions.encode(out);
    }

    /// Reads what `encode` wrote. Over the node's `budget` the longest silent producers are missing.
    pub(crate) fn decode(bytes: &[u8], budget: Arc<ProducerBudget>) -> Result<Self, String> {
        Self::read(bytes, budget).map_err(|reason| format!("derived state: {reason}"))
    }

    fn read(bytes: &[u8], budget: Arc<ProducerBudget>) -> Result<Self, String> {
        let mut input = Reader::new(bytes);
        let version = input.byte()?;
        if !(VERSION_WITH_ABORTED..=VERSION).contains(&version) {
            return Err(format!(
                "it has version {version}, this node reads {VERSION}"
            ));
        }
        let read = Self {
            producers: Producers::decode(&mut input, budget, version != VERSION_WITH_ABORTED)?,
            epochs: Epochs::decode(&mut input)?,
            transactions: Transactions::decode(&mut input)?,
        };
        if version == VERSION_WITH_ABORTED && input.number()? != 0 {
            return Err("it holds aborted ranges, which belong to the segments".to_owned());
        }
        input.finish()?;
        Ok(read)
    }
}

fn ignored(header: &BatchHeader, reason: &'static str) {
    warn!(offset = %header.base_offset, reason, "control batch ends no transaction");
}

#[cfg(test)]
pub(crate) mod tests;
