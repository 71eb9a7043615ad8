//! What a seed has happen to a node.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wstream_record::{ProducerEpoch, ProducerId, ProducerStamp, Sequence};

use super::batches::{Shape, numbered};
use super::model::{Kind, Loss, Part, Producer, Sent};
use super::node::{Settings, SimNode};
use crate::config::Durability;
use crate::errors::AppendError;
use crate::partition::{AppendTicket, Partition};
use crate::store::Missing;
use crate::testing::Random;

/// Batches on their way at one time.
const TICKETS_MAX: usize = 40;

/// What a seed may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) durability: Durability,
    /// Writes fail.
    pub(super) faults: bool,
    /// The power fails.
    pub(super) cuts: bool,
    /// Files are damaged.
    pub(super) damage: bool,
}

/// A batch on its way.
pub(super) struct Ticket {
    pub(super) part: usize,
    pub(super) producer: Option<usize>,
    pub(super) sent: Sent,
    pub(super) ticket: AppendTicket,
}

pub(super) struct Run {
    pub(super) node: SimNode,
    pub(super) random: Random,
    pub(super) profile: Profile,
    pub(super) parts: Vec<Part>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) next_batch: u64,
    pub(super) next_producer: i64,
    /// What was lost since the last start, and what stays lost.
    pub(super) loss: Loss,
    /// All that was told to be missing at any time.
    pub(super) told: Vec<Missing>,
    pub(super) vague: usize,
    pub(super) acknowledged: usize,
    pub(super) trace: u32,
    pub(super) show: bool,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let durability = [Durability::Process, Durability::Disk][random.below(2)];
        let damage = random.below(4) == 0;
        let profile = Profile {
            durability,
            faults: random.below(2) == 0,
            cuts: durability == Durability::Disk || (!damage && random.below(2) == 0),
            damage,
        };
        let settings = Settings::any(&mut random, durability);
        let mut run = Self {
            node: SimNode::new(seed, settings),
            random,
            profile,
            parts: Vec::new(),
            tickets: Vec::new(),
            next_batch: 0,
            next_producer: 100,
            loss: Loss::default(),
            told: Vec::new(),
            vague: 0,
            acknowledged: 0,
            trace: 0,
            show: std::env::var_os("WSTREAM_SIM_TRACE").is_some(),
        };
        run.say(format_args!("{profile:?}"));
        run.create();
        run
    }

    /// Takes note of what happened.
    pub(super) fn say(&mut self, what: fmt::Arguments<'_>) {
        let text = what.to_string();
        self.trace = crc32c::crc32c_append(self.trace, text.as_bytes());
        if self.show {
            println!("{text}");
        }
    }

    pub(super) fn below(&mut self, bound: i64) -> i64 {
        let bound = usize::try_from(bound.max(1)).unwrap();
        i64::try_from(self.random.below(bound)).unwrap()
    }

    pub(super) fn step(&mut self) {
        match self.random.below(100) {
            0..35 => self.submit(),
            35..55 => self.work(),
            55..62 => self.look(),
            62..66 => self.look_for_time(),
            66..69 => self.delete_before(),
            69..78 => self.follow(),
            78..80 => self.create(),
            80 => self.delete_topic(),
            81..84 => self.pass_time(),
            84..88 => self.upkeep(),
            88..90 => self.send_again(),
            90..94 => self.fail_something(),
            94 => self.damage_something(),
            95 => self.arm(),
            96..98 => self.kill(),
            98 => self.close(),
            _ => self.change_topic(),
        }
        self.settle_step();
    }

    /// Hears what became of the batches, or that the node has ended.
    pub(super) fn settle_step(&mut self) {
        if self.node.is_cut() {
            self.after_cut();
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        for mut ticket in std::mem::take(&mut self.tickets) {
            match Pin::new(&mut ticket.ticket).poll(&mut cx) {
                Poll::Pending => self.tickets.push(ticket),
                Poll::Ready(answer) => self.answered(&ticket, answer),
            }
        }
    }

    pub(super) fn answered(
        &mut self,
        ticket: &Ticket,
        answer: Result<crate::partition::Appended, AppendError>,
    ) {
        self.say(format_args!(
            "{} of {}: {answer:?}",
            ticket.sent.number, ticket.part
        ));
        let part = &mut self.parts[ticket.part];
        if !part.alive {
            return;
        }
        let producer = ticket.producer.map(|n| &mut part.producers[n]);
        match answer {
            Ok(appended) => {
                let base = appended.base_offset.0;
                if let Some(producer) = producer {
                    producer.sequence += i32::try_from(ticket.sent.recs.len()).unwrap();
                    producer.pending = None;
                    producer.in_flight = false;
                    producer.last = Some((ticket.sent.clone(), base));
                }
                if appended.duplicate {
                    let place = part.place_of(ticket.sent.number);
                    // It was stored before a kill, and the start was raised above it, both unheard of.
                    let next = base + i64::try_from(ticket.sent.recs.len()).unwrap();
                    let is_below = place.is_none() && next <= part.start;
                    assert!(
                        place == Some(base) || is_below || part.lossy || self.loss.told,
                        "{}: {place:?} {base}",
                        part.name
                    );
                    return;
                }
                part.acknowledged(base, &ticket.sent);
                self.acknowledged += 1;
            }
            Err(error) => {
                let recs = ticket.sent.recs.clone();
                part.doubt.insert(ticket.sent.number, recs);
                let Some(producer) = producer else {
                    check_refusal(&error);
                    return;
                };
                producer.in_flight = false;
                if let AppendError::OutOfOrderSequence { .. } = error {
                    assert!(part.lossy || self.loss.told, "{}: {error}", part.name);
                    // It begins anew.
                    *producer = new_producer(&mut self.next_producer);
                } else {
                    check_refusal(&error);
                }
            }
        }
    }

    /// A partition that is there and is of such a kind.
    pub(super) fn some_part(&mut self, fits: impl Fn(Kind) -> bool) -> Option<usize> {
        let all = self.parts.iter().enumerate();
        let all: Vec<usize> = all
            .filter(|(_, p)| p.alive && fits(p.kind))
            .map(|(n, _)| n)
            .collect();
        (!all.is_empty()).then(|| all[self.random.below(all.len())])
    }

    pub(super) fn partition(&self, at: usize) -> Partition {
        let name = &self.parts[at].name;
        self.node.log.partition(name).expect("it was created")
    }

    pub(super) fn submit(&mut self) {
        for _ in 0..=self.random.below(4) {
            if self.tickets.len() < TICKETS_MAX {
                self.submit_one();
            }
        }
    }

    pub(super) fn submit_one(&mut self) {
        let Some(at) = self.some_part(|kind| kind != Kind::Followed) else {
            return;
        };
        let now = self.node.now();
        let keyed = self.parts[at].kind == Kind::Compacted;
        let producer = [None, Some(0), Some(1)][self.random.below(3)];
        let producer = producer.filter(|&n| !self.parts[at].producers[n].in_flight);
        let known = producer.and_then(|n| self.parts[at].producers[n].pending.clone());
        let sent = known.unwrap_or_else(|| {
            let stamp = producer.map(|n| stamp_of(&self.parts[at].producers[n]));
            let shape = Shape::any(&mut self.random, keyed, now);
            self.next_batch += 1;
            let (batch, recs) = numbered(self.next_batch, shape, stamp, &mut self.random);
            let number = self.next_batch;
            Sent {
                batch,
                number,
                recs,
            }
        });
        self.send(at, producer, sent);
    }

    /// Submits, unless it would have to wait for room.
    pub(super) fn send(&mut self, at: usize, producer: Option<usize>, sent: Sent) {
        let partition = self.partition(at);
        let submitted = self.node.poll(partition.submit(sent.batch.clone()));
        let bytes = sent.batch.bytes().len();
        match submitted {
            None => self.say(format_args!("{} waits", sent.number)),
            Some(Err(error)) => {
                self.say(format_args!("{} is refused: {error}", sent.number));
                check_refusal(&error);
            }
            Some(Ok(ticket)) => {
                self.say(format_args!("{} to {at}, {bytes} bytes", sent.number));
                if let Some(n) = producer {
                    let producer = &mut self.parts[at].producers[n];
                    producer.pending = Some(sent.clone());
                    producer.in_flight = true;
                }
                let ticket = Ticket {
                    part: at,
                    producer,
                    sent,
                    ticket,
                };
                self.tickets.push(ticket);
            }
        }
    }

    /// A producer that heard nothing sends what was acknowledged once more.
    pub(super) fn send_again(&mut self) {
        // Nothing else is on its way.
        while self.node.pool_step() {
            self.settle_step();
        }
        let Some(at) = self.some_part(|kind| kind != Kind::Followed) else {
            return;
        };
        let producer = &self.parts[at].producers[self.random.below(2)];
        let busy = producer.in_flight || producer.pending.is_some();
        let Some((sent, base)) = producer.last.clone().filter(|_| !busy) else {
            return;
        };
        let partition = self.partition(at);
        let Some(answer) = self.node.run(partition.append(sent.batch)) else {
            return;
        };
        self.say(format_args!("{} again: {answer:?}", sent.number));
        let part = &mut self.parts[at];
        match answer {
            Ok(said) if (part.lossy || self.loss.told) && !said.duplicate => {
                // Nobody knows of the first one any more.
                let known = part
                    .history
                    .range(said.base_offset.0..said.next_offset.0)
                    .count();
                assert_eq!(known, 0, "{}", part.name);
                part.records
                    .extend((said.base_offset.0..).zip(sent.recs.iter().copied()));
                part.history
                    .extend((said.base_offset.0..).zip(sent.recs.iter().copied()));
                part.end = said.next_offset.0;
            }
            Ok(said) => {
                assert!(said.duplicate, "{}: {said:?} is at {base}", part.name);
                let same = said.base_offset.0 == base;
                assert!(same || self.loss.told, "{}", part.name);
            }
            Err(AppendError::OutOfOrderSequence { .. }) if part.lossy || self.loss.told => {}
            Err(error) => check_refusal(&error),
        }
    }

    /// Some of what is queued is done.
    pub(super) fn work(&mut self) {
        for _ in 0..=self.random.below(3) {
            let stepped = self.node.pool_step();
            self.say(format_args!("pool {stepped}"));
            self.settle_step();
        }
    }

    pub(super) fn upkeep(&mut self) {
        let all = self.random.below(2) == 0;
        self.node.log.schedule_upkeep(all);
        for _ in 0..=self.random.below(8) {
            let stepped = self.node.background_step();
            self.say(format_args!("upkeep {all} {stepped}"));
            if self.node.is_cut() {
                return;
            }
        }
        self.take_starts();
    }

    /// Retention may have raised starts.
    pub(super) fn take_starts(&mut self) {
        while self.node.pool_step() {
            self.settle_step();
        }
        if self.node.is_cut() {
            return;
        }
        for at in 0..self.parts.len() {
            if self.parts[at].alive && self.parts[at].kind == Kind::Retained {
                let start = self.partition(at).marks().log_start.0;
                assert!(start >= self.parts[at].start, "starts only rise");
                self.parts[at].raise_start(start);
                self.say(format_args!("{at} starts at {start}"));
            }
        }
    }

    pub(super) fn pass_time(&mut self) {
        let seconds = [1, 30, 700, 4_000][self.random.below(4)];
        self.node.time.advance(Duration::from_secs(seconds));
        self.say(format_args!("{seconds} s pass"));
    }
}

fn stamp_of(producer: &Producer) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId(producer.id),
        epoch: ProducerEpoch(0),
        sequence: Sequence(producer.sequence),
    }
}

fn new_producer(next: &mut i64) -> Producer {
    *next += 2;
    Producer {
        id: *next,
        sequence: 0,
        pending: None,
        in_flight: false,
        last: None,
    }
}

/// What a batch may be refused with.
pub(super) fn check_refusal(error: &AppendError) {
    assert!(
        matches!(
            error,
            AppendError::Failed(_)
                | AppendError::DiskFull { .. }
                | AppendError::Offline { .. }
                | AppendError::Closed
        ),
        "{error}"
    );
}
