//! Offsets that a reader does not get though they lie within what it reads: each is told, with the
//! reason where the log knows one.
//!
//! Compaction leaves gaps as a rule, so what it took is summed up; damage is told stretch by stretch,
//! as the log found it. Offsets of transaction markers hold no records and are not missing.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Value, json};
use wstream_log::Missing as Hole;
use wstream_record::{Offset, TopicPartition};

/// Why offsets are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// They lie below the log start.
    Retention,
    /// Newer records have their keys.
    Compaction,
    /// They were stored and cannot be read.
    Damage,
    /// No record has them, and why is not known here.
    Unknown,
}

/// Offsets of a partition that have no record any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) of: TopicPartition,
    pub(super) first: Offset,
    pub(super) next: Offset,
    /// How many of those from `first` to `next`.
    pub(super) offsets: i64,
    pub(super) reason: Reason,
    /// What the log found, of damage.
    pub(super) found: Option<String>,
}

/// The gaps of some part of a partition that are told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    first: Offset,
    next: Offset,
    offsets: i64,
}

impl Sum {
    /// Takes up another gap, behind the others.
    pub(super) fn add(sum: &mut Option<Self>, gap: &Range<Offset>) {
        let offsets = gap.end.0 - gap.start.0;
        let (first, next) = (gap.start, gap.end);
        match sum {
            Some(sum) => {
                sum.next = next;
                sum.offsets += offsets;
            }
            None => {
                *sum = Some(Self {
                    first,
                    next,
                    offsets,
                });
            }
        }
    }

    pub(super) fn told(self, of: &TopicPartition, reason: Reason) -> Missing {
        Missing {
            of: of.clone(),
            first: self.first,
            next: self.next,
            offsets: self.offsets,
            reason,
            found: None,
        }
    }
}

impl Missing {
    /// All offsets of a stretch.
    pub(super) fn all(of: &TopicPartition, gap: &Range<Offset>, reason: Reason) -> Self {
        Self {
            of: of.clone(),
            first: gap.start,
            next: gap.end,
            offsets: gap.end.0 - gap.start.0,
            reason,
            found: None,
        }
    }

    /// For people.
    pub(super) fn message(&self) -> String {
        let (of, last) = (&self.of, self.next.plus(-1));
        let which = match self.next.0 - self.first.0 {
            1 => format!("{of}: offset {} is missing", self.first),
            all if all == self.offsets => {
                format!("{of}: offsets {} to {last} are missing", self.first)
            }
            _ => format!(
                "{of}: {} of the offsets {} to {last} are missing",
                self.offsets, self.first
            ),
        };
        let why = match (self.reason, &self.found) {
            (Reason::Retention, _) => {
                "below the log start, where retention removed them".to_owned()
            }
            (Reason::Compaction, _) => "compaction removed them for newer records".to_owned(),
            (Reason::Damage, Some(found)) => format!("stored and not readable: {found}"),
            (Reason::Damage, None) => "stored and not readable".to_owned(),
            (Reason::Unknown, _) => "no record is there, and why is not known".to_owned(),
        };
        format!("{which}: {why}")
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "topic": self.of.topic,
            "partition": self.of.partition,
            "first": self.first,
            "next": self.next,
            "offsets": self.offsets,
            "reason": self.reason,
            "message": self.message(),
        })
    }
}

/// Cuts a gap into what damage took and the rest. `holes` are those of the partition, by offset.
pub(super) fn explain(
    of: &TopicPartition,
    gap: Range<Offset>,
    holes: &[Hole],
) -> (Vec<Missing>, Vec<Range<Offset>>) {
    let (mut damaged, mut rest) = (Vec::new(), Vec::new());
    let mut at = gap.start;
    for hole in holes {
        let (first, next) = (hole.first.max(at), hole.next.min(gap.end));
        if first >= next {
            continue;
        }
        if first > at {
            rest.push(at..first);
        }
        damaged.push(Missing {
            found: Some(hole.reason.clone()),
            ..Missing::all(of, &(first..next), Reason::Damage)
        });
        at = next;
    }
    if at < gap.end {
        rest.push(at..gap.end);
    }
    (damaged, rest)
}

#[cfg(test)]
mod tests {
    use wstream_record::{PartitionId, TopicName};

    use super::*;

    fn partition() -> TopicPartition {
        TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(3))
    }

    fn hole(first: i64, next: i64) -> Hole {
        Hole {
            partition: Some(partition()),
            first: Offset(first),
            next: Offset(next),
            segment: None,
            kept_at: None,
            reason: format!("{first} broke"),
        }
    }

    #[test]
    fn a_gap_is_cut_into_what_damage_took_and_the_rest() {
        let holes = [hole(0, 5), hole(8, 10), hole(9, 12), hole(30, 40)];
        // gap, damaged, rest
        type Ranges = &'static [(i64, i64)];
        let rows: [(Range<i64>, Ranges, Ranges); 5] = [
            (0..5, &[(0, 5)], &[]),
            (3..20, &[(3, 5), (8, 10), (10, 12)], &[(5, 8), (12, 20)]),
            (5..8, &[], &[(5, 8)]),
            (9..10, &[(9, 10)], &[]),
            (35..50, &[(35, 40)], &[(40, 50)]),
        ];
        for (gap, damaged, rest) in rows {
            let found = explain(&partition(), Offset(gap.start)..Offset(gap.end), &holes);
            let taken: Vec<_> = found.0.iter().map(|m| (m.first.0, m.next.0)).collect();
            let left: Vec<_> = found.1.iter().map(|r| (r.start.0, r.end.0)).collect();
            assert_eq!((&taken[..], &left[..]), (damaged, rest), "{gap:?}");
        }
    }

    #[test]
    fn a_message_says_which_offsets_and_why() {
        let of = partition();
        let told = |gap: Range<i64>, reason| {
            Missing::all(&of, &(Offset(gap.start)..Offset(gap.end)), reason).message()
        };
        let mut sum = None;
        Sum::add(&mut sum, &(Offset(2)..Offset(4)));
        Sum::add(&mut sum, &(Offset(7)..Offset(8)));
        let damaged = explain(&of, Offset(0)..Offset(5), &[hole(0, 5)]).0;
        let rows = [
            (
                told(0..5, Reason::Retention),
                "t-3: offsets 0 to 4 are missing: below the log start, where retention removed them",
            ),
            (
                told(6..7, Reason::Unknown),
                "t-3: offset 6 is missing: no record is there, and why is not known",
            ),
            (
                sum.unwrap().told(&of, Reason::Compaction).message(),
                "t-3: 3 of the offsets 2 to 7 are missing: compaction removed them for newer records",
            ),
            (
                damaged[0].message(),
                "t-3: offsets 0 to 4 are missing: stored and not readable: 0 broke",
            ),
        ];
        for (found, wanted) in rows {
            assert_eq!(found, wanted);
        }
    }
}
