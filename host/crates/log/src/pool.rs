//! Runs jobs: on threads, or inline in an order that a seed determines.
//!
//! A job is queued at most once, which bounds the queue by the number of jobs, and runs on one
//! thread at a time. One that is scheduled while it runs is run once more. A job that panics is
//! counted and runs again when it is next scheduled; the thread goes on.
//! In the seeded form nothing runs by itself: `step` runs one job, `blocking` runs at once, so that
//! whoever drives the pool decides all that happens.
//! It knows no time: what is to happen now and then is scheduled by a `Ticker`.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Semaphore;

#[cfg(test)]
use crate::testing::Random;

/// How far threads in the background stand back: a tenth of the processor time of one that does not.
const BACKGROUND_NICE: i32 = 10;

/// Whether a job has more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Yes,
    No,
}

/// Something that is done whenever it is scheduled.
pub(crate) trait Job: fmt::Debug + Send + Sync {
    /// What it is, for messages.
    fn name(&self) -> &'static str;
    /// Where it stands: a field of the job that only pools change.
    fn state(&self) -> &JobState;
    /// Does it.
    fn run(&self) -> Again;
}

/// Where a job stands with its pool.
#[derive(Debug, Default)]
pub(crate) struct JobState(AtomicU8);

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// It runs, and was scheduled meanwhile.
const WANTED: u8 = 3;

/// The pool; cheap to clone. Dropping the last handle lets the threads end.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
    /// Blocking calls that may be at work at one time.
    blocking: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    form: Form,
    work: Mutex<Work>,
    ready: Condvar,
    panics: AtomicU64,
}

#[derive(Debug)]
enum Form {
    Threads {
        max: usize,
        /// Whether they give way to all others.
        yields: bool,
    },
    #[cfg(test)]
    Seeded(Mutex<Random>),
}

#[derive(Debug, Default)]
struct Work {
    queue: VecDeque<Arc<dyn Job>>,
    idle: usize,
    /// The threads end once the queue is empty.
    stopping: bool,
    /// Nothing is queued any more.
    abandoned: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Up to `threads_max` threads, which are started when there is work for them, and up to
    /// `blocking_max` blocking calls at one time.
    pub(crate) fn threads(name: &'static str, threads_max: usize, blocking_max: usize) -> Self {
        let max = threads_max.max(1);
        Self::new(name, Form::Threads { max, yields: false }, blocking_max)
    }

    /// One thread, which leaves the processors to all others as far as the system lets it.
    pub(crate) fn background(name: &'static str) -> Self {
        Self::new(
            name,
            Form::Threads {
                max: 1,
                yields: true,
            },
            1,
        )
    }

    /// No threads: see `step`.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::new("seeded", Form::Seeded(Mutex::new(Random::new(seed))), 1)
    }

    fn new(name: &'static str, form: Form, blocking_max: usize) -> Self {
        let inner = Inner {
            name,
            form,
            work: Mutex::default(),
            ready: Condvar::new(),
            panics: AtomicU64::new(0),
        };
        Self(Arc::new(Handle {
            inner: Arc::new(inner),
            blocking: Arc::new(Semaphore::new(blocking_max.max(1))),
        }))
    }

    /// Has `job` run, at least once from now on.
    pub(crate) fn schedule<J: Job + 'static>(&self, job: &Arc<J>) {
        if job.state().want() {
            self.0.inner.push(Arc::<J>::clone(job));
        }
    }

    /// Runs what blocks; `None` when the runtime is ending, or `work` panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self.0.inner.form {
            Form::Threads { .. } => {
                let slot = Arc::clone(&self.0.blocking).acquire_owned().await.ok()?;
                // The slot is taken until the work is done, whether the caller waits for it or not.
                let work = move || {
                    let done = work();
                    drop(slot);
                    done
                };
                match tokio::task::spawn_blocking(work).await {
                    Ok(done) => Some(done),
                    Err(error) => {
                        if error.is_panic() {
                            self.0.inner.count_panic("a blocking call");
                        }
                        None
                    }
                }
            }
            #[cfg(test)]
            Form::Seeded(_) => Some(work()),
        }
    }

    /// Runs one of the queued jobs; `false` if there is none. In the seeded form only.
    #[cfg(test)]
    pub(crate) fn step(&self) -> bool {
        let inner = &self.0.inner;
        let Form::Seeded(random) = &inner.form else {
            return false;
        };
        let mut work = inner.work.lock();
        let at = random.lock().below(work.queue.len());
        let Some(job) = work.queue.remove(at) else {
            return false;
        };
        drop(work);
        inner.run_job(job);
        true
    }

    /// How often a job or a blocking call panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.0.inner.panics.load(Ordering::Relaxed)
    }

    /// Waits until all that is queued is done and the threads have ended. Blocks.
    pub(crate) fn join(&self) {
        #[cfg(test)]
        while self.step() {}
        let threads = self.0.inner.stop();
        for thread in threads {
            // The thread itself may be the one that drops the log's last handle.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                self.0.inner.count_panic("a thread");
            }
        }
        // What came too late for the threads, or could not have one.
        while let Some(job) = self.0.inner.next() {
            self.0.inner.run_job(job);
        }
    }

    /// As `join`, but what is queued is not done any more. Blocks.
    pub(crate) fn abandon(&self) {
        {
            let mut work = self.0.inner.work.lock();
            work.abandoned = true;
            work.queue.clear();
        }
        self.join();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.inner.stop());
    }
}

impl Inner {
    fn push(self: &Arc<Self>, job: Arc<dyn Job>) {
        let mut work = self.work.lock();
        if work.abandoned {
            return;
        }
        work.queue.push_back(job);
        let max = match self.form {
            Form::Threads { max, .. } => max,
            #[cfg(test)]
            Form::Seeded(_) => return,
        };
        if work.queue.len() > work.idle && !work.stopping {
            work.threads.retain(|thread| !thread.is_finished());
        }
        if work.queue.len() > work.idle && work.threads.len() < max && !work.stopping {
            let inner = Arc::clone(self);
            let name = format!("{}-{}", self.name, work.threads.len());
            let started = std::thread::Builder::new()
                .name(name)
                .spawn(move || inner.run());
            match started {
                Ok(thread) => work.threads.push(thread),
                // Another thread takes the work, or the one that the next call starts.
                Err(error) => tracing::error!(%error, "could not start a thread of the log"),
            }
            return;
        }
        drop(work);
        self.ready.notify_one();
    }

    /// A thread's life: it ends when the pool stops, whatever the jobs do.
    fn run(&self) {
        if matches!(self.form, Form::Threads { yields: true, .. }) {
            lower_priority();
        }
        let mut work = self.work.lock();
        loop {
            if let Some(job) = work.queue.pop_front() {
                drop(work);
                self.run_job(job);
                work = self.work.lock();
            } else if work.stopping {
                return;
            } else {
                work.idle += 1;
                self.ready.wait(&mut work);
                work.idle -= 1;
            }
        }
    }

    fn next(&self) -> Option<Arc<dyn Job>> {
        self.work.lock().queue.pop_front()
    }

    /// Runs a job, and queues it again if it wants that.
    fn run_job(&self, job: Arc<dyn Job>) {
        job.state().begin();
        let done = catch_unwind(AssertUnwindSafe(|| job.run()));
        let again = done.unwrap_or_else(|_panic| {
            self.count_panic(job.name());
            Again::No
        });
        if job.state().end(again) {
            let mut work = self.work.lock();
            if !work.abandoned {
                work.queue.push_back(job);
            }
        }
    }

    fn count_panic(&self, what: &str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(pool = self.name, what, "the log's work panicked");
    }

    fn stop(&self) -> Vec<JoinHandle<()>> {
        let threads = {
            let mut work = self.work.lock();
            work.stopping = true;
            std::mem::take(&mut work.threads)
        };
        self.ready.notify_all();
        threads
    }
}

/// Lowers the priority of this thread; of it alone, which only Linux can.
fn lower_priority() {
    if cfg!(target_os = "linux") {
        // Without it, what the thread does takes more from others, and is as right.
        rustix::process::setpriority_process(None, BACKGROUND_NICE).ok();
    }
}

impl JobState {
    /// Asks for a run; whether the job must be queued for it.
    fn want(&self) -> bool {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(WANTED),
            _ => None,
        };
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        before == Ok(IDLE)
    }

    fn begin(&self) {
        self.0.store(RUNNING, Ordering::Release);
    }

    /// Whether the job must be queued again.
    fn end(&self, again: Again) -> bool {
        let next = |state| match (state, again) {
            (RUNNING, Again::No) => Some(IDLE),
            _ => Some(QUEUED),
        };
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        again == Again::Yes || before != Ok(RUNNING)
    }
}

/// Schedules a job now and then, by a thread of its own. Dropping it ends the thread and waits
/// for it.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Calls `tick` each `interval`, until it answers `false`. It must be quick.
    pub(crate) fn start(
        interval: Duration,
        tick: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let until = Arc::clone(&stop);
        let run = move || {
            let (stopping, changed) = &*until;
            let mut stopping = stopping.lock();
            while !*stopping {
                let due = changed.wait_for(&mut stopping, interval).timed_out();
                if due && !MutexGuard::unlocked(&mut stopping, &tick) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-ticker".to_owned());
        let thread = Some(thread.spawn(run)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread itself may be the one that drops the log's last handle.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the log's ticker panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Counting {
        state: JobState,
        runs: AtomicU64,
        left: AtomicU64,
        panic_at: Option<u64>,
    }

    impl Job for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn state(&self) -> &JobState {
            &self.state
        }
        fn run(&self) -> Again {
            let run = self.runs.fetch_add(1, Ordering::SeqCst);
            assert_ne!(Some(run), self.panic_at, "wanted by the test");
            let left = self.left.load(Ordering::SeqCst);
            self.left.store(left.saturating_sub(1), Ordering::SeqCst);
            if left > 1 { Again::Yes } else { Again::No }
        }
    }

    #[test]
    fn a_job_is_queued_once_and_runs_until_it_is_done() {
        let pool = Pool::seeded(1);
        let job = Arc::new(Counting {
            left: AtomicU64::new(3),
            ..Counting::default()
        });
        for _ in 0..10 {
            pool.schedule(&job);
        }
        while pool.step() {}
        assert_eq!(job.runs.load(Ordering::SeqCst), 3);
        pool.schedule(&job);
        assert!(pool.step() && !pool.step());
    }

    #[test]
    fn a_panic_is_counted_and_the_job_runs_again() {
        let threads = Pool::threads("test", 1, 1);
        let seeded = Pool::seeded(2);
        for pool in [threads, seeded] {
            let job = Arc::new(Counting {
                panic_at: Some(0),
                ..Counting::default()
            });
            pool.schedule(&job);
            while pool.panics() == 0 {
                pool.step();
                std::thread::yield_now();
            }
            // The thread may not have put the job to rest yet; then this asks for one more run.
            pool.schedule(&job);
            pool.join();
            assert_eq!(pool.panics(), 1);
            assert_eq!(job.runs.load(Ordering::SeqCst), 2);
        }
    }

    #[test]
    fn a_seed_determines_the_order() {
        let order = |seed| {
            let pool = Pool::seeded(seed);
            let jobs: Vec<_> = (0..8)
                .map(|_| {
                    Arc::new(Counting {
                        left: AtomicU64::new(5),
                        ..Counting::default()
                    })
                })
                .collect();
            for job in &jobs {
                pool.schedule(job);
            }
            let mut order = Vec::new();
            while pool.step() {
                order.push(
                    jobs.iter()
                        .map(|j| j.runs.load(Ordering::SeqCst))
                        .collect::<Vec<_>>(),
                );
            }
            order
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(9));
    }

    #[derive(Debug, Default)]
    struct Priority(JobState, Mutex<Option<i32>>);

    impl Job for Priority {
        fn name(&self) -> &'static str {
            "priority"
        }
        fn state(&self) -> &JobState {
            &self.0
        }
        fn run(&self) -> Again {
            *self.1.lock() = rustix::process::getpriority_process(None).ok();
            Again::No
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_background_has_a_lower_priority_and_nobody_else() {
        let now = || rustix::process::getpriority_process(None).unwrap();
        let before = now();
        let priority_in = |pool: Pool| {
            let job = Arc::new(Priority::default());
            pool.schedule(&job);
            pool.join();
            job.1.lock().unwrap()
        };
        assert_eq!(
            priority_in(Pool::background("test")),
            BACKGROUND_NICE.max(before)
        );
        assert_eq!(priority_in(Pool::threads("test", 1, 1)), before);
        assert_eq!(now(), before);
    }

    #[test]
    fn what_is_abandoned_is_not_run() {
        let pool = Pool::seeded(3);
        let job = Arc::new(Counting::default());
        pool.schedule(&job);
        pool.abandon();
        assert_eq!(job.runs.load(Ordering::SeqCst), 0);
    }
}
