//! What a sink tells of itself: how far it is durable, and why it stopped.

use tokio::sync::watch;

use wstream_record::Offset;

use super::{Durable, SinkError};

/// The sink's end of `Sink::durable`.
#[derive(Debug, Clone)]
pub(super) struct Progress(watch::Sender<Durable>);

impl Progress {
    /// Everything below `next` is durable from the start.
    pub(super) fn new(next: Offset) -> Self {
        Self(watch::Sender::new(Durable { next, failed: None }))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Durable> {
        self.0.subscribe()
    }

    /// Moves forward; never back.
    pub(super) fn durable(&self, next: Offset) {
        self.0.send_if_modified(|durable| {
            let moves = next > durable.next;
            durable.next = durable.next.max(next);
            moves
        });
    }

    /// The first failure stays.
    pub(super) fn failed(&self, error: SinkError) {
        self.0.send_if_modified(|durable| {
            let first = durable.failed.is_none();
            durable.failed.get_or_insert(error);
            first
        });
    }

    /// Why the sink stopped, if it did.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        self.0.borrow().failed.clone().map_or(Ok(()), Err)
    }

    /// Returns once everything below `next` is durable.
    pub(super) async fn reached(&self, next: Offset) -> Result<(), SinkError> {
        let mut durable = self.0.subscribe();
        let reached = durable
            .wait_for(|d| d.failed.is_some() || d.next >= next)
            .await
            .map_err(|_closed| SinkError::retry("the sink has stopped"))?;
        reached.failed.clone().map_or(Ok(()), Err)
    }
}
