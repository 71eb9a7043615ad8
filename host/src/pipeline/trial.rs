//! A version of a module on trial: until so many records have been through it, nothing of what the
//! pipeline makes of them leaves it: no outputs, no dead letters, no state, no position. Passed, all
//! of it goes on its way; failed, all of it is dropped, and whoever started the trial brings the
//! version before back, which goes on from where the trial began.
//!
//! One trial is shared by the partitions of all pipelines that use the module. What they hold is
//! bounded in bytes and in time: at a bound the trial is decided on what was seen so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::chain::Complete;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of outputs and dead letters that one partition holds back.
pub(super) const HELD_BYTES_MAX: usize = 16 << 20;

/// How a version is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialLimits {
    /// Records that decide.
    pub records: u64,
    /// Most failures, in percent.
    pub failed_percent: f64,
    /// Longest time until it is decided, if at least one record came.
    pub time: Duration,
}

/// A trial. Clones share it.
#[derive(Debug, Clone)]
pub struct Trial(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    module: Arc<str>,
    limits: TrialLimits,
    seen: AtomicU64,
    failed: AtomicU64,
    /// When the first record came.
    began: OnceLock<Instant>,
    verdict: watch::Sender<Option<Verdict>>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Few enough records failed.
    Passed,
    /// Too many did.
    RolledBack,
}

/// A trial as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialStatus {
    /// Records seen.
    pub records: u64,
    /// Those that failed in the module.
    pub failed: u64,
    /// Records that decide.
    pub of: u64,
    /// Most failures, in percent.
    pub failed_percent_max: f64,
    /// How it ended, if it has.
    pub verdict: Option<Verdict>,
}

impl Trial {
    /// Begins with the first record.
    #[must_use]
    pub fn new(module: &str, limits: TrialLimits) -> Self {
        Self(Arc::new(Inner {
            module: module.into(),
            limits,
            seen: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            began: OnceLock::new(),
            verdict: watch::Sender::new(None),
        }))
    }

    /// The module's name.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.0.module
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> TrialStatus {
        TrialStatus {
            records: self.0.seen.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            of: self.0.limits.records,
            failed_percent_max: self.0.limits.failed_percent,
            verdict: self.verdict(),
        }
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        *self.0.verdict.borrow()
    }

    /// Waits until it is decided. Cancel-safe.
    pub async fn decided(&self) -> Verdict {
        let mut verdict = self.0.verdict.subscribe();
        loop {
            if let Some(verdict) = *verdict.borrow_and_update() {
                return verdict;
            }
            let left = self.time_left();
            let changed = tokio::time::timeout(left, verdict.changed()).await;
            if changed.is_err() && self.time_left().is_zero() {
                self.decide();
            }
        }
    }

    /// Counts what became of records.
    pub(super) fn count(&self, complete: &Complete) {
        let records = complete.next.0 - complete.first.0;
        let records = u64::try_from(records).unwrap_or(0);
        let mut letters = complete.letters.iter();
        let own = |by: &str| by == &*self.0.module;
        let failed = letters.by_ref().filter(|l| own(&l.reason.by)).count() as u64;
        let stopped = complete.stop.as_ref().is_some_and(|reason| own(&reason.by));
        let failed = failed + complete.skipped + u64::from(stopped);
        let first = self.0.began.set(Instant::now());
        let seen = self.0.seen.fetch_add(records, Ordering::Relaxed) + records;
        let failed = self.0.failed.fetch_add(failed, Ordering::Relaxed) + failed;
        if first.is_ok() {
            // Who waits for the verdict learns that the time runs.
            self.0.verdict.send_modify(|_| ());
        }
        let limits = &self.0.limits;
        let hopeless = failed as f64 * 100.0 > limits.failed_percent * limits.records as f64;
        if seen >= limits.records || hopeless {
            self.decide();
        }
    }

    /// Decides on what was seen so far.
    pub(super) fn decide(&self) {
        let seen = self.0.seen.load(Ordering::Relaxed) as f64;
        let failed = self.0.failed.load(Ordering::Relaxed) as f64;
        let verdict = if failed * 100.0 > self.0.limits.failed_percent * seen {
            Verdict::RolledBack
        } else {
            Verdict::Passed
        };
        self.0.verdict.send_if_modified(|decided| {
            let first = decided.is_none();
            *decided = decided.or(Some(verdict));
            first
        });
    }

    fn time_left(&self) -> Duration {
        match self.0.began.get() {
            // Without a record there is nothing to decide; the first one wakes who waits.
            None => Duration::from_secs(3600),
            Some(began) => (*began + self.0.limits.time).saturating_duration_since(Instant::now()),
        }
    }
}
