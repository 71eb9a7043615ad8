//! A store with the model of what it must hold beside it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{ByteSize, LeaderEpoch, ManualClock, Offset, RecordBatch, Timestamp};

use super::batches::{aborted_by, filled};
use super::model::{Partition, Seen, derive};
use super::{Environment, key};
use crate::errors::StoreError;
use crate::store::{Aborted, Cleanup, Entry, LogStore, PartitionKey, Recovered};
use crate::testing::Random;

/// More than any case holds.
pub(super) const ALL: ByteSize = ByteSize::gib(1);
/// Topic whose partitions are only written to so that streams roll.
const FILLER: u8 = 0xfe;
/// Times that a store may say there is more to tidy.
const TIDY_MAX: usize = 10_000;

pub(super) struct Subject<'a> {
    pub(super) environment: &'a dyn Environment,
    pub(super) clock: ManualClock,
    pub(super) random: Random,
    pub(super) partitions: BTreeMap<PartitionKey, Partition>,
    store: Option<Arc<dyn LogStore>>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(environment: &'a dyn Environment, clock: ManualClock, seed: u64) -> Self {
        let store = environment.open();
        let recovered = store.recover(&mut Seen::default()).unwrap();
        assert_eq!(recovered, [], "the place is empty");
        Self {
            environment,
            clock,
            // Neighbouring seeds would begin alike.
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            partitions: BTreeMap::new(),
            store: Some(store),
        }
    }

    pub(super) fn store(&self) -> &dyn LogStore {
        &**self.store.as_ref().unwrap()
    }

    pub(super) fn partition(&self, key: PartitionKey) -> Partition {
        self.partitions.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.clock().now()
    }

    pub(super) fn end(&self, key: PartitionKey) -> Offset {
        self.partitions.get(&key).map_or(Offset(0), |p| p.end)
    }

    /// Puts batches behind the end.
    pub(super) fn place(&self, key: PartitionKey, batches: Vec<RecordBatch>) -> Vec<Entry> {
        let mut end = self.end(key);
        let mut place = |batch: RecordBatch| {
            let placed = batch.at(end, LeaderEpoch(2));
            end = placed.header().next_offset();
            Entry::Batch(placed)
        };
        batches.into_iter().map(&mut place).collect()
    }

    pub(super) fn append(&mut self, key: PartitionKey, batches: Vec<RecordBatch>) {
        let entries = self.place(key, batches);
        self.write(entries.into_iter().map(|e| (key, e)).collect());
    }

    pub(super) fn write_one(&mut self, key: PartitionKey, entry: Entry) {
        self.write(vec![(key, entry)]);
    }

    /// Writes and flushes a group.
    pub(super) fn write(&mut self, entries: Vec<(PartitionKey, Entry)>) {
        assert_eq!(self.try_write(entries), 0);
    }

    /// Writes and flushes a group, stream by stream, and answers how many of them failed.
    pub(super) fn try_write(&mut self, entries: Vec<(PartitionKey, Entry)>) -> usize {
        let mut failed = 0;
        for stream in 0..self.store().streams() {
            let own = |(key, _): &&(PartitionKey, Entry)| self.store().stream_of(*key) == stream;
            let own: Vec<_> = entries.iter().filter(own).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let written = self.write_only(stream, &own);
            match written.and_then(|()| self.store().flush(stream)) {
                Ok(()) => self.flushed(&own),
                Err(_) => failed += 1,
            }
        }
        failed
    }

    /// Writes to a stream without a flush.
    pub(super) fn write_only(
        &self,
        stream: usize,
        entries: &[(PartitionKey, Entry)],
    ) -> Result<(), StoreError> {
        let derived = || derive(&self.partitions);
        self.store().write(stream, entries, &derived)
    }

    /// Takes note of what was flushed.
    pub(super) fn flushed(&mut self, entries: &[(PartitionKey, Entry)]) {
        let now = self.now();
        for (key, entry) in entries {
            if matches!(entry, Entry::Gone) {
                self.partitions.remove(key);
            } else {
                let partition = self.partitions.entry(*key).or_default();
                partition.apply(entry, now);
                let control = match entry {
                    Entry::Batch(batch) if batch.header().is_control() => aborted_by(batch),
                    _ => None,
                };
                if let Some(range) = control {
                    partition.aborted.push(range);
                    self.store.as_ref().unwrap().note_aborted(*key, range);
                }
            }
        }
    }

    /// Closes or kills the store, and opens what is left.
    pub(super) fn reopen(&mut self, cleanly: bool) {
        self.reopen_showing(cleanly, Seen::default());
    }

    pub(super) fn reopen_showing(&mut self, cleanly: bool, mut seen: Seen) -> Seen {
        if cleanly {
            self.store().close(&|| derive(&self.partitions)).unwrap();
        } else {
            self.environment.kill();
        }
        // The old one goes first, as with a process.
        self.store = None;
        self.store = Some(self.environment.open());
        let recovered = self.store().recover(&mut seen).unwrap();
        self.check_recovered(recovered);
        for (key, partition) in &self.partitions {
            let mut shown = seen.partitions.get(key).cloned().unwrap_or_default();
            let expected = partition.notes();
            if partition.compacted {
                let bases: Vec<_> = shown.iter().map(|n| n.base()).collect();
                assert!(
                    expected.iter().all(|n| bases.contains(&n.base())),
                    "{key:?}"
                );
                continue;
            }
            shown.retain(|n| n.next_offset() > partition.start);
            assert_eq!(shown, expected, "{key:?}, {cleanly}");
        }
        seen
    }

    fn check_recovered(&self, recovered: Vec<Recovered>) {
        let mut left = self.partitions.clone();
        for found in recovered {
            let partition = left.remove(&found.key).unwrap_or_default();
            let marks = (partition.start, partition.end);
            assert_eq!((found.start, found.end), marks, "{found:?}");
            let high_watermark = found.high_watermark.max(found.start);
            assert_eq!(high_watermark, partition.high_watermark, "{found:?}");
            assert!(found.high_watermark <= found.end, "{found:?}");
        }
        let lost = left.iter().find(|(_, p)| p.end > Offset(0));
        assert!(lost.is_none(), "{lost:?}");
        assert!(
            self.store().holes().is_empty(),
            "{:?}",
            self.store().holes()
        );
        assert_eq!(self.store().trouble(), None);
    }

    /// Rolls all streams, so that what was written lies in what is closed.
    pub(super) fn roll(&mut self) {
        self.clock.advance(Duration::from_secs(10));
        for stream in 0..self.store().streams() {
            self.store().roll_if_older(stream, 1_000);
            let fits = |n: &i32| self.store().stream_of(key(FILLER, *n)) == stream;
            let filler = (0..1_000).find(fits).expect("each stream gets a partition");
            self.append(key(FILLER, filler), vec![filled(1, &[5], 3)]);
        }
    }

    /// Tidies until nothing is left to do.
    pub(super) fn tidy(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) {
        let more = |_: &usize| self.store().tidy(cleanup).unwrap();
        assert!((0..TIDY_MAX).take_while(more).count() < TIDY_MAX);
    }

    /// Everything there is to ask, but for the times.
    pub(super) fn check_all(&self) {
        for (&key, partition) in &self.partitions {
            self.check_read(key, Offset(0), partition.end, ALL);
            self.check_read(key, partition.start, partition.end, ByteSize(50_000));
            self.check_look(key, partition.start, partition.end);
            self.check_extents(key);
            self.check_aborted(key, Offset(0), partition.end);
            self.check_records(key);
            assert_eq!(self.read_on(key, partition.start), partition.all().count());
        }
    }

    /// Reads to the end in small steps and counts the batches.
    pub(super) fn read_on(&self, key: PartitionKey, mut from: Offset) -> usize {
        let end = self.end(key);
        let mut count = 0;
        while from < end {
            let stored = self.store().read(key, from, end, ByteSize(20_000)).unwrap();
            assert!(
                stored.next > from,
                "{key:?}: a reader at {from} stands still"
            );
            count += batches_in(&stored.parts).len();
            from = stored.next;
        }
        count
    }

    pub(super) fn check_read(&self, key: PartitionKey, from: Offset, end: Offset, limit: ByteSize) {
        let what = format!("{key:?} from {from} to {end}, {limit} bytes");
        let partition = self.partition(key);
        let expected = partition.read(from, end, limit);
        let stored = self.store().read(key, from, end, limit).unwrap();
        let found = batches_in(&stored.parts);
        let places = |b: &RecordBatch| (b.header().base_offset, b.bytes().len());
        let same = found.iter().eq(expected.iter().copied());
        assert!(
            same,
            "{what}: {:?} and not {:?}",
            found.iter().map(places).collect::<Vec<_>>(),
            expected.iter().map(|b| places(b)).collect::<Vec<_>>()
        );
        // Where to go on: behind the last one, and never behind one that was not shown.
        let last = found.last().map_or(from, |b| b.header().next_offset());
        let upcoming = partition.above(last).next().map(|b| b.header().base_offset);
        let most = upcoming.map_or(end, |base| base.min(end)).max(last);
        assert!(
            (last..=most).contains(&stored.next),
            "{what}: next {}",
            stored.next
        );
        let nothing_more = upcoming.is_none_or(|base| base >= end);
        if found.is_empty() && nothing_more && from < end.min(partition.end) {
            assert!(
                stored.next >= end.min(partition.end),
                "{what}: next {}",
                stored.next
            );
        }
    }

    pub(super) fn check_look(&self, key: PartitionKey, from: Offset, end: Offset) {
        let partition = self.partition(key);
        let expected = partition.read(from, end, ALL);
        let mut found = Vec::new();
        let mut look = |batch: &RecordBatch| {
            found.push(batch.clone());
            ControlFlow::Continue(())
        };
        self.store().look(key, from, end, &mut look).unwrap();
        assert!(
            found.iter().eq(expected.iter().copied()),
            "{key:?} {from} {end}"
        );
        let mut looked = 0;
        let mut once = |_: &RecordBatch| {
            looked += 1;
            ControlFlow::Break(())
        };
        self.store().look(key, from, end, &mut once).unwrap();
        assert_eq!(looked, expected.len().min(1));
    }

    pub(super) fn check_aborted(&self, key: PartitionKey, from: Offset, next: Offset) {
        let partition = self.partition(key);
        let from = from.max(partition.start);
        let ranges = partition.aborted.iter();
        let expected = ranges.filter(|range| range.last >= from && range.first < next);
        let expected: Vec<Aborted> = expected.copied().collect();
        let found = self.store().aborted(key, from, next).unwrap();
        assert_eq!(found, expected, "{key:?} from {from} to {next}");
        assert!(self.store().has_aborted(key, from) || found.is_empty());
    }

    pub(super) fn check_find(&self, key: PartitionKey, from: Offset, end: Offset, at: i64) {
        let expected = self.partition(key).find(from, end, Timestamp(at));
        let found = self.store().offset_for(key, from, end, Timestamp(at));
        assert_eq!(
            found.unwrap(),
            expected,
            "{key:?} from {from} to {end} at {at}"
        );
    }

    pub(super) fn check_boundary(&self, key: PartitionKey, at: Offset) {
        let partition = self.partition(key);
        let base = partition.above(at).next().map(|b| b.header().base_offset);
        let expected = base.map_or(at, |base| base.min(at));
        assert_eq!(
            self.store().boundary(key, at).unwrap(),
            expected,
            "{key:?} {at}"
        );
    }

    /// Counts the records below the end and below some boundary.
    fn check_records(&self, key: PartitionKey) {
        let partition = self.partition(key);
        let middle = partition.all().nth(partition.batches.len() / 2);
        let middle = middle.map_or(partition.start, |b| b.header().base_offset);
        for end in [partition.end, middle.max(partition.start)] {
            let below = partition.all().filter(|b| b.header().next_offset() <= end);
            let plain = below.filter(|b| !b.header().is_control());
            let within = plain.map(|b| {
                let header = b.header();
                let offsets = header.next_offset().0 - header.base_offset.max(partition.start).0;
                u64::try_from(offsets.min(i64::from(header.records))).unwrap()
            });
            let (most, found) = (within.sum::<u64>(), self.store().records(key, end));
            // A store counts stretches: what a bound cuts of them it may count too high.
            let extents = self.store().extents(key).into_iter();
            let mut cut = extents
                .filter(|e| e.first < partition.start || (e.first < end && end < e.next))
                .peekable();
            if cut.peek().is_none() {
                assert_eq!(found, most, "{key:?} below {end}");
            }
            let offsets = u64::try_from(end.0 - partition.start.0).unwrap();
            assert!(
                (most..=offsets).contains(&found),
                "{key:?} below {end}: {found}"
            );
        }
    }

    pub(super) fn check_extents(&self, key: PartitionKey) {
        let partition = self.partition(key);
        let extents = self.store().extents(key);
        let bytes: u64 = extents.iter().map(|e| e.bytes).sum();
        assert_eq!(self.store().bytes(key), ByteSize(bytes), "{key:?}");
        if partition.batches.is_empty() {
            assert_eq!(bytes, 0, "{key:?}: nothing is alive");
        }
        assert!(
            extents.is_sorted_by(|a, b| a.next <= b.first),
            "{extents:?}"
        );
        let mut covered = 0;
        for extent in extents {
            assert!(extent.first < extent.next, "{extent:?}");
            let reaches_in = |b: &RecordBatch| {
                b.header().next_offset() > extent.first && b.header().base_offset < extent.next
            };
            let inside: Vec<_> = partition
                .batches
                .iter()
                .filter(|(b, _)| reaches_in(b))
                .collect();
            covered += inside.len();
            for (batch, appended) in &inside {
                let header = batch.header();
                let whole =
                    header.base_offset >= extent.first && header.next_offset() <= extent.next;
                assert!(whole, "{header:?} in {extent:?}");
                assert!(
                    (*appended..=self.now()).contains(&extent.appended),
                    "{extent:?}"
                );
            }
            let alive: u64 = inside.iter().map(|(b, _)| b.bytes().len() as u64).sum();
            let largest = inside.iter().map(|(b, _)| b.header().max_timestamp).max();
            if extent.first >= partition.start {
                assert_eq!(
                    (extent.bytes, Some(extent.largest)),
                    (alive, largest),
                    "{extent:?}"
                );
            } else {
                assert!(
                    extent.bytes >= alive && Some(extent.largest) >= largest,
                    "{extent:?}"
                );
            }
        }
        assert_eq!(
            covered,
            partition.batches.len(),
            "{key:?}: each lies in one extent"
        );
    }
}

/// The batches of a read's parts, each of which must be whole.
pub(super) fn batches_in(parts: &[Bytes]) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for part in parts {
        let mut rest = part.clone();
        assert!(!rest.is_empty());
        while let Some(batch) = RecordBatch::take_first(&mut rest).unwrap() {
            batches.push(batch);
        }
    }
    batches
}
