//! Does what an append need not wait for, on a thread of its own: seals segments that rolled, and
//! closes databases, which waits for the device.
//!
//! Jobs are done in the order they came. A few may wait; who brings one more does it himself, so
//! that nothing piles up. `settle` waits for all that came before it. The end of the process may
//! cut a job off: a start does what is missing.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Jobs that wait. Each may hold a database, with all that went through it in memory.
const JOBS_MAX: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// The thread, which the first job starts. Dropping it waits for all jobs.
#[derive(Debug, Default)]
pub(super) struct Background {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Jobs that were ever brought, and those of them that are done.
    brought: u64,
    done: u64,
    stopping: bool,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Background {
    /// Has `job` done.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let has_thread = self.start();
        let mut jobs = self.shared.jobs.lock();
        if has_thread && jobs.waiting.len() < JOBS_MAX {
            jobs.waiting.push_back(Box::new(job));
            jobs.brought += 1;
            drop(jobs);
            self.shared.changed.notify_all();
        } else {
            drop(jobs);
            job();
        }
    }

    /// Waits until all jobs that were brought before are done.
    pub(super) fn settle(&self) {
        let mut jobs = self.shared.jobs.lock();
        let wanted = jobs.brought;
        while jobs.done < wanted {
            self.shared.changed.wait(&mut jobs);
        }
    }

    fn start(&self) -> bool {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let named = std::thread::Builder::new().name("log-background".to_owned());
            match named.spawn(move || shared.work()) {
                Ok(started) => *thread = Some(started),
                Err(error) => tracing::error!(%error, "could not start the log's background"),
            }
        }
        thread.is_some()
    }
}

impl Shared {
    fn work(&self) {
        let mut jobs = self.jobs.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                drop(jobs);
                // sled panics where a file it closes cannot be synced.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job of the log's background panicked");
                }
                jobs = self.jobs.lock();
                jobs.done += 1;
                self.changed.notify_all();
            } else if jobs.stopping {
                return;
            } else {
                self.changed.wait(&mut jobs);
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.jobs.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log's background panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn jobs_are_done_in_order_and_waited_for() {
        let background = Background::default();
        let done = Arc::new(Mutex::new(Vec::new()));
        let (go, wait) = sync_channel::<()>(1);
        background.run(move || wait.recv().unwrap());
        for n in 0..JOBS_MAX - 1 {
            let done = Arc::clone(&done);
            background.run(move || done.lock().push(n));
        }
        assert_eq!(*done.lock(), [] as [usize; 0]);
        go.send(()).unwrap();
        background.settle();
        assert!(done.lock().iter().copied().eq(0..JOBS_MAX - 1));
        background.run(|| panic!("it is caught"));
        let last = Arc::clone(&done);
        background.run(move || last.lock().push(100));
        drop(background);
        assert_eq!(done.lock().last(), Some(&100));
    }

    #[test]
    fn who_finds_no_room_does_the_job_himself() {
        let background = Background::default();
        let (begun, begins) = sync_channel::<()>(1);
        let (go, wait) = sync_channel::<()>(1);
        background.run(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        });
        begins.recv().unwrap();
        (0..JOBS_MAX).for_each(|_| background.run(|| {}));
        let (tell, told) = sync_channel(1);
        background.run(move || tell.send(std::thread::current().id()).unwrap());
        assert_eq!(told.recv().unwrap(), std::thread::current().id());
        go.send(()).unwrap();
    }
}
