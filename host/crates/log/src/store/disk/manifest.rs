//! The list of a stream's segments, in the order of the stream: what it does not list is garbage.
//!
//! It is replaced whole whenever it changes: a checksum, then JSON. Where it does not read, the
//! caller makes it anew from the indexes of the segments that are there.

use serde::{Deserialize, Serialize};
use wstream_record::{Offset, PartitionId, Timestamp, TopicId};

use crate::errors::StoreError;
use crate::sled::Disk;
use crate::store::PartitionKey;

/// Snapshots of what is derived that are kept: the newest two.
const DERIVED_KEPT: usize = 2;

/// A stream's list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// In the order of the stream.
    pub(super) segments: Vec<Listed>,
    /// The number of the next segment.
    pub(super) next: u64,
    /// Snapshots of what is derived, oldest first.
    pub(super) derived: Vec<Derived>,
    /// When the last comparison of all closed segments with their seals began; 0 for never.
    #[serde(default)]
    pub(super) scrubbed: Timestamp,
    /// What lost tails were passed over with.
    #[serde(default, skip_serializing_if = "Passed::is_nothing")]
    pub(super) passed: Passed,
}

/// Where partitions go on behind offsets that a lost tail may have given out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed {
    /// The segments whose tails were lost.
    pub(super) segments: Vec<u64>,
    pub(super) ends: Vec<PassedEnd>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PassedEnd {
    pub(super) topic: TopicId,
    pub(super) partition: PartitionId,
    pub(super) end: Offset,
}

impl Passed {
    fn is_nothing(&self) -> bool {
        self.segments.is_empty() && self.ends.is_empty()
    }

    /// The partition goes on at `end`.
    pub(super) fn go_on(&mut self, key: PartitionKey, end: Offset) {
        self.forget(key);
        self.ends.push(PassedEnd {
            topic: key.topic,
            partition: key.partition,
            end,
        });
    }

    /// The partition was deleted.
    pub(super) fn forget(&mut self, key: PartitionKey) {
        self.ends.retain(|passed| passed.key() != key);
    }
}

impl PassedEnd {
    pub(super) fn key(&self) -> PartitionKey {
        PartitionKey {
            topic: self.topic,
            partition: self.partition,
        }
    }
}

/// A snapshot in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Derived {
    /// The number of its file.
    pub(super) file: u64,
    /// The segment from whose beginning it is, or `BEHIND_ALL`.
    pub(super) before: u64,
}

/// Of a snapshot: it is behind every segment in the list.
pub(super) const BEHIND_ALL: u64 = u64::MAX;

/// A segment in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) id: u64,
    /// Whether its index and its seal are stored beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) closed: bool,
    /// Values that count, if not all do: a write or sync behind them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) values: Option<u32>,
}

/// What was found.
pub(super) enum Found {
    Nothing,
    Whole(Manifest),
    Damaged(&'static str),
}

impl Manifest {
    /// Reads the list of the stream in `root`.
    pub(super) fn read(disk: &dyn Disk, root: &str) -> Result<Found, StoreError> {
        let Some(bytes) = disk.read(&name(root))? else {
            return Ok(Found::Nothing);
        };
        let Some((crc, json)) = bytes.split_first_chunk::<4>() else {
            return Ok(Found::Damaged("it is cut"));
        };
        if crc32c::crc32c(json) != u32::from_be_bytes(*crc) {
            return Ok(Found::Damaged("its checksum does not fit"));
        }
        Ok(serde_json::from_slice(json).map_or(Found::Damaged("it is no list"), Found::Whole))
    }

    /// Replaces the list of the stream in `root`.
    pub(super) fn write(&self, disk: &dyn Disk, root: &str) -> Result<(), StoreError> {
        let json = serde_json::to_vec(self);
        let json = json.map_err(|e| StoreError::failed("write", disk.path(&name(root)), &e))?;
        let mut bytes = crc32c::crc32c(&json).to_be_bytes().to_vec();
        bytes.extend_from_slice(&json);
        disk.write(&name(root), &bytes)
    }

    pub(super) fn find(&mut self, id: u64) -> Option<&mut Listed> {
        self.segments.iter_mut().find(|listed| listed.id == id)
    }

    /// The place of the first segment behind a snapshot.
    pub(super) fn place_behind(&self, derived: Derived) -> Option<usize> {
        if derived.before == BEHIND_ALL {
            return Some(self.segments.len());
        }
        self.segments.iter().position(|s| s.id == derived.before)
    }

    /// Segments before this place are not replayed by a start, unless the newest snapshot is
    /// damaged.
    pub(super) fn history(&self) -> usize {
        let newest = self.derived.last();
        newest
            .and_then(|newest| self.place_behind(*newest))
            .unwrap_or(0)
    }

    /// Segments before this place are not replayed whichever snapshot is damaged.
    pub(super) fn old_history(&self) -> usize {
        let oldest = self
            .derived
            .first()
            .filter(|_| self.derived.len() >= DERIVED_KEPT);
        oldest
            .and_then(|oldest| self.place_behind(*oldest))
            .unwrap_or(0)
    }

    /// Takes up a new snapshot; answers the files of those that are no longer needed.
    pub(super) fn add_derived(&mut self, file: u64, before: u64) -> Vec<u64> {
        self.derived.push(Derived { file, before });
        let surplus = self.derived.len().saturating_sub(DERIVED_KEPT);
        self.derived
            .drain(..surplus)
            .map(|derived| derived.file)
            .collect()
    }

    /// Lists a segment behind all others.
    pub(super) fn push(&mut self, id: u64) {
        for derived in &mut self.derived {
            if derived.before == BEHIND_ALL {
                derived.before = id;
            }
        }
        self.segments.push(Listed {
            id,
            closed: false,
            values: None,
        });
    }

    /// Lists `new` segments in the place of `old` ones.
    pub(super) fn replace(&mut self, old: &[u64], new: &[u64]) -> usize {
        let place = self.segments.iter().position(|s| old.contains(&s.id));
        let place = place.unwrap_or(self.segments.len());
        let behind: Vec<Option<usize>> =
            self.derived.iter().map(|d| self.place_behind(*d)).collect();
        self.segments.retain(|listed| !old.contains(&listed.id));
        let listed = new.iter().map(|&id| Listed {
            id,
            closed: true,
            values: None,
        });
        self.segments.splice(place..place, listed);
        for (derived, behind) in self.derived.iter_mut().zip(behind) {
            let Some(behind) = behind else { continue };
            // A snapshot never lies within what is replaced together.
            let moved = if behind <= place {
                behind
            } else {
                (behind + new.len()).saturating_sub(old.len()).max(place)
            };
            derived.before = self.segments.get(moved).map_or(BEHIND_ALL, |s| s.id);
        }
        place
    }
}

fn name(root: &str) -> String {
    format!("{root}/manifest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_behind_all_stays_there_until_a_segment_begins() {
        let listed = |id| Listed {
            id,
            closed: true,
            values: None,
        };
        let mut manifest = Manifest {
            segments: [0, 1].map(listed).to_vec(),
            next: 2,
            ..Manifest::default()
        };
        manifest.add_derived(2, BEHIND_ALL);
        assert_eq!(manifest.history(), 2);
        // 2 was taken by something that failed.
        manifest.push(3);
        assert_eq!(manifest.history(), 2);
        manifest.next = 5;
        manifest.replace(&[0, 1], &[4]);
        assert_eq!(manifest.history(), 1);
    }

    #[test]
    fn snapshots_keep_their_place_when_segments_are_replaced() {
        let listed = |id| Listed {
            id,
            closed: true,
            values: None,
        };
        let manifest = Manifest {
            segments: [2, 3, 4, 5].map(listed).to_vec(),
            next: 6,
            ..Manifest::default()
        };
        // before, old, new, before then
        let rows: [(u64, &[u64], &[u64], u64); 8] = [
            (4, &[2, 3], &[7], 4),
            (4, &[4, 5], &[7, 8], 7),
            (4, &[4], &[], 5),
            (4, &[2], &[], 4),
            (BEHIND_ALL, &[4, 5], &[7], BEHIND_ALL),
            (2, &[2, 3], &[7], 7),
            (5, &[2, 3, 4], &[7], 5),
            (5, &[5], &[], BEHIND_ALL),
        ];
        for (before, old, new, then) in rows {
            let mut manifest = manifest.clone();
            manifest.add_derived(1, before);
            manifest.replace(old, new);
            assert_eq!(manifest.derived[0].before, then, "{before} {old:?} {new:?}");
        }
    }
}
