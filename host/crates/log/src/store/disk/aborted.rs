//! What was aborted lives in the index of the segment that holds the marker: in memory while that
//! grows, read with it when it is closed, gone with it. Of a partition only the segments are known
//! that have any, so memory is bounded by what is kept, not by what was ever aborted.
//!
//! A truncation does not touch the index of a closed segment: `AbortedIn::next` says what of it
//! counts, and what rewrites the segment leaves the rest out.

use wstream_record::Offset;

use super::held::AbortedIn;
use super::reader::ATTEMPTS;
use super::segment::Trouble;
use super::stream::Stream;
use crate::errors::StoreError;
use crate::store::{Aborted, PartitionKey, aborted};

impl Stream {
    /// As `LogStore::note_aborted`.
    pub(super) fn note_aborted(&self, key: PartitionKey, range: Aborted) {
        let Some(held) = self.held(key) else { return };
        let segment = {
            let held = held.lock();
            let span = held.spans.get(held.find(range.last));
            let span = span.filter(|span| span.first <= range.last);
            span.map(|span| std::sync::Arc::clone(&span.segment))
        };
        // A closed one has it in its index.
        if let Some(segment) = segment
            && segment.note_aborted(key, range)
        {
            held.lock().take_aborted(&segment, &[range]);
        }
    }

    /// As `LogStore::aborted`.
    pub(super) fn aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, StoreError> {
        self.check_open()?;
        let mut attempts = 0;
        loop {
            match self.find_aborted(key, from, next) {
                Ok(found) => return Ok(found),
                Err(Trouble::Removed) if attempts < ATTEMPTS => attempts += 1,
                Err(trouble) => return Err(self.error(trouble)),
            }
        }
    }

    fn find_aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, Trouble> {
        let mut found = Vec::new();
        let mut at = from;
        loop {
            let known = self.held(key).and_then(|held| {
                let held = held.lock();
                at = at.max(held.start);
                held.aborted_from(at).cloned()
            });
            let Some(known) = known else {
                return Ok(found);
            };
            let disk = &*self.node.disk;
            let ended = known.segment.with_aborted(disk, key, |ranges| {
                let count = ranges.partition_point(|range| range.last < known.next);
                aborted::overlapping(&ranges[..count], at, next, &mut found)
            })?;
            self.node.slots.note(&known.segment);
            if ended {
                return Ok(found);
            }
            at = known.next;
        }
    }

    /// What was aborted by markers in segments that are not closed: a snapshot keeps it until their
    /// indexes are stored.
    pub(super) fn aborted_in_live(&self) -> Vec<(PartitionKey, Vec<Aborted>)> {
        let live: Vec<(PartitionKey, Vec<AbortedIn>)> = {
            let partitions = self.partitions.read();
            let live = partitions.iter().map(|(key, held)| {
                let held = held.lock();
                let known = held.aborted.iter().filter(|known| known.segment.is_live());
                (*key, known.cloned().collect())
            });
            live.collect()
        };
        let mut all = Vec::new();
        for (key, known) in live {
            let mut ranges = Vec::new();
            for known in known {
                let counting = known.segment.with_aborted(&*self.node.disk, key, |noted| {
                    let count = noted.partition_point(|range| range.last < known.next);
                    noted[..count].to_vec()
                });
                // One that was closed or replaced meanwhile has its index.
                ranges.extend(counting.unwrap_or_default());
            }
            if !ranges.is_empty() {
                all.push((key, ranges));
            }
        }
        all
    }
}
