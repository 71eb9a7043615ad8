//! Waits for something new in any of many partitions at once.
//!
//! A watch is left with each partition and taken out when it rings, which it does once: when what
//! its reader may see ends behind the offset it waits at, and whenever a fetch there would answer
//! something else than before: the partition closed, changed its role, lost the offset at either
//! end. Watching costs a lock and a compare.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wstream_record::{Offset, TopicPartition};

use super::fetch::Upto;
use super::{Core, Partition, State};

/// Waits for many partitions. Watches as many as its owner asks for; each is watched once.
#[derive(Default)]
pub struct Waiter {
    bell: Arc<Bell>,
    /// By number; `None` is free.
    watched: Vec<Option<Arc<Core>>>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Bell {
    /// Numbers of the watches that rang, at most one for each.
    rung: Mutex<Vec<usize>>,
    notify: Notify,
}

/// A watch that is left with a partition.
#[derive(Debug)]
pub(super) struct Watch {
    bell: Arc<Bell>,
    number: usize,
    from: Offset,
    upto: Upto,
}

impl Waiter {
    /// Watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches `partition` from now on, until something below the end that `upto` names is at or
    /// above `from`. `wait` answers it at once if that is so already.
    pub fn watch(&mut self, partition: &Partition, from: Offset, upto: Upto) {
        let core = Arc::clone(&partition.0);
        let number = self.free.pop().unwrap_or(self.watched.len());
        let mut state = core.state.lock();
        if state.is_ready(from, upto) {
            drop(state);
            self.bell.rung.lock().push(number);
        } else {
            state.watches.push(Watch {
                bell: Arc::clone(&self.bell),
                number,
                from,
                upto,
            });
            drop(state);
        }
        match self.watched.get_mut(number) {
            Some(place) => *place = Some(core),
            None => self.watched.push(Some(core)),
        }
    }

    /// The partitions that are ready, at least one; waits for it. They are not watched any more.
    /// May be dropped at any time.
    pub async fn wait(&mut self) -> Vec<TopicPartition> {
        loop {
            let rung = std::mem::take(&mut *self.bell.rung.lock());
            if !rung.is_empty() {
                return rung.into_iter().filter_map(|n| self.take(n)).collect();
            }
            self.bell.notify.notified().await;
        }
    }

    fn take(&mut self, number: usize) -> Option<TopicPartition> {
        let core = self.watched.get_mut(number)?.take()?;
        self.free.push(number);
        Some(core.name.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for core in self.watched.drain(..).flatten() {
            let mut state = core.state.lock();
            state.watches.retain(|w| !Arc::ptr_eq(&w.bell, &self.bell));
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("watched", &(self.watched.len() - self.free.len()))
            .finish_non_exhaustive()
    }
}

/// Rings all of `watches`. Held locks must be dropped before.
pub(super) fn ring(watches: Vec<Watch>) {
    for watch in watches {
        watch.bell.rung.lock().push(watch.number);
        watch.bell.notify.notify_one();
    }
}

impl State {
    fn is_ready(&self, from: Offset, upto: Upto) -> bool {
        self.closed || from < self.log_start || from > self.log_end || from < self.end_for(upto)
    }

    /// Takes the watches out that are to ring.
    pub(super) fn take_ready_watches(&mut self) -> Vec<Watch> {
        if self.watches.is_empty() {
            return Vec::new();
        }
        let watches = std::mem::take(&mut self.watches);
        let ready = |w: &Watch| self.is_ready(w.from, w.upto);
        let (ready, waiting) = watches.into_iter().partition(ready);
        self.watches = waiting;
        ready
    }
}
