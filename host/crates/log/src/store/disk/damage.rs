//! What was stored and cannot be read: told once, counted, and copied aside before anything is
//! written over it. The list is kept beside the segments, so that a start knows what an earlier one
//! found.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wstream_record::{Offset, PartitionId, TopicId};

use super::segment::{Segment, segment_id};
use crate::errors::StoreError;
use crate::sled::Disk;
use crate::store::{Hole, PartitionKey};

/// Holes that are listed; more are only logged.
const HOLES_MAX: usize = 10_000;

/// All damage of a stream.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    holes: Vec<Hole>,
    seen: HashSet<(Option<PartitionKey>, Offset, Offset)>,
    kept: HashMap<u64, Option<PathBuf>>,
    /// Whether there are holes that are not stored yet.
    is_new: bool,
}

/// A hole in the stored list.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<(TopicId, PartitionId)>,
    first: Offset,
    next: Offset,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_at: Option<PathBuf>,
    reason: String,
}

impl Damage {
    /// Takes note of offsets that are missing in a segment, whose files are copied aside first.
    pub(super) fn in_segment(
        &self,
        disk: &dyn Disk,
        segment: &Segment,
        missing: (Option<PartitionKey>, Offset, Offset),
        reason: &str,
    ) {
        let kept_at = self.keep(disk, segment);
        self.add(missing, Some(segment.name.clone()), kept_at, reason);
    }

    /// Copies a segment's files aside, once.
    pub(super) fn keep(&self, disk: &dyn Disk, segment: &Segment) -> Option<PathBuf> {
        if let Some(kept) = self.0.lock().kept.get(&segment.id) {
            return kept.clone();
        }
        let as_name = format!("segment-{}", segment.name.replace('/', "-"));
        let kept = match disk.keep_aside(&segment.name, &as_name) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::error!(segment = %segment.name, %error, "could not copy damaged files aside");
                None
            }
        };
        self.0.lock().kept.insert(segment.id, kept.clone());
        kept
    }

    /// Takes note of offsets that are missing.
    pub(super) fn add(
        &self,
        missing: (Option<PartitionKey>, Offset, Offset),
        segment: Option<String>,
        kept_at: Option<PathBuf>,
        reason: &str,
    ) {
        let (key, first, next) = missing;
        let mut known = self.0.lock();
        // What is told as a whole is not told again in parts.
        let is_told = |hole: &Hole| hole.key == key && hole.first <= first && next <= hole.next;
        if !known.seen.insert(missing) || known.holes.iter().any(is_told) && key.is_some() {
            return;
        }
        if first == next && key.is_none() {
            tracing::error!(segment, kept_at = ?kept_at, reason, "stored files are damaged");
        } else {
            tracing::error!(
                topic = key.map(|key| key.topic.to_string()),
                partition = key.map(|key| key.partition.0),
                %first, %next, segment, kept_at = kept_at.as_ref().map(|p| p.display().to_string()),
                reason, "stored records are missing"
            );
        }
        known.is_new = true;
        if known.holes.len() < HOLES_MAX {
            known.holes.push(Hole {
                key,
                first,
                next,
                segment,
                kept_at,
                reason: reason.to_owned(),
            });
        }
    }

    /// Takes up what earlier starts found in segments that are still there. A list that does not read
    /// is left: what it told is found again.
    pub(super) fn load(
        &self,
        disk: &dyn Disk,
        root: &str,
        is_listed: impl Fn(u64) -> bool,
    ) -> Result<(), StoreError> {
        let bytes = disk.read(&file(root))?.unwrap_or_default();
        let stored = bytes.split_first_chunk::<4>();
        let stored = stored.filter(|(crc, json)| crc32c::crc32c(json).to_be_bytes() == **crc);
        let stored = stored.and_then(|(_, json)| serde_json::from_slice::<Vec<Stored>>(json).ok());
        let mut known = self.0.lock();
        for stored in stored.unwrap_or_default().into_iter().take(HOLES_MAX) {
            let name = stored.segment.as_deref();
            let id = name.and_then(|name| segment_id(name.rsplit('/').next()?));
            if id.is_some_and(|id| !is_listed(id)) {
                continue;
            }
            let key = stored
                .of
                .map(|(topic, partition)| PartitionKey { topic, partition });
            if let Some(id) = id {
                known.kept.insert(id, stored.kept_at.clone());
            }
            known.seen.insert((key, stored.first, stored.next));
            known.holes.push(Hole {
                key,
                first: stored.first,
                next: stored.next,
                segment: stored.segment,
                kept_at: stored.kept_at,
                reason: stored.reason,
            });
        }
        if !known.holes.is_empty() {
            let holes = known.holes.len();
            tracing::warn!(
                stream = root,
                holes,
                "stored records are missing since an earlier start"
            );
        }
        Ok(())
    }

    /// Stores the list, if there is something new in it.
    pub(super) fn store(&self, disk: &dyn Disk, root: &str) -> Result<(), StoreError> {
        let json = {
            let mut known = self.0.lock();
            if !std::mem::take(&mut known.is_new) {
                return Ok(());
            }
            let stored = known.holes.iter().map(|hole| Stored {
                of: hole.key.map(|key| (key.topic, key.partition)),
                first: hole.first,
                next: hole.next,
                segment: hole.segment.clone(),
                kept_at: hole.kept_at.clone(),
                reason: hole.reason.clone(),
            });
            let stored: Vec<Stored> = stored.collect();
            serde_json::to_vec(&stored).expect("names, numbers and texts always serialize")
        };
        let mut bytes = crc32c::crc32c(&json).to_be_bytes().to_vec();
        bytes.extend_from_slice(&json);
        let written = disk.write(&file(root), &bytes);
        self.0.lock().is_new |= written.is_err();
        written
    }

    pub(super) fn holes(&self) -> Vec<Hole> {
        self.0.lock().holes.clone()
    }
}

fn file(root: &str) -> String {
    format!("{root}/damage")
}
