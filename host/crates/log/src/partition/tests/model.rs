//! What is acknowledged is there, whatever fails and however often the node is started again; what
//! is refused is not. A seed determines all of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::LogConfig;
use crate::errors::{ReadError, StoreError};
use crate::testing::Random;

const SEEDS: u64 = 100;
const STEPS: usize = 300;
const PARTITIONS: usize = 4;

/// What a partition must hold.
#[derive(Debug, Default)]
struct Model {
    start: i64,
    end: i64,
    /// First offset and number of records.
    batches: Vec<(i64, usize)>,
}

struct Run {
    node: Node,
    random: Random,
    partitions: Vec<Partition>,
    models: Vec<Model>,
    tickets: Vec<(usize, usize, AppendTicket)>,
    acknowledged: usize,
    refused: usize,
}

fn topics(node: &Node) -> Vec<Partition> {
    (0..PARTITIONS)
        .map(|n| node.existing(&format!("t{n}")))
        .collect()
}

impl Run {
    fn new(seed: u64) -> Self {
        let config = LogConfig {
            streams: 2,
            tail_bytes_max: ByteSize(2_000),
            queue_partition_bytes_max: ByteSize(4_000),
            ..LogConfig::default()
        };
        let node = Node::with(seed, config);
        for n in 0..PARTITIONS {
            node.partition(&format!("t{n}"), TopicSpec::default());
        }
        Self {
            partitions: topics(&node),
            node,
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            models: (0..PARTITIONS).map(|_| Model::default()).collect(),
            tickets: Vec::new(),
            acknowledged: 0,
            refused: 0,
        }
    }

    fn step(&mut self) {
        let at = self.random.below(PARTITIONS);
        match self.random.below(20) {
            0..10 => self.submit(at),
            10..13 => {
                self.node.pool.step();
            }
            13 => {
                let error = StoreError::failed("test", "memory", &"wanted by the test");
                self.node.store.inner.faults().fail_write(error);
            }
            14 => {
                let error = StoreError::failed("test", "memory", &"wanted by the test");
                self.node.store.inner.faults().fail_flush(error);
            }
            15 => self.delete(at),
            16 if self.random.below(4) == 0 => return self.restart(),
            _ => self.compare(at),
        }
        self.poll();
    }

    /// Submits, unless it would have to wait for room.
    fn submit(&mut self, at: usize) {
        let count = 1 + self.random.below(5);
        let batch = batch_of(count, 1 + self.random.below(300), None);
        let mut submit = std::pin::pin!(self.partitions[at].submit(batch));
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(ticket) = submit.as_mut().poll(&mut cx) {
            self.tickets.push((at, count, ticket.unwrap()));
        }
    }

    /// Hears what became of the batches.
    fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting = Vec::new();
        for (at, count, mut ticket) in self.tickets.drain(..) {
            match Pin::new(&mut ticket).poll(&mut cx) {
                Poll::Pending => waiting.push((at, count, ticket)),
                Poll::Ready(Err(error)) => {
                    assert!(matches!(error, AppendError::Failed(_)), "{error}");
                    self.refused += 1;
                }
                Poll::Ready(Ok(appended)) => {
                    let model = &mut self.models[at];
                    assert_eq!(appended.base_offset.0, model.end);
                    model.batches.push((model.end, count));
                    model.end = appended.next_offset.0;
                    self.acknowledged += 1;
                }
            }
        }
        self.tickets = waiting;
    }

    fn delete(&mut self, at: usize) {
        let model = &self.models[at];
        let reach = usize::try_from(model.end - model.start).unwrap() + 2;
        let to = model.start + i64::try_from(self.random.below(reach)).unwrap();
        let deleted = self.node.run(self.partitions[at].delete_before(Offset(to)));
        self.poll();
        let model = &mut self.models[at];
        match deleted {
            Ok(start) => {
                assert_eq!(start.0, to);
                model.start = to;
            }
            Err(DeleteError::PastEnd { .. }) => assert!(to > model.start),
            Err(DeleteError::Append(error)) => assert!(matches!(error, AppendError::Failed(_))),
        }
    }

    fn compare(&mut self, at: usize) {
        let (model, partition) = (&self.models[at], &self.partitions[at]);
        let expected = [model.start, model.end, model.end, model.end];
        assert_eq!(marks(partition), expected);
        let reach = usize::try_from(model.end - model.start).unwrap() + 1;
        let from = model.start + i64::try_from(self.random.below(reach)).unwrap();
        let limit = ByteSize(self.random.below(3_000) as u64);
        let fetch = partition.fetch(Offset(from), limit, Upto::HighWatermark, None);
        let fetched = self.node.run(fetch).unwrap();
        let read = bases(&fetched);
        let wanted = model.batches.iter();
        let wanted = wanted.filter(|(base, count)| base + (*count as i64) > from);
        let wanted: Vec<_> = wanted.map(|(base, _)| *base).take(read.len()).collect();
        assert_eq!(read, wanted);
        assert_eq!(read.is_empty(), from == model.end);
        if model.start > 0 {
            let below = Offset(model.start - 1);
            let trimmed = self
                .node
                .run(partition.fetch(below, ALL, Upto::LogEnd, None));
            assert!(matches!(trimmed, Err(ReadError::Trimmed { .. })));
        }
    }

    fn restart(&mut self) {
        self.tickets.clear();
        let seed = self.random.below(usize::MAX) as u64;
        self.node = self.node.started_again(seed);
        self.partitions = topics(&self.node);
        for at in 0..PARTITIONS {
            self.compare(at);
        }
    }
}

#[test]
fn what_is_acknowledged_is_there() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(done.is_ok(), "seed {seed} at step {step}");
        }
        assert!(run.acknowledged > 20, "seed {seed}: {}", run.acknowledged);
        assert!(run.refused > 0, "seed {seed}");
    }
}
