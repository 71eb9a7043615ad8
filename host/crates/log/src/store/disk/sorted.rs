//! Writes what is wanted of some segments into new ones, sorted by partition.
//!
//! Partitions are taken in turn, as many at a time as fit into memory; for each turn the old
//! segments are read once from end to end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use wstream_record::{Offset, RecordBatch, Timestamp};

use super::held::Span;
use super::index::{PartIndex, Place, SegmentIndex, records_of};
use super::layout::{Packer, Said, Unpacker, each_batch};
use super::segment::{
    Segment, Trouble, encode_seal, index_file, names_of, seal_file, segment_name,
};
use super::stream::{Stream, largest};
use crate::errors::StoreError;
use crate::sled::{Database, Fault, Shape};
use crate::store::compact::{
    KEYS_BYTES_MAX, Kept, LastOffsets, filter, holds_tombstone, tombstones_until,
};
use crate::store::{Aborted, Cleanup, PartitionKey};

/// Bytes of batches that are sorted at a time.
const TURN_BYTES: u64 = 32 << 20;

/// What is wanted of each partition.
pub(super) type Wanted = BTreeMap<PartitionKey, Vec<Span>>;

/// A group of segments that is rewritten.
pub(super) struct Sorted<'a> {
    stream: &'a Stream,
    group: &'a [Arc<Segment>],
    indexes: &'a [Arc<SegmentIndex>],
    wanted: &'a Wanted,
    cleanup: &'a dyn Fn(PartitionKey) -> Cleanup,
}

/// The segment that is being written.
struct Output {
    segment: u64,
    name: String,
    database: Box<dyn Database>,
    index: SegmentIndex,
    packer: Packer,
    bytes: u64,
}

/// What was written.
type Outputs = Vec<(Arc<Segment>, SegmentIndex)>;

impl<'a> Sorted<'a> {
    pub(super) fn new(
        stream: &'a Stream,
        group: &'a [Arc<Segment>],
        indexes: &'a [Arc<SegmentIndex>],
        wanted: &'a Wanted,
        cleanup: &'a dyn Fn(PartitionKey) -> Cleanup,
    ) -> Self {
        Self {
            stream,
            group,
            indexes,
            wanted,
            cleanup,
        }
    }

    /// Writes the new segments. After an error what was written is garbage, which is removed.
    pub(super) fn write(&self) -> Result<Outputs, Trouble> {
        let mut outputs = Vec::new();
        let mut output = None;
        let written = self.write_turns(&mut output, &mut outputs);
        let written = written.and_then(|()| self.finish(&mut output, &mut outputs));
        if let Err(trouble) = written {
            let disk = &*self.stream.node.disk;
            let unfinished = output.map(|output| output.name);
            let done = outputs.iter().map(|(segment, _)| segment.name.clone());
            for name in done.chain(unfinished).collect::<Vec<_>>() {
                for file in names_of(&name) {
                    if let Err(error) = disk.remove(&file) {
                        tracing::warn!(file, %error, "could not remove an unfinished segment");
                    }
                }
            }
            return Err(trouble);
        }
        Ok(outputs)
    }

    fn write_turns(
        &self,
        output: &mut Option<Output>,
        outputs: &mut Outputs,
    ) -> Result<(), Trouble> {
        for turn in self.turns() {
            let mut batches = self.read(&turn)?;
            for key in turn {
                let run = Bytes::from(batches.remove(&key).unwrap_or_default());
                self.write_partition(key, &run, output, outputs)?;
            }
        }
        Ok(())
    }

    /// The partitions, as many at a time as fit into memory.
    fn turns(&self) -> Vec<Vec<PartitionKey>> {
        let mut keys: BTreeSet<PartitionKey> = self.wanted.keys().copied().collect();
        keys.extend(self.indexes.iter().flat_map(|index| index.parts.keys()));
        let mut turns: Vec<Vec<PartitionKey>> = vec![Vec::new()];
        let mut bytes = 0;
        for key in keys {
            let spans = self.wanted.get(&key).map_or(&[][..], Vec::as_slice);
            let more: u64 = spans.iter().map(|span| span.bytes).sum();
            if bytes + more > TURN_BYTES && bytes > 0 {
                turns.push(Vec::new());
                bytes = 0;
            }
            bytes += more;
            turns.last_mut().expect("there is one").push(key);
        }
        turns
    }

    /// What is wanted of some partitions, each in the order of its offsets.
    fn read(&self, turn: &[PartitionKey]) -> Result<HashMap<PartitionKey, Vec<u8>>, Trouble> {
        let mut found: HashMap<PartitionKey, Vec<u8>> = HashMap::new();
        let turn: BTreeSet<PartitionKey> = turn.iter().copied().collect();
        for (segment, index) in self.group.iter().zip(self.indexes) {
            let mut unpacker = Unpacker::default();
            let mut broken = None;
            let mut look = |value: Result<crate::sled::Value, u32>| {
                let unpacked = match value {
                    Ok(value) if value.number >= index.values => return ControlFlow::Break(()),
                    Ok(value) => unpacker.push(value.number, &value.head, &value.bytes),
                    Err(number) if number >= index.values => return ControlFlow::Break(()),
                    Err(_) => Err("a value does not read"),
                };
                match unpacked {
                    Ok(unpacked) => {
                        let value = unpacked.as_ref().map_or(0, |unpacked| unpacked.value);
                        let entries = unpacked.map_or_else(Vec::new, |unpacked| unpacked.entries);
                        for (key, said) in entries {
                            if let (Said::Batches { bytes, at, .. }, Some(part), true) =
                                (said, index.parts.get(&key), turn.contains(&key))
                            {
                                let to = found.entry(key).or_default();
                                self.take(segment, (key, part), (value, at), &bytes, to);
                            }
                        }
                        ControlFlow::Continue(())
                    }
                    Err(reason) => {
                        broken = Some(reason);
                        ControlFlow::Break(())
                    }
                }
            };
            let scanned = segment.scan(&*self.stream.node.disk, &self.stream.node.slots, &mut look);
            let broken = match scanned {
                Ok(()) => broken.map(str::to_owned),
                Err(Trouble::Damaged(reason)) => Some(reason),
                Err(other) => return Err(other),
            };
            if let Some(reason) = broken {
                segment.set_stuck();
                self.stream.examine(segment, index, &reason);
                return Err(Trouble::Damaged(reason));
            }
        }
        Ok(found)
    }

    /// Takes the wanted batches of a run. One that was truncated and written again is there twice:
    /// the index knows which of them counts.
    fn take(
        &self,
        segment: &Segment,
        (key, part): (PartitionKey, &PartIndex),
        (value, at): (u32, u32),
        run: &Bytes,
        to: &mut Vec<u8>,
    ) {
        let spans = self.wanted.get(&key).map_or(&[][..], Vec::as_slice);
        let mine = |batch: &RecordBatch, inside: usize| {
            let at = at.saturating_add(u32::try_from(inside).unwrap_or(u32::MAX));
            let place = part
                .places
                .partition_point(|p| (p.value, p.at) <= (value, at));
            let place = place.checked_sub(1).and_then(|n| part.places.get(n));
            let header = batch.header();
            let (first, next) = (header.base_offset, header.next_offset());
            let counts = place.is_some_and(|place| {
                place.value == value
                    && at < place.at.saturating_add(place.bytes)
                    && place.first <= first
                    && next <= place.next
            });
            let mut spans = spans.iter().filter(|span| span.segment.id == segment.id);
            counts && spans.any(|span| span.first <= first && next <= span.next)
        };
        let walked = each_batch(run, |batch, inside| {
            if mine(&batch, inside) {
                to.extend_from_slice(batch.bytes());
            }
            true
        });
        if let Err(error) = walked {
            tracing::error!(segment = segment.name, %error, "a stored batch does not read");
        }
    }

    fn write_partition(
        &self,
        key: PartitionKey,
        run: &Bytes,
        output: &mut Option<Output>,
        outputs: &mut Outputs,
    ) -> Result<(), Trouble> {
        let merged = self.merged(key);
        let appended = merged.appended;
        let mut aborted = self.aborted(key);
        let mut part = PartIndex {
            start: None,
            high_watermark: None,
            gone: false,
            end: merged
                .cut
                .map_or(merged.begins, |cut| cut.min(merged.begins)),
            ..merged.clone()
        };
        let compacted = self.compactor(key)?;
        let now = self.stream.node.clock.now();
        let mut until = None;
        let mut rest = run.clone();
        loop {
            let batch = RecordBatch::take_first_trusted(&mut rest);
            let Some(batch) = batch.map_err(|e| Trouble::Damaged(e.to_string()))? else {
                break;
            };
            let kept = match &compacted {
                Some((last, cleanup)) => filter(&batch, last, now, *cleanup),
                None => Kept::Whole,
            };
            let batch = match kept {
                Kept::Whole => batch,
                Kept::Rewritten(batch) => batch,
                Kept::Gone => continue,
            };
            if output.as_ref().is_some_and(|o| self.is_full(o)) {
                if let Some(output) = output.as_mut() {
                    let behind = aborted.partition_point(|range| range.last < part.end);
                    part.aborted = aborted.drain(..behind).collect();
                    output.close_part(key, &mut part);
                }
                self.finish(output, outputs)?;
            }
            if let Some((_, cleanup)) = &compacted {
                let later = tombstones_until(&batch, *cleanup).filter(|until| *until >= now);
                if let Some(at) = later.filter(|_| holds_tombstone(&batch)) {
                    until = Some(until.map_or(at, |until: Timestamp| until.min(at)));
                }
            }
            let to = self.output(output)?;
            to.put(key, &batch, appended, &mut part)?;
        }
        part.start = merged.start;
        part.end = merged.end;
        part.high_watermark = merged.high_watermark;
        part.gone = merged.gone;
        part.aborted = aborted;
        let to = self.output(output)?;
        if compacted.is_some() {
            to.index.compacted.insert(key, until);
        }
        to.index.parts.insert(key, part);
        Ok(())
    }

    /// What was aborted by markers in the group's segments, as far as it still counts.
    fn aborted(&self, key: PartitionKey) -> Vec<Aborted> {
        let Some(held) = self.stream.held(key) else {
            return Vec::new();
        };
        let held = held.lock();
        let mut ranges = Vec::new();
        for known in &held.aborted {
            let mut group = self.group.iter().zip(self.indexes);
            let index = group.find(|(segment, _)| segment.id == known.segment.id);
            let part = index.and_then(|(_, index)| index.parts.get(&key));
            let all = part.map_or(&[][..], |part| &part.aborted);
            let counts = |range: &&Aborted| range.last >= held.start && range.last < known.next;
            ranges.extend(all.iter().filter(counts));
        }
        ranges
    }

    /// What the group's segments say of a partition together; `aborted` is beside it.
    fn merged(&self, key: PartitionKey) -> PartIndex {
        let mut parts = self
            .indexes
            .iter()
            .filter_map(|index| index.parts.get(&key));
        let Some(first) = parts.next() else {
            return PartIndex::new(Offset(0));
        };
        let mut merged = PartIndex {
            places: Vec::new(),
            aborted: Vec::new(),
            ..first.clone()
        };
        for part in parts {
            if part.reset {
                merged = PartIndex {
                    places: Vec::new(),
                    aborted: Vec::new(),
                    appended: merged.appended,
                    ..part.clone()
                };
            } else if let Some(cut) = part.cut.filter(|cut| *cut < merged.begins) {
                merged.cut = Some(merged.cut.map_or(cut, |before| before.min(cut)));
            }
            if let Some(cut) = part.cut {
                merged.high_watermark = merged.high_watermark.map(|at| at.min(cut));
            }
            merged.start = part.start.or(merged.start);
            merged.end = part.end;
            merged.high_watermark = part.high_watermark.or(merged.high_watermark);
            merged.gone = part.gone;
            merged.appended = merged.appended.max(part.appended);
        }
        merged
    }

    /// The last offset of each key, if the partition is compacted.
    fn compactor(&self, key: PartitionKey) -> Result<Option<(LastOffsets, Cleanup)>, Trouble> {
        let mut cleanup = (self.cleanup)(key);
        let Some(below) = cleanup.compact_below else {
            return Ok(None);
        };
        let Some(held) = self.stream.held(key) else {
            return Ok(None);
        };
        let ids: Vec<u64> = self.group.iter().map(|segment| segment.id).collect();
        let (start, below, hides_nothing) = {
            let held = held.lock();
            // What a power cut may take does not stand in for what it has superseded.
            let mut unclosed = held.spans.iter().filter(|span| span.segment.is_live());
            let below = unclosed.next().map_or(below, |span| below.min(span.first));
            let next = held.compacted.pass.map_or(Offset(0), |pass| pass.next);
            let mut older = held
                .spans
                .iter()
                .take_while(|s| !ids.contains(&s.segment.id));
            let done = |s: &Span| s.next <= next && !s.segment.is_stuck();
            (held.start, below, older.all(done))
        };
        // What a tombstone hides may lie in an older segment that this pass has not rewritten.
        if !hides_nothing {
            cleanup.tombstones_kept = i64::MAX;
        }
        let mut last = LastOffsets::new(start, below, KEYS_BYTES_MAX);
        let mut look = |batch: &RecordBatch| {
            if last.note(batch) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        self.stream.look(key, start, below, &mut look)?;
        Ok(Some((last, cleanup)))
    }

    fn is_full(&self, output: &Output) -> bool {
        output.bytes >= self.stream.node.segment_bytes || output.database.is_full()
    }

    fn output<'o>(&self, output: &'o mut Option<Output>) -> Result<&'o mut Output, Trouble> {
        if output.is_none() {
            let id = {
                let mut manifest = self.stream.manifest.lock();
                manifest.next += 1;
                manifest.next - 1
            };
            let name = segment_name(&self.stream.root, id);
            let database = self.stream.node.disk.create(&name, Shape::Large)?;
            let begun = self.group.first().map_or(Timestamp(0), |s| s.begun);
            let index = SegmentIndex {
                settled: true,
                begun,
                replaces: self.group.iter().map(|segment| segment.id).collect(),
                ..SegmentIndex::default()
            };
            *output = Some(Output {
                segment: id,
                name,
                database,
                index,
                packer: Packer::default(),
                bytes: 0,
            });
        }
        Ok(output.as_mut().expect("it was just put there"))
    }

    /// Makes the output a closed segment.
    fn finish(&self, output: &mut Option<Output>, outputs: &mut Outputs) -> Result<(), Trouble> {
        let Some(mut done) = output.take() else {
            return Ok(());
        };
        let disk = &*self.stream.node.disk;
        done.packer.finish(done.index.begun, &mut &*done.database)?;
        done.database.flush()?;
        done.database.sync()?;
        done.index.values = done.database.values();
        drop(done.database);
        let segment = Arc::new(Segment::closed(
            &self.stream.root,
            done.segment,
            &done.index,
        ));
        segment.live.store(done.index.bytes(), Ordering::Relaxed);
        outputs.push((Arc::clone(&segment), done.index));
        let (_, index) = outputs.last().expect("it was just pushed");
        let seal = disk.seal(&segment.name, index.values)?;
        disk.write(&index_file(&segment.name), &index.encode())?;
        disk.write(&seal_file(&segment.name), &encode_seal(&seal))?;
        segment.set_seal(seal.files);
        Ok(())
    }
}

impl Output {
    fn put(
        &mut self,
        key: PartitionKey,
        batch: &RecordBatch,
        appended: Timestamp,
        part: &mut PartIndex,
    ) -> Result<(), Fault> {
        let header = batch.header();
        let mut into = &*self.database;
        if header.base_offset > part.end {
            self.packer
                .skip(key, header.base_offset, appended, &mut into)?;
        }
        let went = self
            .packer
            .batches(key, batch.bytes(), appended, &mut into)?;
        let bytes = u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX);
        self.bytes += u64::from(bytes);
        self.index.runs = self.index.runs.saturating_add(1);
        let place = Place {
            first: header.base_offset,
            next: header.next_offset(),
            largest: largest(batch),
            value: went.value,
            at: went.at,
            bytes,
            records: records_of(header),
        };
        part.push(place, appended);
        Ok(())
    }

    /// The partition goes on in the next output.
    fn close_part(&mut self, key: PartitionKey, part: &mut PartIndex) {
        let next = PartIndex {
            begins: part.end,
            end: part.end,
            cut: None,
            reset: false,
            places: Vec::new(),
            aborted: Vec::new(),
            ..part.clone()
        };
        let done = std::mem::replace(part, next);
        if !done.places.is_empty() || done.cut.is_some() || done.reset {
            self.index.parts.insert(key, done);
        }
    }
}

impl Stream {
    /// Removes the files of segments that the manifest does not list any more.
    pub(super) fn remove_segments(&self, old: &[Arc<Segment>]) -> Result<(), StoreError> {
        let disk = &*self.node.disk;
        for segment in old {
            segment.remove();
        }
        for segment in old {
            for name in names_of(&segment.name) {
                disk.remove(&name)?;
            }
        }
        Ok(())
    }
}
