//! Knows where each leader epoch of a partition began, so that two replicas find the offset up to
//! which their logs are one.
//!
//! Epochs and their starts both rise strictly. An epoch is noted with its first batch, or, by
//! `note`, when a leader begins; a batch with a negative epoch (none) or with one below the latest
//! is not noted. An epoch that wrote nothing goes when the next one begins at its start.
//!
//! `end_of` answers as Kafka's `LeaderEpochFileCache.endOffsetFor`:
//!
//! | asked | answer |
//! |---|---|
//! | the latest known | it, and the log end |
//! | above the latest, negative, or nothing known | none |
//! | between | the largest known at or below it, and the start of the next |
//! | below the oldest known | the epoch asked, and the start of the oldest: what it wrote is gone |
//!
//! The last row holds only while everything below the oldest known epoch is gone from the log. At
//! most `EPOCHS_MAX` are known; when the oldest is forgotten for that bound, epochs below the oldest
//! are answered with none (and a truncation below it with `false`) until the log start has passed.

use wstream_record::{LeaderEpoch, Offset};

use crate::numbers::{Reader, put, put_above, put_count};

/// Epochs known; beyond that the oldest are forgotten.
const EPOCHS_MAX: usize = 1_000;
/// Bytes of an encoded epoch at least.
const EPOCH_BYTES_MIN: usize = 2;

/// Where a leader began to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
}

/// Where what a leader wrote ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last one.
    pub end: Offset,
}

/// The leader epochs of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    /// Epochs and starts rise strictly.
    starts: Vec<EpochStart>,
    /// Older ones, whose batches may be there still, were forgotten for the bound.
    forgotten: bool,
}

impl Epochs {
    /// Takes note that `epoch` writes at `start`, or that its leader begins there.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch.0 < 0 || self.latest().is_some_and(|latest| epoch <= latest) {
            return;
        }
        while self.starts.last().is_some_and(|last| last.start >= start) {
            self.starts.pop();
        }
        if self.starts.len() >= EPOCHS_MAX {
            self.starts.remove(0);
            self.forgotten = true;
        }
        self.starts.push(EpochStart { epoch, start });
    }

    /// The latest epoch that is known.
    #[must_use]
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|last| last.epoch)
    }

    /// All that are known, oldest first.
    #[must_use]
    pub(crate) fn starts(&self) -> &[EpochStart] {
        &self.starts
    }

    /// Where `epoch`, or the largest known below it, ends. The rule is above.
    #[must_use]
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if epoch.0 < 0 {
            return None;
        }
        if self.latest()? == epoch {
            return Some(EpochEnd {
                epoch,
                end: log_end,
            });
        }
        let above = self.starts.partition_point(|known| known.epoch <= epoch);
        let end = self.starts.get(above)?.start;
        let known = above.checked_sub(1).and_then(|at| self.starts.get(at));
        match known {
            Some(known) => Some(EpochEnd {
                epoch: known.epoch,
                end,
            }),
            None if self.forgotten => None,
            None => Some(EpochEnd { epoch, end }),
        }
    }

    /// Forgets the epochs that began at or above `end`. `false`: one that was forgotten for the
    /// bound may be the latest now.
    #[must_use]
    pub(crate) fn truncate(&mut self, end: Offset) -> bool {
        let kept = self.starts.partition_point(|known| known.start < end);
        self.starts.truncate(kept);
        kept > 0 || !self.forgotten
    }

    /// Keeps one epoch at or below `start`, which from now on begins there.
    pub(crate) fn drop_below(&mut self, start: Offset) {
        let begun = self.starts.partition_point(|known| known.start <= start);
        let Some(last) = begun.checked_sub(1) else {
            return;
        };
        self.starts.drain(..last);
        if let Some(oldest) = self.starts.first_mut() {
            oldest.start = start;
        }
        self.forgotten = false;
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, i64::from(self.forgotten));
        put_count(out, self.starts.len());
        let (mut epoch, mut start) = (0, 0);
        for known in &self.starts {
            put_above(out, i64::from(known.epoch.0), epoch);
            put_above(out, known.start.0, start);
            (epoch, start) = (i64::from(known.epoch.0), known.start.0);
        }
    }

    pub(super) fn decode(input: &mut Reader<'_>) -> Result<Self, String> {
        let forgotten = input.small::<u8>("a flag")? != 0;
        let count = input.count(EPOCH_BYTES_MIN)?;
        if count > EPOCHS_MAX {
            return Err(format!("{count} epochs"));
        }
        let mut starts = Vec::with_capacity(count);
        let (mut epoch, mut start) = (0, 0);
        for n in 0..count {
            let least = i64::from(n > 0);
            epoch = input.above(epoch, least, "an epoch")?;
            start = input.above(start, least, "an epoch's start")?;
            let number = i32::try_from(epoch).map_err(|_| format!("an epoch is {epoch}"))?;
            starts.push(EpochStart {
                epoch: LeaderEpoch(number),
                start: Offset(start),
            });
        }
        Ok(Self { starts, forgotten })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for &(epoch, start) in starts {
            epochs.note(LeaderEpoch(epoch), Offset(start));
        }
        epochs
    }

    fn starts(epochs: &Epochs) -> Vec<(i32, i64)> {
        let starts = epochs.starts().iter();
        starts.map(|s| (s.epoch.0, s.start.0)).collect()
    }

    #[test]
    fn only_a_later_epoch_is_noted_and_replaces_those_that_wrote_nothing() {
        let epochs = noted(&[(-1, 0), (2, 5), (2, 9), (1, 10), (4, 12), (6, 12), (7, 20)]);
        assert_eq!(starts(&epochs), [(2, 5), (6, 12), (7, 20)]);
        assert_eq!(epochs.latest(), Some(LeaderEpoch(7)));
    }

    #[test]
    fn an_epoch_ends_where_the_next_known_one_starts() {
        let epochs = noted(&[(2, 5), (4, 10), (7, 20)]);
        let rows = [
            (-1, None),
            (0, Some((0, 5))),
            (2, Some((2, 10))),
            (3, Some((2, 10))),
            (4, Some((4, 20))),
            (6, Some((4, 20))),
            (7, Some((7, 33))),
            (8, None),
        ];
        for (asked, answer) in rows {
            let end = epochs.end_of(LeaderEpoch(asked), Offset(33));
            assert_eq!(end.map(|e| (e.epoch.0, e.end.0)), answer, "epoch {asked}");
        }
        assert_eq!(Epochs::default().end_of(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn truncation_and_log_start_keep_what_still_counts() {
        // start, then end; what is left
        type Row = (i64, i64, &'static [(i32, i64)]);
        let rows: [Row; 6] = [
            (0, 40, &[(2, 5), (4, 10), (7, 20)]),
            (0, 20, &[(2, 5), (4, 10)]),
            (10, 40, &[(4, 10), (7, 20)]),
            (15, 40, &[(4, 15), (7, 20)]),
            (50, 60, &[(7, 50)]),
            (15, 15, &[]),
        ];
        for (start, end, left) in rows {
            let mut epochs = noted(&[(2, 5), (4, 10), (7, 20)]);
            epochs.drop_below(Offset(start));
            assert!(epochs.truncate(Offset(end)));
            assert_eq!(starts(&epochs), left, "start {start} end {end}");
        }
    }

    #[test]
    fn epochs_forgotten_for_the_bound_are_not_answered_until_they_are_gone() {
        let mut epochs = Epochs::default();
        for n in 0..1_001 {
            epochs.note(LeaderEpoch(n), Offset(i64::from(n) * 10));
        }
        assert_eq!(epochs.starts().len(), EPOCHS_MAX);
        assert_eq!(epochs.end_of(LeaderEpoch(0), Offset(99_999)), None);
        assert!(!epochs.clone().truncate(Offset(10)));
        assert!(epochs.clone().truncate(Offset(11)));
        epochs.drop_below(Offset(9));
        assert_eq!(epochs.end_of(LeaderEpoch(0), Offset(99_999)), None);
        epochs.drop_below(Offset(10));
        let end = epochs.end_of(LeaderEpoch(0), Offset(99_999)).unwrap();
        assert_eq!((end.epoch, end.end), (LeaderEpoch(0), Offset(10)));
    }
}
