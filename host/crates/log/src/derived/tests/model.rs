//! The model: it keeps every batch and looks through all of them for each answer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A batch that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) header: BatchHeader,
    pub(crate) control: Option<RecordBatch>,
    /// What the control batch means, if anything.
    pub(crate) marker: Option<Marker>,
    pub(crate) at: Timestamp,
}

/// What the log holds, and what was done to it that its batches do not say.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) kept: Vec<Kept>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) high_watermark: i64,
    /// Below it the producer was forgotten.
    pub(crate) forgotten: BTreeMap<i64, i64>,
    pub(crate) last_seen: BTreeMap<i64, i64>,
    /// How many batches of the producer were truncated since the last rebuild.
    pub(crate) cut: BTreeMap<i64, usize>,
}

/// A batch of a producer: first sequence, count, first offset.
type Row = (i32, i32, i64);

/// A transaction: whose, first offset, and how and where it ended.
pub(crate) type Transaction = (i64, i64, Option<(Marker, i64)>);

impl Model {
    /// Batches that producer state follows from.
    pub(crate) fn of(&self, id: i64) -> impl Iterator<Item = &Kept> {
        let from = self.forgotten.get(&id).copied().unwrap_or(0);
        self.kept.iter().filter(move |kept| {
            let control = kept.header.is_control() && kept.marker.is_none();
            let stamp = kept.header.producer.filter(|_| !control);
            stamp.is_some_and(|stamp| stamp.id.0 == id) && kept.header.base_offset.0 >= from
        })
    }

    /// The producer's epoch, and the batches of it.
    pub(crate) fn producer(&self, id: i64) -> Option<(i16, Vec<Row>)> {
        let mut state: Option<(i16, Vec<_>)> = None;
        for kept in self.of(id) {
            let stamp = kept.header.producer.unwrap();
            if state.as_ref().is_none_or(|s| s.0 != stamp.epoch.0) {
                state = Some((stamp.epoch.0, Vec::new()));
            }
            if !kept.header.is_control() && stamp.sequence.0 >= 0 {
                let row = (
                    stamp.sequence.0,
                    kept.header.records,
                    kept.header.base_offset.0,
                );
                state.as_mut().unwrap().1.push(row);
            }
        }
        state
    }

    /// What the rules say of a batch; `Err` for any refusal.
    pub(crate) fn judge(
        &self,
        id: i64,
        epoch: i16,
        sequence: i32,
        count: i32,
    ) -> Result<Option<i64>, ()> {
        let Some((current, batches)) = self.producer(id) else {
            return Ok(None);
        };
        let next = batches
            .last()
            .map_or(0, |b| i64::from(b.0) + i64::from(b.1));
        let next = i32::try_from(next % (1 << 31)).unwrap();
        let last_five = batches.iter().rev().take(5);
        match epoch.cmp(&current) {
            Ordering::Less => Err(()),
            Ordering::Greater => (sequence == 0).then_some(None).ok_or(()),
            Ordering::Equal => {
                let same = |b: &&Row| b.0 == sequence && b.1 == count;
                match last_five.into_iter().find(same) {
                    Some(known) => Ok(Some(known.2)),
                    None => (sequence == next).then_some(None).ok_or(()),
                }
            }
        }
    }

    pub(crate) fn epochs(&self) -> Vec<(i32, i64)> {
        let mut all: Vec<(i32, i64)> = Vec::new();
        for kept in &self.kept {
            let epoch = kept.header.leader_epoch.0;
            if all.last().is_none_or(|last| last.0 < epoch) {
                all.push((epoch, kept.header.base_offset.0));
            }
        }
        let below = all.iter().filter(|e| e.1 <= self.start).count();
        if below > 0 {
            all.drain(..below - 1);
            all[0].1 = self.start;
        }
        all
    }

    pub(crate) fn transactions(&self) -> Vec<Transaction> {
        let mut all: Vec<Transaction> = Vec::new();
        for kept in &self.kept {
            let Some(stamp) = kept.header.producer else {
                continue;
            };
            let base = kept.header.base_offset.0;
            let open = all.iter_mut().find(|t| t.0 == stamp.id.0 && t.2.is_none());
            match (open, kept.header.is_control()) {
                (None, false) if kept.header.is_transactional() => {
                    all.push((stamp.id.0, base, None));
                }
                (Some(open), true) => open.2 = kept.marker.map(|marker| (marker, base)),
                _ => {}
            }
        }
        for transaction in &mut all {
            transaction.1 = transaction.1.max(self.start);
        }
        all
    }

    pub(crate) fn last_stable(&self, high_watermark: i64) -> i64 {
        let all = self.transactions().into_iter();
        let undecided = all.filter(|t| t.2.is_none_or(|(_, at)| at >= high_watermark));
        undecided.map(|t| t.1).fold(high_watermark, i64::min)
    }

    pub(crate) fn aborted_in(&self, from: i64, next: i64) -> BTreeSet<(i64, i64, i64)> {
        let all = self.transactions().into_iter();
        all.filter_map(|(id, first, ended)| match ended {
            Some((Marker::Abort, last)) => Some((first, last, id)),
            _ => None,
        })
        .filter(|&(first, last, _)| last >= self.start && first < next && last >= from)
        .collect()
    }

    pub(crate) fn truncate(&mut self, end: i64) {
        for kept in self.kept.iter().filter(|k| k.header.base_offset.0 >= end) {
            if let Some(stamp) = kept.header.producer {
                *self.cut.entry(stamp.id.0).or_default() += 1;
            }
        }
        self.kept.retain(|kept| kept.header.base_offset.0 < end);
        self.end = end;
        self.high_watermark = self.high_watermark.min(end);
        for from in self.forgotten.values_mut() {
            *from = end.min(*from);
        }
        let gone: Vec<i64> = self.last_seen.keys().copied().collect();
        for id in gone {
            if self.of(id).next().is_none() {
                self.last_seen.remove(&id);
            }
        }
    }

    pub(crate) fn expire(&mut self, now: i64, after: i64) {
        let all = self.transactions();
        let open = |id: i64| all.iter().any(|t| t.0 == id && t.2.is_none());
        let (end, forgotten) = (self.end, &mut self.forgotten);
        self.last_seen.retain(|&id, seen| {
            let stays = now - *seen < after || open(id);
            if !stays {
                forgotten.insert(id, end);
            }
            stays
        });
    }

    /// Begins anew with what the log still holds, as the caller of `truncate` does.
    pub(crate) fn rebuild(&mut self, budget: &Arc<ProducerBudget>) -> (Derived, Vec<Aborted>) {
        let start = Offset(self.start);
        self.kept.retain(|kept| kept.header.next_offset() > start);
        self.forgotten.clear();
        self.last_seen.clear();
        self.cut.clear();
        let mut fresh = Derived::new(Arc::clone(budget));
        let mut aborted = Vec::new();
        for kept in &self.kept {
            aborted.extend(fresh.note(&kept.header, kept.control.as_ref(), kept.at));
            let read = !kept.header.is_control() || kept.marker.is_some();
            if let Some(stamp) = kept.header.producer.filter(|_| read) {
                self.last_seen.insert(stamp.id.0, kept.at.0);
            }
        }
        fresh.drop_below(start);
        fresh.transactions.committed_to(Offset(self.high_watermark));
        (fresh, aborted)
    }
}
