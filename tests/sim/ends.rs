//! Ends and starts of the node, and what must be there then.

use std::collections::BTreeSet;

use wstream_record::{ByteSize, Offset, RecordBatch};

use super::batches::{Shape, numbered};
use super::model::{Kind, Loss, Sent};
use super::run::Run;
use crate::config::Durability;
use crate::partition::Upto;
use crate::sled::sim::SimDisk;
use crate::store::PartitionKey;

/// Jobs after which nothing is left to be done.
const WORK_MAX: usize = 2_000;

impl Run {
    pub(super) fn kill(&mut self) {
        let power = self.profile.cuts && self.random.below(2) == 0;
        let disk = if power {
            self.node.disk.power_cut()
        } else {
            self.node.disk.kill()
        };
        self.restart(disk, power);
    }

    pub(super) fn close(&mut self) {
        self.settle_step();
        if self.node.run(self.node.log.close()).is_none() {
            return;
        }
        self.settle_step();
        self.say(format_args!("closed"));
        let disk = self.node.disk.kill();
        self.restart(disk, false);
    }

    /// Has the node end in the middle of something.
    pub(super) fn arm(&mut self) {
        let power = self.profile.cuts && self.random.below(2) == 0;
        let changes = u32::try_from(self.random.below(60)).unwrap();
        self.say(format_args!("ends after {changes} changes, power {power}"));
        if power && self.profile.durability == Durability::Process {
            self.loss.tail = true;
        }
        self.node.disk.cut_after(changes, power);
    }

    pub(super) fn after_cut(&mut self) {
        let disk = self.node.disk.take_cut().expect("it was cut");
        self.restart(disk, self.loss.tail);
    }

    /// Starts again over what is left, and looks whether all is there.
    pub(super) fn restart(&mut self, disk: SimDisk, power: bool) {
        self.loss.tail |= power && self.profile.durability == Durability::Process;
        for ticket in std::mem::take(&mut self.tickets) {
            let part = &mut self.parts[ticket.part];
            part.doubt.insert(ticket.sent.number, ticket.sent.recs);
            if let Some(n) = ticket.producer {
                part.producers[n].in_flight = false;
            }
        }
        self.listen();
        self.node.disk.take_cut();
        let mut disk = disk;
        // Now and then the start is killed as well.
        while self.random.below(4) == 0 {
            disk.cut_after(u32::try_from(self.random.below(12)).unwrap(), false);
            let seed = self.random.below(usize::MAX) as u64;
            let started = self.node.started_again(seed, disk.clone());
            let Some(cut) = disk.take_cut() else {
                disk = disk.kill();
                continue;
            };
            drop(started);
            self.say(format_args!("the start ends"));
            disk = cut;
        }
        let seed = self.random.below(usize::MAX) as u64;
        let started = self.node.started_again(seed, disk);
        self.node = started.expect("nothing cuts it off");
        self.say(format_args!("started"));
        if self.show {
            println!(
                "{:?} {:?} {:?}",
                self.node.disk.databases(),
                self.node.disk.files(),
                self.node.log.missing()
            );
            for at in 0..self.parts.len() {
                if self.parts[at].alive {
                    println!(
                        "{at} {} {:?}",
                        self.parts[at].name,
                        self.partition(at).marks()
                    );
                }
            }
            for file in self
                .node
                .disk
                .files()
                .iter()
                .filter(|file| file.ends_with("manifest"))
            {
                let bytes = crate::sled::Disk::read(&self.node.disk, file)
                    .unwrap()
                    .unwrap();
                println!("{file} {}", String::from_utf8_lossy(&bytes[4..]));
            }
        }
        self.verify();
    }

    /// Compares everything with what must be there.
    pub(super) fn verify(&mut self) {
        let missing = self.node.log.missing();
        if !self.loss.told && !self.loss.tail {
            assert!(missing.is_empty(), "a false alarm: {missing:?}");
        }
        for at in 0..self.parts.len() {
            if !self.parts[at].alive {
                continue;
            }
            if self.parts[at].kind == Kind::Followed {
                self.verify_followed(at);
                continue;
            }
            let marks = self.partition(at).marks();
            let batches = self.read_all(at, marks.log_start.0);
            let found = self.records(&batches);
            self.listen();
            let loss = Loss {
                told: self.loss.told || self.loss.tail,
                ..self.loss
            };
            let range = (marks.log_start.0, marks.log_end.0);
            self.say(format_args!("{at} has {} in {range:?}", found.len()));
            self.vague += self.parts[at].recover(&found, range, &self.told, loss);
        }
        if self.loss.tail {
            // What was told stays told.
            self.loss.told = true;
        }
        self.loss.tail = false;
    }

    /// All batches from `from` on.
    pub(super) fn read_all(&mut self, at: usize, from: i64) -> Vec<RecordBatch> {
        let partition = self.partition(at);
        let end = partition.marks().log_end;
        let mut next = Offset(from);
        let mut all = Vec::new();
        while next < end {
            let limit = ByteSize(1_000 + self.random.below(500_000) as u64);
            let fetch = partition.fetch(next, limit, Upto::LogEnd, None);
            let fetched = self.node.run(fetch).expect("nothing cuts it off");
            let fetched = fetched.expect("what is there reads");
            assert!(fetched.next > next, "{at}: a reader at {next} gets on");
            next = fetched.next;
            all.extend(fetched.batches().unwrap());
        }
        all
    }

    /// Nothing fails any more: every partition that is led takes batches, at once or after the upkeep.
    pub(super) fn goes_on(&mut self) {
        self.node.log.schedule_upkeep(true);
        self.all_work();
        self.settle_step();
        self.take_starts();
        for at in 0..self.parts.len() {
            if !self.parts[at].alive || self.parts[at].kind == Kind::Followed {
                continue;
            }
            let shape = Shape {
                records: 1,
                bytes: 10,
                keyed: true,
                time: 1,
            };
            self.next_batch += 1;
            let (batch, recs) = numbered(self.next_batch, shape, None, &mut self.random);
            let sent = Sent {
                batch,
                recs,
                number: self.next_batch,
            };
            self.send(at, None, sent);
        }
        self.all_work();
        self.settle_step();
        assert!(self.tickets.is_empty(), "everything is answered");
        let refused = self
            .parts
            .iter()
            .filter(|part| part.alive && part.doubt.contains_key(&self.next_batch));
        assert_eq!(
            refused.count(),
            0,
            "the log goes on: {:?}",
            self.node.log.health()
        );
    }

    /// All that is queued is done; it comes to an end.
    pub(super) fn all_work(&self) {
        for _ in 0..WORK_MAX {
            if !self.node.step() {
                return;
            }
        }
        panic!(
            "the work has no end: {:?} {:?}",
            self.node.log.health(),
            self.node.disk.databases()
        );
    }

    /// All is well again: everything is there, and what was deleted takes no room.
    pub(super) fn finish(&mut self) -> u32 {
        self.node.disk.take_cut();
        self.heal();
        self.goes_on();
        self.kill();
        self.goes_on();
        for all in [true, false, false] {
            self.node.log.schedule_upkeep(all);
            self.all_work();
        }
        self.take_starts();
        self.kill();
        self.node.log.schedule_upkeep(true);
        self.all_work();
        self.take_starts();
        let gone: BTreeSet<PartitionKey> = self
            .parts
            .iter()
            .filter(|p| !p.alive)
            .map(|p| p.key)
            .collect();
        for key in gone {
            assert_eq!(self.node.log.held(key), ByteSize(0), "{key:?} was deleted");
        }
        let health = self.node.log.health();
        assert!(health.is_empty(), "{health:?}");
        let acknowledged = self.acknowledged;
        self.say(format_args!("{acknowledged} acknowledged"));
        self.trace
    }
}
