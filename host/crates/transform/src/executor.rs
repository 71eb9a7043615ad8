//! Runs guests on threads of their own, one per core, never on the caller's runtime.
//!
//! A job is a future. A guest that computes yields at each tick of the epoch, goes to the end of
//! the queue, and the next job runs: a looping module takes its share and no more. The queue holds
//! at most one entry per job, and an instance has at most one job.
//! One more thread ticks the epoch, only while jobs are alive: an idle node has no timer.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use wstream_record::Clock;

/// A running guest yields, and deadlines are checked, this often.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The guest threads. Dropping it stops them.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<VecDeque<Arc<Job>>>,
    ready: Condvar,
    /// Wakers of guests that sleep: woken at each tick.
    sleepers: Mutex<Vec<Waker>>,
    /// Jobs that have not ended.
    alive: AtomicUsize,
    tick: Mutex<()>,
    tick_wanted: Condvar,
    stop: AtomicBool,
}

struct Job {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl Executor {
    /// Starts `threads` guest threads and the ticker, which calls `on_tick`.
    pub(crate) fn start(
        threads: usize,
        on_tick: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(VecDeque::new()),
            ready: Condvar::new(),
            sleepers: Mutex::new(Vec::new()),
            alive: AtomicUsize::new(0),
            tick: Mutex::new(()),
            tick_wanted: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let mut executor = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        for i in 0..threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("guest-{i}"));
            executor.threads.push(thread.spawn(move || shared.work())?);
        }
        let ticker = std::thread::Builder::new().name("guest-tick".to_owned());
        let ticker = ticker.spawn(move || shared.tick(&on_tick))?;
        executor.threads.push(ticker);
        Ok(executor)
    }

    /// Runs a job; the answer does not come if it panicked.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let future = async move {
            let answer = future.await;
            // Nobody waits for the answer of a job that was given up.
            drop(sender.send(answer));
        };
        // Only the first job wakes the ticker: more wake-ups would put off its next tick.
        if self.shared.alive.fetch_add(1, Ordering::SeqCst) == 0 {
            // Taking the lock keeps the ticker from going to sleep between check and wait.
            drop(self.shared.tick.lock());
            self.shared.tick_wanted.notify_one();
        }
        let job = Arc::new(Job {
            future: Mutex::new(Some(Box::pin(future))),
            queued: AtomicBool::new(false),
            shared: Arc::clone(&self.shared),
        });
        job.wake();
        receiver
    }

    /// What a guest needs to sleep.
    pub(crate) fn sleeper(&self) -> Sleeper {
        Sleeper(Arc::clone(&self.shared))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.shared.queue.lock());
        self.shared.ready.notify_all();
        drop(self.shared.tick.lock());
        self.shared.tick_wanted.notify_all();
        let this = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // The last user of the runtime may be a job itself: its thread ends by itself.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a guest thread panicked");
            }
        }
        // Jobs know the queue: without this, jobs given up would keep it and themselves alive.
        let given_up = std::mem::take(&mut *self.shared.queue.lock());
        drop(given_up);
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let job = {
                let mut queue = self.queue.lock();
                loop {
                    if self.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    match queue.pop_front() {
                        Some(job) => break job,
                        None => self.ready.wait(&mut queue),
                    }
                }
            };
            job.poll();
        }
    }

    fn tick(&self, on_tick: &dyn Fn()) {
        let mut guard = self.tick.lock();
        while !self.stop.load(Ordering::SeqCst) {
            if self.alive.load(Ordering::SeqCst) == 0 {
                self.tick_wanted.wait(&mut guard);
                continue;
            }
            let slept = self.tick_wanted.wait_for(&mut guard, TICK);
            if slept.timed_out() {
                on_tick();
                for waker in std::mem::take(&mut *self.sleepers.lock()) {
                    waker.wake();
                }
            }
        }
    }
}

impl Job {
    fn poll(self: Arc<Self>) {
        self.queued.store(false, Ordering::SeqCst);
        let mut slot = self.future.lock();
        let Some(future) = slot.as_mut() else {
            return;
        };
        let waker = Waker::from(Arc::clone(&self));
        let mut context = Context::from_waker(&waker);
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut context).is_ready()
        }));
        if polled.is_err() {
            tracing::error!("a guest job panicked");
        }
        if polled.unwrap_or(true) {
            let ended = slot.take();
            drop(slot);
            drop(ended);
            self.shared.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let shared = Arc::clone(&self.shared);
            shared.queue.lock().push_back(self);
            shared.ready.notify_one();
        }
    }
}

/// Lets a guest sleep without holding a thread; it wakes at a tick.
#[derive(Clone)]
pub(crate) struct Sleeper(Arc<Shared>);

impl Sleeper {
    /// Waits until `done` says so, asking at each tick.
    pub(crate) async fn until(&self, mut done: impl FnMut() -> bool) {
        std::future::poll_fn(|context| {
            if done() {
                return Poll::Ready(());
            }
            self.0.sleepers.lock().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The time a job really ran: waiting behind other jobs does not count against a guest's limits.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: Clock,
    waited_nanos: AtomicU64,
}

impl Stopwatch {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            waited_nanos: AtomicU64::new(0),
        }
    }

    /// Time passed, without what was spent in the queue.
    pub(crate) fn worked(&self) -> Duration {
        let waited = Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(waited)
    }

    /// Counts waiting as work: a guest that sleeps spends its time.
    pub(crate) fn count_as_work(&self, slept: Duration) {
        let nanos = u64::try_from(slept.as_nanos()).unwrap_or(u64::MAX);
        let less = |waited: u64| Some(waited.saturating_sub(nanos));
        let updated = self
            .waited_nanos
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        debug_assert!(updated.is_ok(), "the update always has a value");
    }

    /// Runs a future and counts the time between its polls as waiting.
    pub(crate) async fn watch<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut left_at: Option<Duration> = None;
        std::future::poll_fn(|context| {
            if let Some(left_at) = left_at {
                let waited = self.clock.monotonic().saturating_sub(left_at);
                let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
                self.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
            }
            let polled = future.as_mut().poll(context);
            left_at = Some(self.clock.monotonic());
            polled
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::{ManualClock, Timestamp};

    use super::*;

    /// Yields so many times.
    async fn steps(mut n: usize) {
        std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            n = n.saturating_sub(1);
            if n == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    #[tokio::test]
    async fn jobs_share_one_thread_and_a_panic_ends_only_its_own() {
        let executor = Executor::start(1, || {}).unwrap();
        let endless = executor.run(async { steps(usize::MAX).await });
        let broken = executor.run(async { panic!("as the test wants") });
        let short = executor.run(async {
            steps(100).await;
            7
        });
        assert_eq!(short.await.unwrap(), 7);
        let broken: Result<(), _> = broken.await;
        assert!(broken.is_err());
        drop(endless);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_at_a_tick() {
        let executor = Executor::start(1, || {}).unwrap();
        let sleeper = executor.sleeper();
        let mut ticks = 0;
        let job = executor.run(async move {
            sleeper
                .until(|| {
                    ticks += 1;
                    ticks == 3
                })
                .await;
            "woken"
        });
        assert_eq!(job.await.unwrap(), "woken");
    }

    #[tokio::test]
    async fn only_work_is_counted() {
        let manual = ManualClock::new(Timestamp(0));
        let watch = Stopwatch::new(manual.clock());
        let mut polls = 0;
        let mut watched = std::pin::pin!(watch.watch(std::future::poll_fn(|_| {
            manual.advance(Duration::from_millis(5));
            polls += 1;
            if polls == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })));
        let mut context = Context::from_waker(Waker::noop());
        assert!(watched.as_mut().poll(&mut context).is_pending());
        manual.advance(Duration::from_secs(60));
        assert!(watched.as_mut().poll(&mut context).is_ready());
        assert_eq!(watch.worked(), Duration::from_millis(10));
        watch.count_as_work(Duration::from_secs(1));
        assert_eq!(watch.worked(), Duration::from_millis(1010));
    }
}
