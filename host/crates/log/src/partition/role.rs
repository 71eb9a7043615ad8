//! Who a partition is: the leader of an epoch, a follower of one, or offline; and what waits for
//! the high watermark.
//!
//! A role changes at once; what is queued is judged by the role that the partition has when its
//! turn comes. What a leader had flushed and not committed when it ceased to lead is refused: its
//! producers ask the next leader.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;
use wstream_record::{LeaderEpoch, Offset};

use super::{Core, Partition, State, waiter};
use crate::errors::AppendError;

/// Tickets of one partition that may wait for the high watermark.
pub(super) const UNCOMMITTED_MAX: usize = 100_000;

/// Who a partition is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It takes producers' batches.
    Leader {
        /// The epoch that its batches are stamped with.
        epoch: LeaderEpoch,
    },
    /// It takes the leader's batches.
    Follower {
        /// The epoch of the leader.
        epoch: LeaderEpoch,
    },
    /// It takes nothing; what it holds may be read.
    Offline {
        /// Why.
        reason: Arc<str>,
    },
}

/// When a leader's batch is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// When it is flushed here.
    Alone,
    /// When `Partition::advance_high_watermark` says so.
    Quorum,
}

/// Tickets that wait for the high watermark, by the offset that it must reach.
#[derive(Debug, Default)]
pub(super) struct Uncommitted(VecDeque<(Offset, oneshot::Sender<Result<(), AppendError>>)>);

impl Uncommitted {
    /// A ticket that waits until everything below `next` is committed.
    pub(super) fn wait(&mut self, next: Offset) -> oneshot::Receiver<Result<(), AppendError>> {
        let (reply, committed) = oneshot::channel();
        // Only a batch that was sent again waits for less than the last one does.
        let at = match self.0.back() {
            Some((last, _)) if *last > next => self.0.partition_point(|(n, _)| *n <= next),
            _ => self.0.len(),
        };
        self.0.insert(at, (next, reply));
        committed
    }

    /// Whether no more may wait, the abandoned ones not counted.
    pub(super) fn is_full(&mut self) -> bool {
        if self.0.len() >= UNCOMMITTED_MAX {
            self.0.retain(|(_, reply)| !reply.is_closed());
        }
        self.0.len() >= UNCOMMITTED_MAX
    }

    fn take_up_to(&mut self, high_watermark: Offset) -> Self {
        let count = self.0.partition_point(|(next, _)| *next <= high_watermark);
        Self(self.0.drain(..count).collect())
    }

    pub(super) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// Tells tickets that their batches are committed.
fn release(tickets: Uncommitted) {
    for (_, reply) in tickets.0 {
        drop(reply.send(Ok(())));
    }
}

/// Tells tickets that nobody here knows what becomes of their batches.
pub(super) fn refuse(tickets: Uncommitted, error: &AppendError) {
    for (_, reply) in tickets.0 {
        drop(reply.send(Err(error.clone())));
    }
}

impl Partition {
    /// Who the partition is here.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.state.lock().role.clone()
    }

    /// Leads `epoch` from now on. An epoch that is older than the one known here changes nothing,
    /// and a partition whose batches do not read stays offline.
    pub fn lead(&self, epoch: LeaderEpoch, commit: Commit) {
        let mut state = self.0.state.lock();
        if !self.0.accepts(&state, epoch) {
            return;
        }
        state.epoch = epoch;
        state.role = Role::Leader { epoch };
        state.commit = commit;
        let mut released = Uncommitted::default();
        if commit == Commit::Alone {
            state.high_watermark = state.log_end;
            released = state.uncommitted.take_all();
        }
        let watches = std::mem::take(&mut state.watches);
        drop(state);
        waiter::ring(watches);
        release(released);
    }

    /// Follows the leader of `epoch` from now on; with the exceptions of `lead`.
    pub fn follow(&self, epoch: LeaderEpoch) {
        let state = self.0.state.lock();
        if self.0.accepts(&state, epoch) {
            self.0.change(state, epoch, Role::Follower { epoch });
        }
    }

    /// Takes nothing from now on, until it is told to lead or to follow.
    pub fn set_offline(&self, reason: &str) {
        let state = self.0.state.lock();
        let epoch = state.epoch;
        let reason = reason.into();
        self.0.change(state, epoch, Role::Offline { reason });
    }

    /// Everything below `to`, a boundary of batches, is committed. Beyond the log end it counts as
    /// the log end, and it never moves back.
    pub fn advance_high_watermark(&self, to: Offset) {
        let mut state = self.0.state.lock();
        let to = to.min(state.log_end);
        if to <= state.high_watermark {
            return;
        }
        state.high_watermark = to;
        state.derived.transactions.committed_to(to);
        let released = state.uncommitted.take_up_to(to);
        let watches = state.take_ready_watches();
        drop(state);
        waiter::ring(watches);
        release(released);
    }
}

impl Core {
    /// Whether an epoch is not an old one, and the partition can have a role at all.
    fn accepts(&self, state: &State, epoch: LeaderEpoch) -> bool {
        if state.deriving {
            tracing::warn!(partition = %self.name, "it stays offline: its batches do not read");
            return false;
        }
        let current = state.epoch;
        if epoch < current {
            tracing::warn!(partition = %self.name, %epoch, %current, "an old leader epoch was ignored");
        }
        epoch >= current
    }

    /// Becomes what does not lead.
    fn change(
        &self,
        mut state: parking_lot::MutexGuard<'_, State>,
        epoch: LeaderEpoch,
        role: Role,
    ) {
        state.epoch = epoch;
        state.role = role;
        state.commit = Commit::Quorum;
        let refused = state.uncommitted.take_all();
        let watches = std::mem::take(&mut state.watches);
        drop(state);
        waiter::ring(watches);
        refuse(refused, &AppendError::NotLeader { epoch });
    }

    /// Whether producers' batches are taken, as far as can be said now.
    pub(super) fn check_leads(&self) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        state.check_leads()?;
        if state.uncommitted.is_full() {
            return Err(AppendError::Offline {
                reason: "too many appends wait to be committed".into(),
            });
        }
        Ok(())
    }
}

impl State {
    /// The epoch to lead with.
    pub(super) fn check_leads(&self) -> Result<LeaderEpoch, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        match &self.role {
            Role::Leader { epoch } => Ok(*epoch),
            Role::Follower { epoch } => Err(AppendError::NotLeader { epoch: *epoch }),
            Role::Offline { reason } => Err(AppendError::Offline {
                reason: Arc::clone(reason),
            }),
        }
    }

    /// The epoch to follow.
    pub(super) fn check_follows(&self) -> Result<LeaderEpoch, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        match &self.role {
            Role::Follower { epoch } => Ok(*epoch),
            Role::Leader { .. } => Err(AppendError::Malformed("this node leads the partition")),
            Role::Offline { reason } => Err(AppendError::Offline {
                reason: Arc::clone(reason),
            }),
        }
    }
}
