//! Knows the last batches of each idempotent producer of a partition, so that a batch sent twice
//! is stored once and a lost one is noticed.
//!
//! The rules are Kafka's: the last five batches of a producer are known by their sequences; a
//! batch that is one of them is a duplicate and answered with its first offset; any other must
//! follow the last one; a new epoch starts at sequence 0; an older epoch is fenced; the first
//! batch of an unknown producer may have any sequence, since retention may have removed the rest.
//! The state is derived from the partition's own batches: nothing else is stored.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use wstream_record::{BatchHeader, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence};

use crate::errors::AppendError;

/// Batches of one producer that are known again.
const BATCHES_KNOWN: usize = 5;
/// Producers known in one partition; beyond that the longest silent are forgotten.
const PRODUCERS_MAX: usize = 10_000;
/// What is forgotten at once, so that forgetting is rare.
const PRODUCERS_FORGOTTEN: usize = PRODUCERS_MAX / 10;

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Producers {
    by_id: HashMap<ProducerId, Producer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: ProducerEpoch,
    /// Oldest first, never empty, at most `BATCHES_KNOWN`.
    batches: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    first: Sequence,
    last: Sequence,
    base_offset: Offset,
    next_offset: Offset,
}

/// What a batch is to its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen before and in order.
    New,
    /// Stored already, at these offsets.
    Duplicate { base: Offset, next: Offset },
}

impl Producers {
    /// The sequence that the producer's next record has, if the producer is known.
    #[must_use]
    pub(crate) fn next_sequence(&self, producer: ProducerId) -> Option<Sequence> {
        let producer = self.by_id.get(&producer)?;
        producer.batches.last().map(|mark| mark.last.plus(1))
    }

    /// Judges a batch. `earlier` are the batches of the same write that precede it.
    pub(crate) fn judge(
        &self,
        earlier: &Self,
        header: &BatchHeader,
    ) -> Result<Verdict, AppendError> {
        let Some(stamp) = header.producer else {
            return Ok(Verdict::New);
        };
        let known = earlier.by_id.get(&stamp.id);
        let Some(producer) = known.or_else(|| self.by_id.get(&stamp.id)) else {
            return Ok(Verdict::New);
        };
        producer.judge(stamp, last_sequence(stamp, header))
    }

    /// A copy of what is known of the producer of `header`, to judge further batches by.
    pub(crate) fn note_beside(&self, earlier: &mut Self, header: &BatchHeader) {
        if let Some(stamp) = header.producer {
            if let (false, Some(known)) = (
                earlier.by_id.contains_key(&stamp.id),
                self.by_id.get(&stamp.id),
            ) {
                earlier.by_id.insert(stamp.id, known.clone());
            }
            earlier.note(header);
        }
    }

    /// Takes note of a stored batch.
    pub(crate) fn note(&mut self, header: &BatchHeader) {
        let Some(stamp) = header.producer else {
            return;
        };
        let mark = Mark {
            first: stamp.sequence,
            last: last_sequence(stamp, header),
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
        };
        if let Some(producer) = self.by_id.get_mut(&stamp.id) {
            producer.note(stamp.epoch, mark);
            return;
        }
        if self.by_id.len() >= PRODUCERS_MAX {
            self.forget_silent();
        }
        let batches = vec![mark];
        let epoch = stamp.epoch;
        self.by_id.insert(stamp.id, Producer { epoch, batches });
    }

    fn forget_silent(&mut self) {
        let mut last: Vec<Offset> = self.by_id.values().map(Producer::last_offset).collect();
        let (_, &mut cut, _) = last.select_nth_unstable(PRODUCERS_FORGOTTEN);
        self.by_id.retain(|_, p| p.last_offset() >= cut);
    }
}

impl Producer {
    fn last_offset(&self) -> Offset {
        self.batches
            .last()
            .map_or(Offset(0), |mark| mark.base_offset)
    }

    fn judge(&self, stamp: ProducerStamp, last: Sequence) -> Result<Verdict, AppendError> {
        if stamp.epoch < self.epoch {
            return Err(AppendError::FencedProducer {
                current: self.epoch,
                found: stamp.epoch,
            });
        }
        let expected = if stamp.epoch > self.epoch {
            Sequence(0)
        } else {
            let same = |mark: &&Mark| mark.first == stamp.sequence && mark.last == last;
            if let Some(mark) = self.batches.iter().find(same) {
                return Ok(Verdict::Duplicate {
                    base: mark.base_offset,
                    next: mark.next_offset,
                });
            }
            self.batches
                .last()
                .map_or(Sequence(0), |mark| mark.last.plus(1))
        };
        if stamp.sequence == expected {
            Ok(Verdict::New)
        } else {
            Err(AppendError::OutOfOrderSequence {
                expected,
                found: stamp.sequence,
            })
        }
    }

    fn note(&mut self, epoch: ProducerEpoch, mark: Mark) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
        if self.batches.len() == BATCHES_KNOWN {
            self.batches.remove(0);
        }
        self.batches.push(mark);
    }
}

fn last_sequence(stamp: ProducerStamp, header: &BatchHeader) -> Sequence {
    stamp.sequence.plus(header.last_offset_delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_of;

    fn header(id: i64, epoch: i16, sequence: i32, count: usize, base: i64) -> BatchHeader {
        let stamp = ProducerStamp {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            sequence: Sequence(sequence),
        };
        let batch = batch_of(count, 10, Some(stamp));
        let mut header = *batch.header();
        header.base_offset = Offset(base);
        header
    }

    #[test]
    fn the_last_five_batches_are_known_again_and_order_is_kept() {
        let mut known = Producers::default();
        let none = Producers::default();
        for n in 0..7_i32 {
            let header = header(1, 0, n * 10, 10, i64::from(n) * 100);
            assert_eq!(known.judge(&none, &header).unwrap(), Verdict::New);
            known.note(&header);
        }
        assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(70)));
        // sequence, count, what is said
        let duplicate = |n: i64| {
            Some(Verdict::Duplicate {
                base: Offset(n * 100),
                next: Offset(n * 100 + 10),
            })
        };
        let rows = [
            (70, 5, Some(Verdict::New)),
            (60, 10, duplicate(6)),
            (20, 10, duplicate(2)),
            (10, 10, None),
            (60, 9, None),
            (71, 1, None),
        ];
        for (sequence, count, said) in rows {
            let answer = known.judge(&none, &header(1, 0, sequence, count, 0));
            assert_eq!(answer.ok(), said, "sequence {sequence} count {count}");
        }
    }

    #[test]
    fn epochs_fence_and_start_at_zero() {
        let mut known = Producers::default();
        let none = Producers::default();
        known.note(&header(1, 3, 40, 2, 0));
        let fenced = known.judge(&none, &header(1, 2, 42, 1, 0)).unwrap_err();
        assert!(matches!(fenced, AppendError::FencedProducer { current, .. } if current.0 == 3));
        assert!(known.judge(&none, &header(1, 4, 42, 1, 0)).is_err());
        let fresh = header(1, 4, 0, 1, 2);
        assert_eq!(known.judge(&none, &fresh).unwrap(), Verdict::New);
        known.note(&fresh);
        assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(1)));
    }

    #[test]
    fn sequences_wrap() {
        let mut known = Producers::default();
        let none = Producers::default();
        known.note(&header(1, 0, i32::MAX - 1, 4, 0));
        assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(2)));
        let again = known.judge(&none, &header(1, 0, i32::MAX - 1, 4, 0));
        assert!(matches!(again, Ok(Verdict::Duplicate { .. })));
    }

    #[test]
    fn batches_of_one_write_are_judged_by_each_other() {
        let mut known = Producers::default();
        known.note(&header(1, 0, 0, 10, 0));
        let mut beside = Producers::default();
        let second = header(1, 0, 10, 10, 10);
        known.note_beside(&mut beside, &second);
        let again = known.judge(&beside, &second).unwrap();
        assert_eq!(
            again,
            Verdict::Duplicate {
                base: Offset(10),
                next: Offset(20)
            }
        );
        let third = known.judge(&beside, &header(1, 0, 20, 1, 20));
        assert_eq!(third.unwrap(), Verdict::New);
        assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(10)));
    }

    #[test]
    fn silent_producers_are_forgotten_at_the_bound() {
        let mut known = Producers::default();
        for n in 0..=PRODUCERS_MAX {
            let n = i64::try_from(n).unwrap();
            known.note(&header(n, 0, 0, 1, n));
        }
        assert!(known.by_id.len() <= PRODUCERS_MAX);
        assert_eq!(known.next_sequence(ProducerId(0)), None);
        assert_eq!(
            known.next_sequence(ProducerId(PRODUCERS_MAX as i64)),
            Some(Sequence(1))
        );
    }
}
