//! What is derived from a partition's batches and kept beside them at each segment's end, so
//! that opening a log replays only its newest segment.

use serde::{Deserialize, Serialize};
use wstream_record::{BatchHeader, LeaderEpoch, Offset, Timestamp};

use crate::partition::Producers;

/// Leader epochs remembered; older ones are answered with the oldest remembered.
const EPOCHS_MAX: usize = 1_000;

/// What a leader began to write where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// The first offset it wrote.
    pub start: Offset,
}

/// Derived from all batches up to some offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Idempotent producers.
    pub(crate) producers: Producers,
    /// Leader epochs in order.
    pub(crate) epochs: Vec<EpochStart>,
}

impl Summary {
    /// Takes note of a stored batch.
    pub(crate) fn note(&mut self, header: &BatchHeader) {
        self.producers.note(header);
        let newest = self.epochs.last().map(|e| e.epoch);
        if newest.is_none_or(|epoch| epoch < header.leader_epoch) {
            if self.epochs.len() == EPOCHS_MAX {
                self.epochs.remove(0);
            }
            self.epochs.push(EpochStart {
                epoch: header.leader_epoch,
                start: header.base_offset,
            });
        }
    }

    /// The epoch of the newest batch; 0 in an empty log.
    #[must_use]
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.epochs.last().map_or(LeaderEpoch(0), |e| e.epoch)
    }
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its offset.
    pub(crate) offset: Offset,
    /// Its time.
    pub(crate) timestamp: Timestamp,
}
