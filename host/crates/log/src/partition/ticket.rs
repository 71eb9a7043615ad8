//! What a producer holds of a batch on its way: the batch is flushed first, then committed.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use wstream_record::Offset;

use crate::errors::AppendError;

/// Where an acknowledged batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub next_offset: Offset,
    /// Whether it had been stored before: its producer sent it again.
    pub duplicate: bool,
}

/// The first reply: the batch is flushed, and where the second one comes if it is not committed
/// with that.
#[derive(Debug)]
pub(super) struct Flushed {
    pub(super) appended: Appended,
    pub(super) committed: Option<oneshot::Receiver<Result<(), AppendError>>>,
}

pub(super) type FlushedReply = oneshot::Sender<Result<Flushed, AppendError>>;

/// A submitted batch. Await it to know that the batch is committed; dropping it does not take the
/// batch back.
#[derive(Debug)]
#[must_use = "a batch is acknowledged once its ticket says so"]
pub struct AppendTicket(Step);

#[derive(Debug)]
enum Step {
    Queued(oneshot::Receiver<Result<Flushed, AppendError>>),
    Flushed {
        appended: Appended,
        committed: oneshot::Receiver<Result<(), AppendError>>,
    },
    Done(Result<Appended, AppendError>),
}

impl AppendTicket {
    pub(super) fn new(flushed: oneshot::Receiver<Result<Flushed, AppendError>>) -> Self {
        Self(Step::Queued(flushed))
    }

    /// Waits until the batch survives here what the node's durability says, whoever else has it.
    /// The ticket may be awaited afterwards.
    ///
    /// # Errors
    /// See `AppendError`.
    pub async fn flushed(&mut self) -> Result<Appended, AppendError> {
        poll_fn(|cx| self.poll_flushed(cx)).await
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Appended, AppendError>> {
        if let Step::Queued(reply) = &mut self.0 {
            let replied = ready!(Pin::new(reply).poll(cx));
            self.0 = match replied.unwrap_or(Err(AppendError::Closed)) {
                Err(error) => Step::Done(Err(error)),
                Ok(Flushed {
                    appended,
                    committed: None,
                }) => Step::Done(Ok(appended)),
                Ok(Flushed {
                    appended,
                    committed: Some(committed),
                }) => Step::Flushed {
                    appended,
                    committed,
                },
            };
        }
        Poll::Ready(match &self.0 {
            Step::Queued(_) => return Poll::Pending,
            Step::Flushed { appended, .. } => Ok(*appended),
            Step::Done(said) => said.clone(),
        })
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let flushed = ready!(self.poll_flushed(cx));
        let Step::Flushed {
            appended,
            committed,
        } = &mut self.0
        else {
            return Poll::Ready(flushed);
        };
        let replied = ready!(Pin::new(committed).poll(cx));
        let said = replied.unwrap_or(Err(AppendError::Closed));
        let said = said.map(|()| *appended);
        self.0 = Step::Done(said.clone());
        Poll::Ready(said)
    }
}
