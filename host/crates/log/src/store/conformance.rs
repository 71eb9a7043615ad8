//! What every store must do. Each store's tests run `suite`.

use std::sync::Arc;
use std::time::Duration;

use wstream_record::{
    ByteSize, LeaderEpoch, ManualClock, Offset, PartitionId, ProducerEpoch, ProducerId,
    ProducerStamp, RecordBatch, Sequence, Timestamp, TopicName, TopicPartition,
};

use super::{Before, LogStore, PartitionStore, Recovered};
use crate::summary::{Found, Summary};
use crate::testing::{Random, batch_at, batch_of};
use crate::topic::TopicConfig;

const ALL: ByteSize = ByteSize::mib(1_000);
const SEED: u64 = 0x5eed;

/// Makes a store over the same bytes each time it is called, as a restart does.
pub(crate) type Restart<'a> = &'a dyn Fn() -> Arc<dyn LogStore>;

/// Runs a case with a store.
pub(crate) type Run<'a> = &'a dyn Fn(Restart<'_>);

/// Runs all cases; `fresh` gives each an empty place.
pub(crate) fn suite(fresh: &dyn Fn(ManualClock, Run<'_>)) {
    let cases: [fn(Restart<'_>, &ManualClock); 6] = [
        what_is_appended_is_read,
        times_are_found,
        the_start_is_kept,
        segments_go_by_bytes_and_age,
        summaries_come_back,
        any_sequence_agrees_with_the_model,
    ];
    for case in cases {
        let clock = ManualClock::new(Timestamp(1_000_000));
        fresh(clock.clone(), &|restart| case(restart, &clock));
    }
}

fn name() -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(0))
}

fn config(segment_bytes: u64) -> TopicConfig {
    TopicConfig {
        segment_bytes: ByteSize(segment_bytes),
        segment_age: Duration::from_secs(3_600),
        ..TopicConfig::default()
    }
}

/// A partition with a model of it: all batches, the log start and what is derived.
struct Subject<'a> {
    restart: Restart<'a>,
    config: TopicConfig,
    store: Box<dyn PartitionStore>,
    batches: Vec<RecordBatch>,
    start: Offset,
    summary: Summary,
}

impl<'a> Subject<'a> {
    fn new(restart: Restart<'a>, config: TopicConfig) -> Self {
        let store = restart().open(&name(), &config).unwrap();
        let empty = store.recover().unwrap();
        assert_eq!((empty.start, empty.end), (Offset(0), Offset(0)));
        Self {
            restart,
            config,
            store,
            batches: Vec::new(),
            start: Offset(0),
            summary: Summary::default(),
        }
    }

    fn end(&self) -> Offset {
        let last = self.batches.last();
        last.map_or(Offset(0), |b| b.header().next_offset())
    }

    fn append(&mut self, batches: Vec<RecordBatch>) {
        let placed = self.place(batches);
        self.store.append(&placed, &self.summary).unwrap();
        self.appended(placed);
    }

    /// Writes batch by batch, and flushes once.
    fn append_as_they_come(&mut self, batches: Vec<RecordBatch>) {
        let placed = self.place(batches);
        let mut taken = 0;
        for come in 1..=placed.len() {
            let more = come < placed.len();
            let (written, rest) = placed[..come].split_at(taken);
            let before = Before::new(&self.summary, written);
            taken += self.store.write(rest, before, more).unwrap();
            assert!(more || taken == come);
        }
        self.store.flush().unwrap();
        self.appended(placed);
    }

    fn place(&self, batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
        let mut end = self.end();
        let mut placed = Vec::new();
        for batch in batches {
            let batch = batch.at(end, LeaderEpoch(2));
            end = batch.header().next_offset();
            placed.push(batch);
        }
        placed
    }

    fn appended(&mut self, placed: Vec<RecordBatch>) {
        placed.iter().for_each(|b| self.summary.note(b.header()));
        self.batches.extend(placed);
    }

    fn reopen(&mut self, cleanly: bool) {
        if cleanly {
            self.store.close(&self.summary).unwrap();
        }
        // The old one goes first, as with a process.
        self.store = Box::new(Nothing);
        self.store = (self.restart)().open(&name(), &self.config).unwrap();
        self.recover();
    }

    fn recover(&self) {
        let Recovered {
            start,
            end,
            summary,
        } = self.store.recover().unwrap();
        assert_eq!((start, end), (self.start, self.end()));
        assert_eq!(summary, self.summary);
    }

    fn readable(&self, from: Offset) -> impl Iterator<Item = &RecordBatch> {
        let from = from.max(self.start);
        let batches = self.batches.iter();
        batches.skip_while(move |b| b.header().next_offset() <= from)
    }

    fn check_read(&self, from: Offset, end: Offset, limit: ByteSize) {
        let mut bytes = 0;
        let expected: Vec<_> = self
            .readable(from)
            .take_while(|b| b.header().base_offset < end)
            .enumerate()
            .take_while(|(n, b)| {
                bytes += b.bytes().len() as u64;
                *n == 0 || bytes <= limit.0
            })
            .map(|(_, b)| b)
            .collect();
        let read = self.store.read(from, end, limit).unwrap();
        let found: Vec<_> = read.iter().collect();
        assert!(found == expected, "from {from} to {end}, {limit} bytes");
    }

    fn check_find(&self, from: Offset, at: Timestamp) {
        let records = self.readable(from).flat_map(|b| b.records().unwrap());
        let expected = records
            .filter(|r| r.offset >= from && r.record.timestamp >= at)
            .map(|r| Found {
                offset: r.offset,
                timestamp: r.record.timestamp,
            })
            .next();
        let found = self.store.offset_for(from, self.end(), at).unwrap();
        assert_eq!(found, expected, "from {from} at {at}");
    }
}

/// Stands where a store was closed.
#[derive(Debug)]
struct Nothing;

impl PartitionStore for Nothing {
    fn recover(&self) -> Result<Recovered, crate::StoreError> {
        unreachable!()
    }
    fn write(&self, _: &[RecordBatch], _: Before<'_>, _: bool) -> Result<usize, crate::StoreError> {
        unreachable!()
    }
    fn flush(&self) -> Result<(), crate::StoreError> {
        unreachable!()
    }
    fn read(
        &self,
        _: Offset,
        _: Offset,
        _: ByteSize,
    ) -> Result<Vec<RecordBatch>, crate::StoreError> {
        unreachable!()
    }
    fn offset_for(
        &self,
        _: Offset,
        _: Offset,
        _: Timestamp,
    ) -> Result<Option<Found>, crate::StoreError> {
        unreachable!()
    }
    fn set_start(&self, _: Offset) -> Result<(), crate::StoreError> {
        unreachable!()
    }
    fn roll(&self, _: &Summary) -> Result<(), crate::StoreError> {
        unreachable!()
    }
    fn maintain(&self, _: Timestamp, _: &Summary) -> Result<Option<Offset>, crate::StoreError> {
        unreachable!()
    }
    fn configure(&self, _: &TopicConfig) {}
    fn bytes(&self) -> ByteSize {
        unreachable!()
    }
    fn close(&self, _: &Summary) -> Result<(), crate::StoreError> {
        unreachable!()
    }
}

fn what_is_appended_is_read(restart: Restart<'_>, _: &ManualClock) {
    let mut subject = Subject::new(restart, config(1 << 20));
    let groups: [&[usize]; 7] = [
        &[10],
        &[1, 2_000, 30_000, 50_000, 90_000],
        &[100_000, 100_000],
        &[130_000],
        &[900_000, 5, 250_000],
        &[64 << 10, 60 << 10, 120 << 10],
        &[40; 300],
    ];
    for sizes in groups {
        let batches = || sizes.iter().map(|&s| batch_of(3, s / 3, None)).collect();
        subject.append(batches());
        subject.append_as_they_come(batches());
    }
    for cleanly in [true, false] {
        let end = subject.end();
        for from in (0..=end.0).map(Offset) {
            for limit in [ByteSize(1), ByteSize(150_000)] {
                subject.check_read(from, end, limit);
            }
        }
        subject.check_read(Offset(0), end, ALL);
        subject.check_read(Offset(4), Offset(9), ALL);
        let bytes: usize = subject.batches.iter().map(|b| b.bytes().len()).sum();
        assert_eq!(subject.store.bytes(), ByteSize(bytes as u64));
        subject.reopen(cleanly);
    }
}

fn times_are_found(restart: Restart<'_>, _: &ManualClock) {
    let mut random = Random::new(SEED);
    let mut subject = Subject::new(restart, config(300_000));
    let mut now = -50;
    for _ in 0..60 {
        let times: Vec<i64> = (0..4).map(|_| now + random.below(20) as i64).collect();
        now += random.below(12) as i64;
        subject.append(vec![batch_at(&times, random.below(20_000), None)]);
    }
    subject.reopen(true);
    for at in -60..now + 30 {
        subject.check_find(Offset(0), Timestamp(at));
        subject.check_find(Offset(at.rem_euclid(240)), Timestamp(at));
    }
}

fn the_start_is_kept(restart: Restart<'_>, _: &ManualClock) {
    let mut subject = Subject::new(restart, config(100_000));
    for _ in 0..10 {
        subject.append(vec![batch_of(10, 4_000, None)]);
    }
    let bytes = subject.store.bytes();
    for start in [5, 47, 48, 100] {
        subject.start = Offset(start);
        subject.store.set_start(Offset(start)).unwrap();
        subject.check_read(Offset(start), subject.end(), ALL);
        if start < 100 {
            subject.reopen(start % 2 == 0);
        }
    }
    assert!(subject.store.bytes().0 < bytes.0 / 2);
    assert_eq!(subject.store.bytes(), ByteSize(0));
    // Nothing is left, and yet the offsets go on.
    let recovered = subject.store.recover().unwrap();
    assert_eq!((recovered.start, recovered.end), (Offset(100), Offset(100)));
    subject.append(vec![batch_of(1, 10, None)]);
    subject.check_read(Offset(100), Offset(101), ALL);
}

fn segments_go_by_bytes_and_age(restart: Restart<'_>, clock: &ManualClock) {
    let mut settings = config(100_000);
    let now = || clock.clock().now();
    let mut subject = Subject::new(restart, settings.clone());
    for n in 0..10 {
        let time = now().0 + n * 1_000;
        subject.append(vec![batch_at(&[time], 90_000, None)]);
    }
    let summary = subject.summary.clone();
    assert_eq!(subject.store.maintain(now(), &summary).unwrap(), None);
    // Each batch is a segment. Six of them are at least 500,000 bytes, five are not.
    settings.retention_bytes = Some(ByteSize(500_000));
    subject.store.configure(&settings);
    subject.start = Offset(4);
    let raised = subject.store.maintain(now(), &summary).unwrap();
    assert_eq!(raised, Some(Offset(4)));
    subject.config = settings.clone();
    subject.reopen(false);
    // The records of offsets 4 and 5 are older than a minute after that time.
    settings.retention_age = Some(Duration::from_secs(60));
    subject.store.configure(&settings);
    let later = Timestamp(now().0 + 65_500);
    let raised = subject.store.maintain(later, &summary).unwrap();
    assert_eq!(raised, Some(Offset(6)));
    // Then the newest one, which retention closes.
    let later = Timestamp(now().0 + 600_000);
    let raised = subject.store.maintain(later, &summary).unwrap();
    assert_eq!(raised, Some(Offset(10)));
    assert_eq!(subject.store.bytes(), ByteSize(0));
    // A segment's age rolls it: what comes next is in another, which stays.
    settings.retention_age = None;
    settings.retention_bytes = Some(ByteSize(1));
    subject.store.configure(&settings);
    subject.append(vec![batch_of(1, 10, None)]);
    assert_eq!(subject.store.maintain(now(), &summary).unwrap(), None);
    clock.advance(Duration::from_secs(3_700));
    subject.store.maintain(now(), &summary).unwrap();
    subject.append(vec![batch_of(1, 10, None)]);
    let raised = subject.store.maintain(now(), &summary).unwrap();
    assert_eq!(raised, Some(Offset(11)));
}

fn summaries_come_back(restart: Restart<'_>, _: &ManualClock) {
    let mut subject = Subject::new(restart, config(50_000));
    for n in 0..20 {
        let stamp = ProducerStamp {
            id: ProducerId(i64::from(n % 3)),
            epoch: ProducerEpoch(0),
            sequence: Sequence((n / 3) * 2),
        };
        subject.append(vec![batch_of(2, 4_000, Some(stamp))]);
        if n % 6 == 5 {
            subject.reopen(n % 4 == 1);
        }
    }
    subject.store.roll(&subject.summary).unwrap();
    subject.reopen(false);
    let next = subject.summary.producers.next_sequence(ProducerId(1));
    assert_eq!(next, Some(Sequence(14)));
    assert_eq!(subject.summary.leader_epoch(), LeaderEpoch(2));
}

fn any_sequence_agrees_with_the_model(restart: Restart<'_>, _: &ManualClock) {
    let mut random = Random::new(SEED);
    let mut subject = Subject::new(restart, config(400_000));
    for step in 0..200 {
        let end = subject.end();
        let somewhere = |random: &mut Random| {
            let span = (end.0 - subject.start.0 + 1).unsigned_abs();
            subject.start.plus(random.below(span as usize) as i64)
        };
        match random.below(20) {
            0 => subject.reopen(random.below(2) == 0),
            1 => subject.recover(),
            2 => subject.store.roll(&subject.summary).unwrap(),
            3 if random.below(3) == 0 => {
                let start = somewhere(&mut random);
                subject.store.set_start(start).unwrap();
                subject.start = start;
            }
            4..=8 => {
                let (a, b) = (somewhere(&mut random), somewhere(&mut random));
                let limit = ByteSize(random.below(400_000) as u64);
                subject.check_read(a.min(b), a.max(b), limit);
            }
            9 => {
                let from = somewhere(&mut random);
                subject.check_find(from, Timestamp(random.below(1_000) as i64));
            }
            _ => {
                let group = (0..=random.below(3)).map(|_| {
                    let count = 1 + random.below(5);
                    let times: Vec<i64> = (0..count)
                        .map(|_| step * 4 + random.below(50) as i64)
                        .collect();
                    let large = random.below(8) == 0;
                    let size = random.below(if large { 60_000 } else { 900 });
                    batch_at(&times, size, None)
                });
                let group: Vec<RecordBatch> = group.collect();
                if step % 2 == 0 {
                    subject.append(group);
                } else {
                    subject.append_as_they_come(group);
                }
            }
        }
    }
    subject.reopen(false);
    subject.check_read(subject.start, subject.end(), ALL);
}
