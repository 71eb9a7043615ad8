//! Settles segments: rewrites some that follow each other, sorted by partition and without what
//! nobody wants, so that catching up on one partition reads its own bytes, and what was removed or
//! superseded gives its space back.
//!
//! Only segments that no start replays are touched. The new ones are complete and on the device
//! before the manifest names them in the place of the old ones; until then nothing has changed. A
//! truncation that reaches into them meanwhile calls the whole thing off.
//!
//! | segments are settled when | |
//! |---|---|
//! | four or more that follow each other are mixed, or fewer that cannot get neighbours or have waited for ten minutes | sorted |
//! | less than half of one is wanted | what is wanted moves on |
//! | four or more that follow each other are small | joined |
//! | half of a compacted partition in them came since the last time | compacted |

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::{Offset, Timestamp};

use super::held::Span;
use super::index::SegmentIndex;
use super::segment::{Segment, Trouble, names_of};
use super::sorted::{Sorted, Wanted};
use super::stream::Stream;
use crate::errors::StoreError;
use crate::store::{Cleanup, PartitionKey};

/// Segments that are settled together.
const GROUP_MAX: usize = 8;
/// Segments that are worth being sorted or joined.
const GROUP_MIN: usize = 4;
/// Runs of batches per hundred values from which a segment counts as mixed.
const MIXED_PERCENT: u32 = 300;
/// How long mixed segments wait for others.
const WAIT_MS: i64 = 600_000;

/// Why a segment is worth settling.
#[derive(Debug, Clone, Copy, Default)]
struct Reasons {
    mixed: bool,
    small: bool,
    sparse: bool,
    dirty: bool,
}

impl Reasons {
    fn any(self) -> bool {
        self.mixed || self.small || self.sparse || self.dirty
    }
}

impl Stream {
    /// Settles some segments if that is worth it; says whether it was.
    pub(super) fn settle(
        &self,
        cleanup: &dyn Fn(PartitionKey) -> Cleanup,
    ) -> Result<bool, StoreError> {
        let group = self.choose(cleanup);
        if group.is_empty() {
            return Ok(false);
        }
        let mut indexes = Vec::new();
        for segment in &group {
            match segment.index(&*self.node.disk) {
                Ok(index) => indexes.push(index),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(_) => {
                    segment.set_stuck();
                    return Ok(true);
                }
            }
        }
        let wanted = self.wanted(&group, &indexes);
        let sorted = Sorted::new(self, &group, &indexes, &wanted, cleanup);
        let outputs = match sorted.write() {
            Ok(outputs) => outputs,
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Damaged(_)) => {
                // Not the same ones again.
                if !group.iter().any(|segment| segment.is_stuck()) {
                    group.iter().for_each(|segment| segment.set_stuck());
                }
                return Ok(true);
            }
            Err(Trouble::Removed) => return Ok(true),
        };
        self.swap(&group, &wanted, outputs)?;
        for segment in &group {
            segment.unload();
        }
        Ok(true)
    }

    /// The oldest segments that are worth settling together.
    fn choose(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) -> Vec<Arc<Segment>> {
        let segments = self.history();
        let ids = segments.iter().map(|(_, _, segment)| segment.id).collect();
        let dirty = self.dirty_segments(&ids, cleanup);
        let now = self.node.clock.now().0;
        let mut at = 0;
        while at < segments.len() {
            let run = segments[at..].iter().take_while(|(_, follows, segment)| {
                let reasons = self.reasons(segment, &dirty);
                reasons.any() && (*follows || segment.id == segments[at].2.id)
            });
            let run: Vec<Arc<Segment>> =
                run.map(|(_, _, s)| Arc::clone(s)).take(GROUP_MAX).collect();
            if run.is_empty() {
                at += 1;
                continue;
            }
            let reasons: Vec<Reasons> = run.iter().map(|s| self.reasons(s, &dirty)).collect();
            // One that cannot get neighbours, for there are others behind it, need not wait.
            let last = at + run.len() == segments.len();
            let waited = |s: &Segment| !last || now.saturating_sub(s.begun.0) >= WAIT_MS;
            let worth = run.len() >= GROUP_MIN
                || reasons.iter().any(|r| r.sparse || r.dirty)
                || (reasons.iter().any(|r| r.mixed) && waited(&run[0]));
            if worth {
                return run;
            }
            at += run.len();
        }
        Vec::new()
    }

    /// Closed segments that no start replays: place, whether it follows the one before, segment.
    fn history(&self) -> Vec<(usize, bool, Arc<Segment>)> {
        let manifest = self.manifest.lock();
        let segments = self.segments.read();
        let mut history: Vec<(usize, bool, Arc<Segment>)> = Vec::new();
        let (old, all) = (manifest.old_history(), manifest.history());
        for (place, segment) in segments.iter().enumerate().take(all) {
            let listed = manifest.segments.get(place);
            let closed = listed.is_some_and(|listed| listed.closed && listed.id == segment.id);
            let quiet =
                closed && !segment.is_live() && !segment.is_stuck() && segment.damaged().is_none();
            if quiet {
                // A snapshot never comes to lie within what is settled together.
                let follows = place != old
                    && history
                        .last()
                        .is_some_and(|(before, ..)| before + 1 == place);
                history.push((place, follows, Arc::clone(segment)));
            }
        }
        history
    }

    fn reasons(&self, segment: &Segment, dirty: &HashSet<u64>) -> Reasons {
        let bytes = segment.bytes.load(Ordering::Relaxed);
        let live = segment.live.load(Ordering::Relaxed);
        let settled = segment.settled.load(Ordering::Relaxed);
        let mixed = segment.mixed.load(Ordering::Relaxed);
        Reasons {
            mixed: !settled && mixed >= MIXED_PERCENT,
            small: live < self.node.segment_bytes / 4,
            sparse: live.saturating_mul(2) < bytes,
            dirty: dirty.contains(&segment.id),
        }
    }

    /// Segments with batches of partitions that are to be compacted.
    fn dirty_segments(
        &self,
        segments: &HashSet<u64>,
        cleanup: &dyn Fn(PartitionKey) -> Cleanup,
    ) -> HashSet<u64> {
        let mut dirty = HashSet::new();
        // `cleanup` may wait for who waits for the list of partitions.
        let partitions: Vec<_> = self
            .partitions
            .read()
            .iter()
            .map(|(key, held)| (*key, Arc::clone(held)))
            .collect();
        for (key, held) in partitions {
            let Some(below) = cleanup(key).compact_below else {
                continue;
            };
            let now = self.node.clock.now();
            let percent = self.node.dirty_percent;
            dirty.extend(held.lock().dirty(below, segments, percent, now));
        }
        dirty
    }

    /// What is wanted of each partition in a group: stretches in the order of their offsets.
    fn wanted(&self, group: &[Arc<Segment>], indexes: &[Arc<SegmentIndex>]) -> Wanted {
        let ids: HashSet<u64> = group.iter().map(|segment| segment.id).collect();
        let keys: BTreeMap<PartitionKey, ()> = indexes
            .iter()
            .flat_map(|index| index.parts.keys().map(|key| (*key, ())))
            .collect();
        let mut wanted = Wanted::new();
        for (key, ()) in keys {
            let Some(held) = self.held(key) else { continue };
            let held = held.lock();
            let spans = held.spans.iter();
            let spans: Vec<Span> = spans
                .filter(|s| ids.contains(&s.segment.id))
                .cloned()
                .collect();
            wanted.insert(key, spans);
        }
        wanted
    }

    /// Puts the new segments in the place of the old ones, unless what they hold has been truncated
    /// meanwhile.
    fn swap(
        &self,
        group: &[Arc<Segment>],
        wanted: &Wanted,
        outputs: Vec<(Arc<Segment>, SegmentIndex)>,
    ) -> Result<(), StoreError> {
        let writer = self.writer.lock();
        let _upkeep = self.upkeep.lock();
        if !self.is_unchanged(group, wanted) {
            drop(writer);
            for (segment, _) in outputs {
                for name in names_of(&segment.name) {
                    self.node.disk.remove(&name)?;
                }
            }
            return Ok(());
        }
        let new = outputs
            .iter()
            .map(|(segment, _)| Arc::clone(segment))
            .collect();
        self.list_instead(group, new)?;
        let ids: HashSet<u64> = group.iter().map(|segment| segment.id).collect();
        for (key, spans) in wanted {
            self.move_spans(*key, spans, &outputs);
            self.move_aborted(*key, &ids, &outputs);
        }
        drop(writer);
        self.remove_segments(group)
    }

    /// Whether the partitions' spans in the group are as they were, but for those that retention
    /// took.
    fn is_unchanged(&self, group: &[Arc<Segment>], wanted: &Wanted) -> bool {
        let ids: HashSet<u64> = group.iter().map(|segment| segment.id).collect();
        wanted.iter().all(|(key, spans)| {
            let Some(held) = self.held(*key) else {
                return true;
            };
            let held = held.lock();
            let now = held.spans.iter().filter(|s| ids.contains(&s.segment.id));
            let now: Vec<(Offset, Offset)> = now.map(|s| (s.first, s.next)).collect();
            let before = spans.iter().map(|s| (s.first, s.next));
            let before: Vec<(Offset, Offset)> = before.filter(|s| s.1 > held.start).collect();
            now.iter().filter(|s| s.1 > held.start).eq(&before)
        })
    }

    /// What was aborted is known by the new segments' indexes.
    fn move_aborted(
        &self,
        key: PartitionKey,
        old: &HashSet<u64>,
        outputs: &[(Arc<Segment>, SegmentIndex)],
    ) {
        let Some(held) = self.held(key) else { return };
        let mut held = held.lock();
        held.aborted
            .retain(|known| !old.contains(&known.segment.id));
        for (segment, index) in outputs {
            if let Some(part) = index.parts.get(&key) {
                held.take_aborted(segment, &part.aborted);
            }
        }
    }

    fn move_spans(
        &self,
        key: PartitionKey,
        old: &[Span],
        outputs: &[(Arc<Segment>, SegmentIndex)],
    ) {
        let Some(held) = self.held(key) else { return };
        let mut held = held.lock();
        let gone: HashSet<u64> = old.iter().map(|span| span.segment.id).collect();
        let place = held.spans.iter().position(|s| gone.contains(&s.segment.id));
        let start = held.start;
        held.spans.retain(|span| !gone.contains(&span.segment.id));
        let mut at = place.unwrap_or(0);
        for (segment, index) in outputs {
            let Some(part) = index.parts.get(&key) else {
                continue;
            };
            for stretch in part.stretches() {
                if stretch.next <= start {
                    segment.forget(stretch.bytes);
                    continue;
                }
                let mut span = Span::of(segment, stretch);
                // Retention goes by when it was appended, not by when it was moved.
                let origins = old.iter();
                let origins = origins.filter(|s| s.next > span.first && s.first < span.next);
                let appended = origins.map(|s| s.appended).max();
                span.appended = appended.unwrap_or(span.appended);
                held.spans.insert(at, span);
                at += 1;
            }
        }
        held.bytes = held.spans.iter().map(|span| span.bytes).sum();
        held.records = held.spans.iter().map(|s| u64::from(s.records)).sum();
        let compacted = outputs
            .iter()
            .filter_map(|(_, index)| index.compacted.get(&key));
        let compacted: Vec<Option<Timestamp>> = compacted.copied().collect();
        if !compacted.is_empty() {
            let end = old.iter().map(|span| span.next).max().unwrap_or_default();
            held.compacted_to(end, compacted.into_iter().flatten().min());
        }
    }
}
