//! A leader ends transactions as coordinators want, against the model that looks through all batches.

use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::derived::tests::model::{Kept, Model};
use crate::errors::StoreError;
use crate::testing::Random;

const SEEDS: u64 = 40;
const STEPS: usize = 120;

/// What is to come of something that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Appended,
    FencedProducer,
    FencedCoordinator,
}

fn outcome(said: Result<Appended, AppendError>) -> Outcome {
    match said {
        Ok(_) => Outcome::Appended,
        Err(AppendError::FencedProducer { .. }) => Outcome::FencedProducer,
        Err(AppendError::FencedCoordinator { .. }) => Outcome::FencedCoordinator,
        Err(other) => panic!("{other}"),
    }
}

/// What the rules know of a producer.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    epoch: i16,
    sequence: i32,
    coordinator: i32,
}

struct Run {
    node: Node,
    partition: Partition,
    random: Random,
    known: HashMap<i64, Known>,
    model: Model,
    tickets: Vec<(AppendTicket, Outcome)>,
    fenced: usize,
    aborted: usize,
}

fn data(id: i64, epoch: i16, sequence: i32) -> RecordBatch {
    let stamp = ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        sequence: Sequence(sequence),
    };
    transactional(batch_of(2, 10, Some(stamp)), 0)
}

impl Run {
    fn new(seed: u64) -> Self {
        let node = Node::new(seed);
        Self {
            partition: partition(&node),
            node,
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            known: HashMap::new(),
            model: Model::default(),
            tickets: Vec::new(),
            fenced: 0,
            aborted: 0,
        }
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(bound).unwrap())).unwrap()
    }

    fn step(&mut self, seed: u64) {
        match self.random.below(16) {
            0..7 => self.produce(),
            7..12 => self.end(),
            12 | 13 => self.settle(),
            14 => {
                self.settle();
                let to = Offset(self.below(self.model.last_stable(self.model.end) + 1));
                let start = self.node.run(self.partition.delete_before(to)).unwrap();
                self.model.start = start.0;
            }
            _ => {
                self.settle();
                self.node = self.node.started_again(seed);
                self.partition = self.node.existing("t");
            }
        }
    }

    /// The present epoch, the one before or the next one.
    fn epoch(&mut self, known: Known) -> i16 {
        let step = [-1, 0, 0, 0, 0, 0, 1][self.random.below(7)];
        (known.epoch + step).max(0)
    }

    fn produce(&mut self) {
        let id = self.below(3);
        let known = self.known.get(&id).copied().unwrap_or_default();
        let epoch = self.epoch(known);
        let sequence = if epoch == known.epoch {
            known.sequence
        } else {
            0
        };
        let expected = if epoch < known.epoch {
            Outcome::FencedProducer
        } else {
            let sequence = sequence + 2;
            let new = Known {
                epoch,
                sequence,
                ..known
            };
            self.known.insert(id, new);
            Outcome::Appended
        };
        let batch = data(id, epoch, sequence);
        let ticket = self.node.run(self.partition.submit(batch)).unwrap();
        self.tickets.push((ticket, expected));
    }

    fn end(&mut self) {
        let id = self.below(3);
        let known = self.known.get(&id).copied().unwrap_or_default();
        let epoch = self.epoch(known);
        let step = [-1, 0, 0, 0, 1][self.random.below(5)];
        let coordinator = (known.coordinator + step).max(0);
        let marker = [Marker::Abort, Marker::Commit][self.random.below(2)];
        let expected = if epoch < known.epoch {
            Outcome::FencedProducer
        } else if coordinator < known.coordinator {
            Outcome::FencedCoordinator
        } else {
            let sequence = if epoch == known.epoch {
                known.sequence
            } else {
                0
            };
            let new = Known {
                epoch,
                sequence,
                coordinator,
            };
            self.known.insert(id, new);
            Outcome::Appended
        };
        let ended = self.partition.end_transaction(
            ProducerId(id),
            ProducerEpoch(epoch),
            marker,
            CoordinatorEpoch(coordinator),
        );
        let ticket = self.node.run(ended).unwrap();
        self.tickets.push((ticket, expected));
    }

    /// Awaits what was queued, in one group or several, and compares.
    fn settle(&mut self) {
        for (ticket, expected) in std::mem::take(&mut self.tickets) {
            assert_eq!(outcome(self.node.run(ticket)), expected);
            self.fenced += usize::from(expected != Outcome::Appended);
        }
        let from = self.model.end.max(self.model.start);
        let fetched = fetch(&self.node, &self.partition, from, Upto::LogEnd);
        for batch in fetched.batches().unwrap() {
            let header = *batch.header();
            let control = header.is_control().then(|| batch.clone());
            let marker = control.as_ref().map(|c| Marker::parse(c).unwrap().unwrap());
            self.model.end = header.next_offset().0;
            self.model.kept.push(Kept {
                header,
                control,
                marker: marker.map(|(marker, _)| marker),
                at: Timestamp(0),
            });
        }
        self.model.high_watermark = self.model.end;
        self.compare();
    }

    fn compare(&mut self) {
        let stable = self.model.last_stable(self.model.end);
        let end = self.model.end;
        assert_eq!(marks(&self.partition), [self.model.start, stable, end, end]);
        let from = self.model.start + self.below(stable - self.model.start + 1);
        let fetched = fetch(&self.node, &self.partition, from, Upto::LastStable);
        let row = |range: &crate::store::Aborted| (range.first.0, range.last.0, range.producer.0);
        let found: BTreeSet<_> = fetched.aborted.iter().map(row).collect();
        assert_eq!(found.len(), fetched.aborted.len());
        let expected = match from < stable {
            true => self.model.aborted_in(from, fetched.next.0),
            false => BTreeSet::new(),
        };
        assert_eq!(found, expected, "from {from}");
        self.aborted += found.len();
    }
}

#[test]
fn a_leader_ends_transactions_and_fences_as_the_rules_say() {
    let (mut fenced, mut aborted) = (0, 0);
    for seed in 1..=SEEDS {
        let ran = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            (0..STEPS).for_each(|_| run.step(seed));
            run.settle();
            (run.fenced, run.aborted)
        });
        let (more_fenced, more_aborted) = ran.unwrap_or_else(|_| panic!("seed {seed} fails"));
        fenced += more_fenced;
        aborted += more_aborted;
    }
    assert!(fenced > 100 && aborted > 100, "{fenced} {aborted}");
}

fn end(
    partition: &Partition,
    epoch: i16,
    marker: Marker,
    coordinator: i32,
) -> impl Future<Output = Result<AppendTicket, AppendError>> {
    let producer = ProducerId(9);
    let (epoch, coordinator) = (ProducerEpoch(epoch), CoordinatorEpoch(coordinator));
    partition.end_transaction(producer, epoch, marker, coordinator)
}

#[test]
fn a_marker_that_is_not_committed_decides_nothing() {
    let node = Node::new(1);
    let partition = partition(&node);
    let epoch = partition.marks().leader_epoch;
    partition.lead(epoch, Commit::Quorum);
    let sent = node.run(partition.submit(transactional(stamped(0), 0)));
    let mut sent = sent.unwrap();
    node.run(sent.flushed()).unwrap();
    let mut ended = node.run(end(&partition, 0, Marker::Abort, 1)).unwrap();
    assert_eq!(node.run(ended.flushed()).unwrap().base_offset, Offset(2));
    assert_eq!(marks(&partition), [0, 0, 0, 3]);
    partition.advance_high_watermark(Offset(2));
    assert_eq!(marks(&partition), [0, 0, 2, 3]);
    partition.advance_high_watermark(Offset(3));
    assert_eq!(marks(&partition), [0, 3, 3, 3]);
    node.run(ended).unwrap();
    let fetched = fetch(&node, &partition, 0, Upto::LastStable);
    assert_eq!(fetched.aborted.len(), 1);
}

#[test]
fn a_marker_is_refused_where_nothing_is_led_and_with_the_group_that_fails() {
    let node = Node::new(2);
    let partition = partition(&node);
    let sent = node.run(partition.submit(transactional(stamped(0), 0)));
    node.run(sent.unwrap()).unwrap();
    let failed = StoreError::failed("flush", "memory", &"on purpose");
    node.store.inner.faults().fail_flush(failed);
    let ended = node.run(end(&partition, 0, Marker::Commit, 5)).unwrap();
    assert!(matches!(node.run(ended), Err(AppendError::Failed(_))));
    assert_eq!(marks(&partition), [0, 0, 2, 2]);
    // What failed fences nobody.
    let ended = node.run(end(&partition, 0, Marker::Commit, 4)).unwrap();
    node.run(ended).unwrap();
    assert_eq!(marks(&partition), [0, 3, 3, 3]);
    let none = node.run(end(&partition, -1, Marker::Commit, 4));
    assert!(matches!(none, Err(AppendError::Malformed(_))));
    partition.follow(LeaderEpoch(9));
    let refused = node.run(end(&partition, 0, Marker::Commit, 6));
    assert!(matches!(refused, Err(AppendError::NotLeader { .. })));
}
