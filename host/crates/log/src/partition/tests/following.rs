//! A follower holds what it was told to, through cuts, failures and restarts. A seed determines all
//! of it.

use super::*;
use crate::errors::StoreError;
use crate::testing::Random;

const SEEDS: u64 = 150;
const STEPS: usize = 150;
const EPOCH: LeaderEpoch = LeaderEpoch(1_000);

#[derive(Debug, Default)]
struct Model {
    start: i64,
    high_watermark: i64,
    end: i64,
    /// First offset and epoch; each has two records of one producer, whose sequence is the offset.
    batches: Vec<(i64, i32)>,
}

struct Run {
    node: Node,
    random: Random,
    partition: Partition,
    model: Model,
    failed: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let node = Node::new(seed);
        let partition = partition(&node);
        partition.follow(EPOCH);
        Self {
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            node,
            partition,
            model: Model::default(),
            failed: 0,
        }
    }

    fn below(&mut self, bound: i64) -> i64 {
        let bound = usize::try_from(bound).unwrap();
        i64::try_from(self.random.below(bound)).unwrap()
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..10 => self.replicate(),
            10 | 11 => self.truncate(),
            12 => self.reset(),
            13 => self.delete(),
            14 | 15 => {
                let to = self.below(self.model.end + 2);
                let to = self.boundary(to);
                self.partition.advance_high_watermark(Offset(to));
                let model = &mut self.model;
                model.high_watermark = model.high_watermark.max(to.min(model.end));
            }
            16 => self.restart(),
            17 => self.partition.0.tail.clear(),
            _ => {
                let error = StoreError::failed("test", "memory", &"wanted by the test");
                let faults = self.node.store.inner.faults();
                if self.random.below(2) == 0 {
                    faults.fail_write(error);
                } else {
                    faults.fail_flush(error);
                }
            }
        }
        self.compare();
    }

    /// Whether it was done; what failed changes nothing.
    fn is_done<T>(&mut self, done: &Result<T, AppendError>) -> bool {
        if let Err(error) = done {
            assert!(matches!(error, AppendError::Failed(_)), "{error}");
            self.failed += 1;
        }
        done.is_ok()
    }

    fn boundary(&self, at: i64) -> i64 {
        let holds = |(base, _): &&(i64, i32)| *base < at && at < *base + 2;
        self.model.batches.iter().find(holds).map_or(at, |b| b.0)
    }

    fn replicate(&mut self) {
        let mut new = Vec::new();
        // What was deleted counts too: epochs never fall.
        let latest = self.partition.epochs().last().map_or(1, |e| e.epoch.0);
        let mut epoch = self.model.batches.last().map_or(latest, |b| b.1);
        let mut base = self.model.end;
        for _ in 0..=self.random.below(4) {
            if self.random.below(4) == 0 {
                base += self.below(5);
            }
            epoch += i32::from(self.random.below(5) == 0);
            new.push((base, epoch));
            base += 2;
        }
        let batches = new.iter().map(|&(base, epoch)| {
            let sequence = i32::try_from(base).unwrap();
            stamped(sequence).at(Offset(base), LeaderEpoch(epoch))
        });
        let done = self.node.run(self.partition.replicate(batches.collect()));
        if self.is_done(&done) {
            assert_eq!(done.unwrap(), Offset(base));
            self.model.batches.extend(new);
            self.model.end = base;
        }
    }

    fn truncate(&mut self) {
        let at = (self.model.end - self.below(12)).max(0) + self.below(3);
        let done = self.node.run(self.partition.truncate(Offset(at)));
        if !self.is_done(&done) {
            return;
        }
        let cut = if at < self.model.start {
            at
        } else {
            self.boundary(at).min(self.model.end)
        };
        assert_eq!(done.unwrap(), Offset(cut));
        if cut < self.model.start {
            return self.empty(cut);
        }
        let model = &mut self.model;
        model.batches.retain(|b| b.0 < cut);
        model.end = cut;
        model.high_watermark = model.high_watermark.min(cut);
    }

    fn reset(&mut self) {
        let start = self.below(self.model.end + 20);
        let done = self.node.run(self.partition.reset(Offset(start)));
        if self.is_done(&done) {
            self.empty(start);
        }
    }

    fn empty(&mut self, at: i64) {
        self.model = Model {
            start: at,
            high_watermark: at,
            end: at,
            batches: Vec::new(),
        };
    }

    fn delete(&mut self) {
        let reach = self.model.high_watermark - self.model.start + 1;
        let to = self.model.start + self.below(reach);
        let done = self.node.run(self.partition.delete_before(Offset(to)));
        let done = done.map_err(|error| match error {
            DeleteError::Append(error) => error,
            other @ DeleteError::PastEnd { .. } => panic!("{other}"),
        });
        if self.is_done(&done) {
            self.model.start = to;
            self.model.batches.retain(|b| b.0 + 2 > to);
        }
    }

    fn restart(&mut self) {
        let seed = self.random.below(usize::MAX) as u64;
        self.node = self.node.started_again(seed);
        self.partition = self.node.existing("t");
        // It was led alone for a moment.
        self.model.high_watermark = self.model.end;
        self.partition.follow(EPOCH);
    }

    fn compare(&mut self) {
        let model = &self.model;
        let stable = model.high_watermark;
        let expected = [model.start, stable, model.high_watermark, model.end];
        assert_eq!(marks(&self.partition), expected);
        let fetched = fetch(&self.node, &self.partition, model.start, Upto::LogEnd);
        let held: Vec<_> = model.batches.iter().map(|b| b.0).collect();
        assert_eq!(bases(&fetched), held);
        // A gap at the end may take a fetch of its own.
        let rest = fetch(&self.node, &self.partition, fetched.next.0, Upto::LogEnd);
        assert_eq!((rest.parts.len(), rest.next), (0, Offset(model.end)));
        let Some(&(base, epoch)) = model.batches.last() else {
            return;
        };
        let latest = self.partition.epochs().last().map(|e| e.epoch);
        assert_eq!(latest, Some(LeaderEpoch(epoch)));
        let next = self.partition.next_sequence(ProducerId(9));
        assert_eq!(next.map(|s| i64::from(s.0)), Some(base + 2));
    }
}

#[test]
fn a_follower_holds_what_it_was_told() {
    let mut failed = 0;
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(done.is_ok(), "seed {seed} at step {step}");
        }
        failed += run.failed;
    }
    assert!(failed > 0);
}
