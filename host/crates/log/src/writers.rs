//! The threads that write: a bounded pool in which each partition is written by one thread at a
//! time, so that flushes of different partitions overlap and those of one are grouped.
//!
//! A partition is queued at most once, which bounds the queue by the number of partitions.
//! Threads are started when there is work for them and end with the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::partition::Core;

/// The pool. Dropping it lets the threads end; `join` waits for them.
#[derive(Debug)]
pub(crate) struct Writers {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    work: Mutex<Work>,
    ready: Condvar,
    threads_max: usize,
}

#[derive(Debug, Default)]
struct Work {
    queue: VecDeque<Arc<Core>>,
    idle: usize,
    stopping: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn new(threads_max: usize) -> Self {
        let pool = Pool {
            work: Mutex::default(),
            ready: Condvar::new(),
            threads_max: threads_max.max(1),
        };
        Self {
            pool: Arc::new(pool),
        }
    }

    /// Has a thread write what `partition` has queued.
    pub(crate) fn schedule(&self, partition: Arc<Core>) {
        let mut work = self.pool.work.lock();
        work.queue.push_back(partition);
        if work.queue.len() > work.idle
            && work.threads.len() < self.pool.threads_max
            && !work.stopping
        {
            let pool = Arc::clone(&self.pool);
            let name = format!("log-writer-{}", work.threads.len());
            let started = std::thread::Builder::new()
                .name(name)
                .spawn(move || pool.run());
            match started {
                Ok(thread) => work.threads.push(thread),
                // Another thread takes the work, or the one that the next call starts.
                Err(error) => tracing::error!(%error, "could not start a log writer"),
            }
            return;
        }
        drop(work);
        self.pool.ready.notify_one();
    }

    /// Waits until everything queued is written and the threads have ended. Blocks.
    pub(crate) fn join(&self) {
        let threads = {
            let mut work = self.pool.work.lock();
            work.stopping = true;
            std::mem::take(&mut work.threads)
        };
        self.pool.ready.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a log writer panicked");
            }
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.pool.work.lock().stopping = true;
        self.pool.ready.notify_all();
    }
}

impl Pool {
    fn run(&self) {
        let mut work = self.work.lock();
        loop {
            if let Some(partition) = work.queue.pop_front() {
                drop(work);
                let more = partition.commit_queued().then_some(partition);
                work = self.work.lock();
                work.queue.extend(more);
            } else if work.stopping {
                return;
            } else {
                work.idle += 1;
                self.ready.wait(&mut work);
                work.idle -= 1;
            }
        }
    }
}
