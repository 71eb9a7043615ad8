//! Nothing waits for sled longer than a limit: what may never come back runs on a thread that is
//! left behind then.
//!
//! sled waits without end for one of its threads that panicked, and the system for a device that
//! does not answer. So each database has a `Helper`: one thread, from its opening to its closing,
//! which takes one piece of work at a time. The caller waits for it up to the limit; after that the
//! thread is not waited for any more and keeps what it holds: the lock of the database's file too.
//! Such a database is *given up*, which is remembered by its directory until that is removed.
//! A helper that comes back after all drops what it made, and ends.

#[cfg(test)]
mod hangs;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wstream_record::Clock;

#[cfg(test)]
pub(crate) use self::hangs::{Hangs, Latch};
use crate::sled::Done;

/// How long a database may take for one thing, unless the disk is told otherwise.
pub(super) const WAIT_MAX_DEFAULT: Duration = Duration::from_secs(30);

/// What is done to a database that may never come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Open,
    Flush,
    Sync,
    Close,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Flush => "flush",
            Self::Sync => "sync",
            Self::Close => "close",
        }
    }
}

/// Why work did not give an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Panicked,
    /// The helper was left behind, now or earlier.
    LeftBehind,
}

/// The limit of a disk, and what exceeded it. Clones share that.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    wait_max: Duration,
    /// Directories of databases; as many as are there at most.
    given_up: Arc<Mutex<BTreeSet<PathBuf>>>,
    #[cfg(test)]
    pub(super) hangs: Hangs,
}

impl Limit {
    pub(super) fn new(wait_max: Duration) -> Self {
        Self {
            wait_max,
            given_up: Arc::default(),
            #[cfg(test)]
            hangs: Hangs::default(),
        }
    }

    /// The same, with another limit.
    pub(super) fn with_max(mut self, wait_max: Duration) -> Self {
        self.wait_max = wait_max;
        self
    }

    pub(super) fn give_up(&self, dir: &Path) {
        self.given_up.lock().insert(dir.to_owned());
    }

    pub(super) fn is_given_up(&self, dir: &Path) -> bool {
        self.given_up.lock().contains(dir)
    }

    /// A directory, with all below it, was removed.
    pub(super) fn forget(&self, dir: &Path) {
        self.given_up.lock().retain(|other| !other.starts_with(dir));
    }

    /// Why what exceeded it failed.
    pub(super) fn reason(&self, lost: Lost) -> String {
        match lost {
            Lost::Panicked => "sled panicked".to_owned(),
            Lost::LeftBehind => format!("it took more than {:?} and was given up", self.wait_max),
        }
    }
}

type Answer = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce() -> Answer + Send>;

/// Where the one piece of work is.
enum Slot {
    Idle,
    Asked(Work, Option<Done>),
    AtWork,
    Done(Answer),
    /// Nobody waits, nothing more is asked. The thread still has to drop what it did not begin.
    Left(Option<Work>),
}

/// A thread that works for one database. It ends when this is dropped.
pub(super) struct Helper {
    shared: Arc<Shared>,
    limit: Limit,
}

struct Shared {
    slot: Mutex<Slot>,
    asked: Condvar,
    done: Condvar,
}

impl Helper {
    pub(super) fn start(limit: Limit) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            slot: Mutex::new(Slot::Idle),
            asked: Condvar::new(),
            done: Condvar::new(),
        });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("log-database".to_owned());
        // It is never joined: it may not come back.
        thread.spawn(move || its.run())?;
        Ok(Self { shared, limit })
    }

    /// Does something on the helper's thread, which also drops what `work` holds.
    pub(super) fn run<T: Send + 'static>(
        &self,
        step: Step,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let asked = self.begin(step, work, None)?;
        self.wait(asked)
    }

    /// Has the helper begin something, for which `wait` must be called before anything else is asked.
    /// `done` is called on the helper's thread once there is an answer.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        step: Step,
        work: impl FnOnce() -> T + Send + 'static,
        done: Option<Done>,
    ) -> Result<Asked, Lost> {
        let work: Work = Box::new(move || Box::new(catch(work)));
        #[cfg(test)]
        let (work, wait_max) = self.limit.hangs.begin(step, work, self.limit.wait_max);
        #[cfg(not(test))]
        let wait_max = {
            let _ = step;
            self.limit.wait_max
        };
        let mut slot = self.shared.slot.lock();
        if !matches!(*slot, Slot::Idle) {
            return Err(Lost::LeftBehind);
        }
        *slot = Slot::Asked(work, done);
        self.shared.asked.notify_one();
        Ok(Asked {
            since: Clock::system(),
            wait_max,
        })
    }

    /// Waits for what was begun, up to the limit from its beginning on.
    pub(super) fn wait<T: 'static>(&self, asked: Asked) -> Result<T, Lost> {
        let left = asked.wait_max.saturating_sub(asked.since.monotonic());
        let answer = self.answer(left)?;
        let answer = answer.downcast::<Result<T, Lost>>();
        *answer.expect("the answer is that of this work")
    }

    fn answer(&self, wait_max: Duration) -> Result<Answer, Lost> {
        let shared = &*self.shared;
        let mut slot = shared.slot.lock();
        let is_waiting = |slot: &mut Slot| matches!(slot, Slot::Asked(..) | Slot::AtWork);
        let waited = shared.done.wait_while_for(&mut slot, is_waiting, wait_max);
        if waited.timed_out() && is_waiting(&mut slot) {
            let left = std::mem::replace(&mut *slot, Slot::Left(None));
            if let Slot::Asked(work, _) = left {
                *slot = Slot::Left(Some(work));
            }
            return Err(Lost::LeftBehind);
        }
        match std::mem::replace(&mut *slot, Slot::Idle) {
            Slot::Done(answer) => Ok(answer),
            other => {
                *slot = other;
                Err(Lost::LeftBehind)
            }
        }
    }
}

/// What a helper has begun.
#[derive(Debug)]
#[must_use]
pub(super) struct Asked {
    since: Clock,
    wait_max: Duration,
}

impl Drop for Helper {
    fn drop(&mut self) {
        let mut slot = self.shared.slot.lock();
        if matches!(*slot, Slot::Idle) {
            *slot = Slot::Left(None);
        }
        self.shared.asked.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        while let Some((work, done)) = self.next() {
            let answer = work();
            let mut slot = self.slot.lock();
            if matches!(*slot, Slot::Left(_)) {
                drop(slot);
                // It may hang again, here.
                catch(|| drop(answer)).ok();
                return;
            }
            *slot = Slot::Done(answer);
            drop(slot);
            self.done.notify_one();
            if let Some(done) = done {
                done();
            }
        }
    }

    fn next(&self) -> Option<(Work, Option<Done>)> {
        let mut slot = self.slot.lock();
        loop {
            match std::mem::replace(&mut *slot, Slot::AtWork) {
                Slot::Asked(work, done) => return Some((work, done)),
                Slot::Left(work) => {
                    *slot = Slot::Left(None);
                    drop(slot);
                    // It may hang, here.
                    catch(|| drop(work)).ok();
                    return None;
                }
                other => *slot = other,
            }
            self.asked.wait(&mut slot);
        }
    }
}

fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Lost> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_panic| Lost::Panicked)
}

/// Drops on a thread of its own what may hang, without waiting; leaks it if there is no thread.
pub(super) fn drop_apart<T: Send + 'static>(held: T) {
    let held = std::mem::ManuallyDrop::new(held);
    let thread = std::thread::Builder::new().name("log-given-up".to_owned());
    let started = thread.spawn(move || {
        let held = std::mem::ManuallyDrop::into_inner(held);
        catch(|| drop(held)).ok();
    });
    if let Err(error) = started {
        tracing::warn!(%error, "a database that was given up stays in memory");
    }
}
