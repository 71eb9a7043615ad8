//! What a partition must hold, as those know who were answered.

use std::collections::{BTreeMap, BTreeSet};

use wstream_record::{RecordBatch, TopicPartition};

use super::batches::Rec;
use crate::store::{Missing, PartitionKey};

/// What a topic is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Compacted,
    Retained,
    Followed,
}

/// What may have been lost since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Loss {
    /// What is missing must be told.
    pub(super) told: bool,
    /// The end of the stream may be missing without a trace.
    pub(super) tail: bool,
}

/// An idempotent producer. It has one batch on its way at most, and sends it until it is answered.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub(super) id: i64,
    pub(super) sequence: i32,
    pub(super) pending: Option<Sent>,
    pub(super) in_flight: bool,
    /// What was acknowledged last, and where it is.
    pub(super) last: Option<(Sent, i64)>,
}

/// A batch that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) batch: RecordBatch,
    pub(super) number: u64,
    pub(super) recs: Vec<Rec>,
}

/// What a follower's log is.
#[derive(Debug, Clone, Default)]
pub(super) struct Copied {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) batches: Vec<RecordBatch>,
    /// What was there below the start, from which something is derived still.
    pub(super) below: Vec<RecordBatch>,
}

impl PartialEq for Copied {
    fn eq(&self, other: &Self) -> bool {
        let marks = (self.start, self.end) == (other.start, other.end);
        marks && self.batches == other.batches
    }
}

/// One partition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: TopicPartition,
    pub(super) key: PartitionKey,
    pub(super) kind: Kind,
    pub(super) alive: bool,
    pub(super) start: i64,
    /// A raised start that was not answered may hold or not.
    pub(super) start_max: i64,
    pub(super) end: i64,
    /// Acknowledged, from the start on.
    pub(super) records: BTreeMap<i64, Rec>,
    /// All that was ever acknowledged, unless nobody can know of it any more.
    pub(super) history: BTreeMap<i64, Rec>,
    /// What was sent and not acknowledged.
    pub(super) doubt: BTreeMap<u64, Vec<Rec>>,
    pub(super) producers: Vec<Producer>,
    /// Some of it is lost: what its producers wrote is not known exactly.
    pub(super) lossy: bool,
    /// The log of a follower, and what it may be as well.
    pub(super) copied: Copied,
    pub(super) maybe: Vec<Copied>,
}

impl Part {
    pub(super) fn new(name: TopicPartition, key: PartitionKey, kind: Kind, producer: i64) -> Self {
        let producers = [producer, producer + 1].map(|id| Producer {
            id,
            sequence: 0,
            pending: None,
            in_flight: false,
            last: None,
        });
        Self {
            name,
            key,
            kind,
            alive: true,
            start: 0,
            start_max: 0,
            end: 0,
            records: BTreeMap::new(),
            history: BTreeMap::new(),
            doubt: BTreeMap::new(),
            producers: producers.to_vec(),
            lossy: false,
            copied: Copied::default(),
            maybe: Vec::new(),
        }
    }

    /// A batch was acknowledged at `base`.
    pub(super) fn acknowledged(&mut self, base: i64, sent: &Sent) {
        assert_eq!(base, self.end, "{}: offsets follow each other", self.name);
        for (offset, rec) in (base..).zip(&sent.recs) {
            self.records.insert(offset, *rec);
            let before = self.history.insert(offset, *rec);
            assert!(
                before.is_none(),
                "{}: {offset} is given out twice",
                self.name
            );
        }
        self.end = base + i64::try_from(sent.recs.len()).unwrap();
        self.doubt.remove(&sent.number);
    }

    /// Where a batch begins that was acknowledged, or found: of one that a start cut, what is left.
    pub(super) fn place_of(&self, number: u64) -> Option<i64> {
        let mut history = self.history.iter();
        let found = history.find(|(_, rec)| rec.batch == number);
        found.map(|(offset, rec)| *offset - i64::from(rec.place))
    }

    pub(super) fn raise_start(&mut self, start: i64) {
        self.start = start;
        self.start_max = self.start_max.max(start);
        self.records = self.records.split_off(&start);
    }

    /// Whether compaction may have taken a record.
    fn may_be_compacted(&self, offset: i64, rec: &Rec) -> bool {
        let mut later = self.history.range(offset + 1..);
        self.kind == Kind::Compacted
            && (rec.tombstone || later.any(|(_, other)| other.key == rec.key))
    }

    /// Compares what was found in [from, next) with what must be there.
    pub(super) fn compare(
        &mut self,
        found: &BTreeMap<i64, Rec>,
        (from, next): (i64, i64),
        missing: &[Missing],
        loss: Loss,
    ) -> usize {
        let mut vague = 0;
        let mut gone = Vec::new();
        for (offset, rec) in self.records.range(from..next.max(from)) {
            match found.get(offset) {
                Some(there) => assert_eq!(there, rec, "{} at {offset}", self.name),
                None if self.may_be_compacted(*offset, rec) => {}
                None => {
                    let told = is_told(missing, &self.name, *offset);
                    assert!(
                        loss.told && told.is_some(),
                        "{}: the record at {offset} is not there, and nobody says so: {rec:?}, told {told:?}, {loss:?}, {missing:?}",
                        self.name
                    );
                    vague += usize::from(told == Some(false));
                    gone.push(*offset);
                }
            }
        }
        self.lossy |= !gone.is_empty();
        for offset in gone {
            self.records.remove(&offset);
        }
        vague
    }

    /// Takes over what is there after a start.
    pub(super) fn recover(
        &mut self,
        found: &BTreeMap<i64, Rec>,
        (start, end): (i64, i64),
        missing: &[Missing],
        loss: Loss,
    ) -> usize {
        let name = &self.name;
        if self.kind == Kind::Retained {
            self.start_max = i64::MAX;
        }
        assert!(
            start <= self.start_max || loss.tail,
            "{name}: nobody raised the start to {start}"
        );
        // What raised it may be lost.
        assert!(
            start >= self.start || loss.told,
            "{name}: {start} is below start {}",
            self.start
        );
        assert!(
            end >= self.end || loss.tail,
            "{name}: {end} is below end {}",
            self.end
        );
        if start < self.start {
            let back = self.history.range(start..self.start);
            let back: Vec<(i64, Rec)> = back.map(|(o, r)| (*o, *r)).collect();
            self.records
                .extend(back.into_iter().filter(|(o, r)| found.get(o) == Some(r)));
        }
        self.start_max = start;
        self.raise_start(start);
        if end < self.end {
            self.lossy = true;
            self.records.split_off(&end);
            self.history.split_off(&end);
        }
        let mut batches = BTreeSet::new();
        for (offset, rec) in found {
            let name = &self.name;
            assert!(
                batches.insert((rec.batch, rec.place)),
                "{name}: {rec:?} is there twice"
            );
            if *offset < start || self.records.contains_key(offset) {
                continue;
            }
            let sent = self.doubt.get(&rec.batch);
            let meant = sent.and_then(|recs| recs.get(usize::try_from(rec.place).unwrap()));
            let known = self.history.get(offset).filter(|_| self.lossy);
            assert!(
                meant == Some(rec) || known == Some(rec),
                "{name}: nobody sent what is at {offset}: {rec:?}, sent {meant:?}"
            );
            if known.is_none() {
                let before = self.history.insert(*offset, *rec);
                assert!(before.is_none(), "{name}: {offset} is given out twice");
            }
            self.records.insert(*offset, *rec);
        }
        let vague = self.compare(found, (start, end), missing, loss);
        self.end = end;
        self.doubt.clear();
        vague
    }
}

/// Whether it is told that an offset is missing: by its name, or only that something is.
fn is_told(missing: &[Missing], name: &TopicPartition, offset: i64) -> Option<bool> {
    let of_segment = missing
        .iter()
        .any(|m| m.partition.is_none() && m.segment.is_some());
    let mut named = missing
        .iter()
        .filter(|m| m.partition.as_ref() == Some(name));
    if named.any(|m| (m.first.0..m.next.0).contains(&offset)) {
        return Some(true);
    }
    of_segment.then_some(false)
}
