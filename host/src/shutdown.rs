//! One token that asks everything to stop, and one waiter that knows when everything has.
//!
//! Whoever spawns a task does it here, so that nothing outlives the node.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Asks tasks to stop and waits for them. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing runs yet and nothing was asked to stop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stop of a part: asked when the whole is asked, and by itself without the rest.
    /// Its tasks are its own to wait for.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs `task` and has `finished` wait for it.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Asks every task to stop. Idempotent.
    pub fn ask(&self) {
        self.token.cancel();
    }

    /// Whether stopping was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once stopping is asked. Cancel-safe.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// Waits until every task has ended; `false` if some still run after `limit`.
    pub async fn finished(&self, limit: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finished_waits_for_what_was_spawned() {
        let shutdown = Shutdown::new();
        let part = shutdown.child();
        let task = part.clone();
        part.spawn(async move { task.asked().await });
        shutdown.ask();
        assert!(part.finished(Duration::from_secs(5)).await);
        assert!(part.is_asked());
    }
}
