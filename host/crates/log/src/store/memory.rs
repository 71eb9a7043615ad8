//! Keeps logs in memory until the process ends: for tests everywhere, and the measure of the
//! sled store's behaviour.
//!
//! It has segments too, so that retention removes the same records as on disk.
//! A partition that is closed and opened again holds what it held.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use wstream_record::{ByteSize, Clock, Offset, RecordBatch, Timestamp, TopicPartition};

use super::{Before, LogStore, PartitionStore, Recovered, SetAside, find_in_batch, is_expired};
use crate::errors::StoreError;
use crate::summary::{Found, Summary};
use crate::topic::TopicConfig;

/// All partitions of a node, in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    clock: Clock,
    partitions: Mutex<HashMap<TopicPartition, Arc<Mutex<Segments>>>>,
}

#[derive(Debug)]
struct MemoryPartition {
    clock: Clock,
    segments: Arc<Mutex<Segments>>,
}

#[derive(Debug, Default)]
struct Segments {
    start: Offset,
    config: TopicConfig,
    /// Oldest first.
    list: Vec<Segment>,
    /// Of all batches there ever were.
    summary: Summary,
}

#[derive(Debug)]
struct Segment {
    batches: Vec<RecordBatch>,
    bytes: u64,
    newest: Timestamp,
    begun: Timestamp,
    closed: bool,
}

impl MemoryStore {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            partitions: Mutex::default(),
        }
    }
}

impl LogStore for MemoryStore {
    fn open(
        &self,
        name: &TopicPartition,
        config: &TopicConfig,
    ) -> Result<Box<dyn PartitionStore>, StoreError> {
        let segments = Arc::clone(self.partitions.lock().entry(name.clone()).or_default());
        segments.lock().config = config.clone();
        let clock = self.clock.clone();
        Ok(Box::new(MemoryPartition { clock, segments }))
    }

    fn remove(&self, name: &TopicPartition) -> Result<(), StoreError> {
        self.partitions.lock().remove(name);
        Ok(())
    }

    fn set_aside(&self) -> Vec<SetAside> {
        Vec::new()
    }
}

impl PartitionStore for MemoryPartition {
    fn recover(&self) -> Result<Recovered, StoreError> {
        let segments = self.segments.lock();
        Ok(Recovered {
            start: segments.start,
            end: segments.end(),
            summary: segments.summary.clone(),
        })
    }

    fn write(
        &self,
        batches: &[RecordBatch],
        _before: Before<'_>,
        _more: bool,
    ) -> Result<usize, StoreError> {
        let mut segments = self.segments.lock();
        let bytes_max = segments.config.segment_bytes_effective().0;
        for batch in batches {
            let bytes = batch.bytes().len() as u64;
            let fits = |s: &&mut Segment| !s.closed && s.bytes + bytes <= bytes_max;
            let segment = match segments.list.last_mut().filter(fits) {
                Some(segment) => segment,
                None => {
                    segments.list.iter_mut().for_each(|s| s.closed = true);
                    segments.list.push(Segment::new(self.clock.now()));
                    segments.list.last_mut().expect("one was just pushed")
                }
            };
            segment.bytes += bytes;
            segment.newest = segment.newest.max(batch.header().max_timestamp);
            segment.batches.push(batch.clone());
            segments.summary.note(batch.header());
        }
        Ok(batches.len())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(
        &self,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let segments = self.segments.lock();
        let mut out = Vec::new();
        let mut bytes = 0;
        for batch in segments.batches_from(from) {
            bytes += batch.bytes().len() as u64;
            let full = bytes > limit.0 && !out.is_empty();
            if full || batch.header().base_offset >= end {
                break;
            }
            out.push(batch.clone());
        }
        Ok(out)
    }

    fn offset_for(
        &self,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        let segments = self.segments.lock();
        for batch in segments.batches_from(from) {
            if batch.header().base_offset >= end {
                break;
            }
            if let Some(found) = find_in_batch(batch, from, at)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn set_start(&self, start: Offset) -> Result<(), StoreError> {
        self.segments.lock().set_start(start);
        Ok(())
    }

    fn roll(&self, _summary: &Summary) -> Result<(), StoreError> {
        if let Some(newest) = self.segments.lock().list.last_mut() {
            newest.closed = true;
        }
        Ok(())
    }

    fn maintain(&self, now: Timestamp, _summary: &Summary) -> Result<Option<Offset>, StoreError> {
        let mut segments = self.segments.lock();
        let before = segments.start;
        let config = segments.config.clone();
        if let Some(newest) = segments.list.last_mut() {
            let expired = config
                .retention_age
                .is_some_and(|age| is_expired(newest.newest, now, age));
            newest.closed |= expired || is_expired(newest.begun, now, config.segment_age);
        }
        while let Some(oldest) = segments.list.first().filter(|s| s.closed) {
            let spare = segments.bytes() - oldest.bytes;
            let over = config.retention_bytes.is_some_and(|keep| spare >= keep.0);
            let expired = config
                .retention_age
                .is_some_and(|age| is_expired(oldest.newest, now, age));
            if !over && !expired {
                break;
            }
            let next = oldest.next();
            segments.set_start(next);
        }
        Ok((segments.start > before).then_some(segments.start))
    }

    fn configure(&self, config: &TopicConfig) {
        self.segments.lock().config = config.clone();
    }

    fn bytes(&self) -> ByteSize {
        ByteSize(self.segments.lock().bytes())
    }

    fn close(&self, _summary: &Summary) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Segments {
    fn end(&self) -> Offset {
        self.list
            .last()
            .map_or(self.start, Segment::next)
            .max(self.start)
    }

    fn bytes(&self) -> u64 {
        self.list.iter().map(|s| s.bytes).sum()
    }

    fn batches_from(&self, from: Offset) -> impl Iterator<Item = &RecordBatch> {
        let segment = self.list.partition_point(|s| s.next() <= from);
        self.list[segment..]
            .iter()
            .flat_map(|s| &s.batches)
            .skip_while(move |b| b.header().next_offset() <= from)
    }

    fn set_start(&mut self, start: Offset) {
        self.start = self.start.max(start);
        let start = self.start;
        self.list.retain(|s| s.next() > start);
    }
}

impl Segment {
    fn new(begun: Timestamp) -> Self {
        Self {
            batches: Vec::new(),
            bytes: 0,
            newest: Timestamp::NONE,
            begun,
            closed: false,
        }
    }

    /// A segment holds a batch as soon as it is listed.
    fn next(&self) -> Offset {
        self.batches
            .last()
            .map_or(Offset(0), |b| b.header().next_offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn conforms() {
        conformance::suite(&|clock, run| {
            let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new(clock.clock()));
            run(&|| Arc::clone(&store));
        });
    }
}
