//! What tests make hang: the next such step, until its latch is opened. It exceeds any limit.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Step, Work};

#[derive(Debug, Clone, Default)]
pub(crate) struct Hangs(Arc<Mutex<Vec<(Step, Latch)>>>);

/// Something hangs until it is opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    pub(crate) fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut open = self.0.0.lock();
        self.0.1.wait_while(&mut open, |open| !*open);
    }
}

impl Hangs {
    /// The next such step hangs until the answer is opened.
    pub(crate) fn next(&self, step: Step) -> Latch {
        let latch = Latch::default();
        self.0.lock().push((step, latch.clone()));
        latch
    }

    pub(super) fn begin(&self, step: Step, work: Work, wait_max: Duration) -> (Work, Duration) {
        let mut hangs = self.0.lock();
        let Some(at) = hangs.iter().position(|(of, _)| *of == step) else {
            return (work, wait_max);
        };
        let (_, latch) = hangs.remove(at);
        let hanging = move || {
            latch.wait();
            work()
        };
        (Box::new(hanging), Duration::ZERO)
    }
}
