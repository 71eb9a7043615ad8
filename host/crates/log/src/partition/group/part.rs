//! What a group has of one partition, from its judgement to the replies.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use wstream_record::{BatchHeader, Offset, RecordBatch, Timestamp};

use super::super::queue::{Held, OffsetReply};
use super::super::ticket::{Appended, Flushed, FlushedReply};
use super::super::{Core, State, waiter};
use crate::derived::{Marker, Producers, Verdict};
use crate::errors::{AppendError, DeleteError};

/// How often it is said of a partition that its records come in expired.
const EXPIRED_WARNING_INTERVAL_MS: i64 = 60_000;
/// A partition in the group.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) start: Offset,
    /// The offset of the next record.
    pub(super) end: Offset,
    pub(super) cut: Option<Cut>,
    pub(super) high_watermark: Option<Offset>,
    /// Of the batches in the group before that is not published yet, and then of those in this group.
    pub(super) headers: Vec<BatchHeader>,
    /// How many of them are of the group before.
    pub(super) headers_before: usize,
    /// The producers of the first `beside_count` of them.
    beside: Producers,
    beside_count: usize,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) answers: Vec<Answer>,
}

/// What takes records off the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// They go, the rest stays.
    To(Offset),
    /// All go, and the log begins here.
    Anew(Offset),
}

/// What is to be said once the group is flushed. `held` gives its room back then.
#[derive(Debug)]
pub(super) enum Answer {
    Append {
        reply: FlushedReply,
        said: Result<Appended, AppendError>,
        committed: Option<oneshot::Receiver<Result<(), AppendError>>>,
        held: Held,
    },
    Offset {
        reply: OffsetReply,
        said: Result<Offset, AppendError>,
        held: Held,
    },
    Start {
        reply: Option<oneshot::Sender<Result<Offset, DeleteError>>>,
        said: Result<Offset, DeleteError>,
        held: Held,
    },
}

impl Part {
    /// Begins where the same partition's part of the group before will end.
    pub(super) fn follow(&mut self, before: &Part) {
        self.start = before.start;
        self.end = before.end;
        let own = before.headers.get(before.headers_before..);
        self.headers.extend_from_slice(own.unwrap_or_default());
        self.headers_before = self.headers.len();
        // A coordinator's epoch is in no header.
        self.beside = before.beside.copy();
        self.beside_count = before.beside_count.saturating_sub(before.headers_before);
        self.high_watermark = None;
    }

    /// What a batch is to its producer, given what is stored and what this group has of it.
    pub(super) fn judge(
        &mut self,
        state: &State,
        header: &BatchHeader,
    ) -> Result<Verdict, AppendError> {
        if header.producer.is_none() {
            return Ok(Verdict::New);
        }
        let known = &state.derived.producers;
        for before in self.headers.iter().skip(self.beside_count) {
            known.note_beside(&mut self.beside, before);
        }
        self.beside_count = self.headers.len();
        let verdict = known.judge(&self.beside, header)?;
        if verdict == Verdict::New && !state.derived.transactions.has_room(header) {
            return Err(AppendError::Offline {
                reason: "too many transactions are open".into(),
            });
        }
        Ok(verdict)
    }

    /// What a marker is, given the same. It counts for what comes behind it in this group.
    pub(super) fn judge_marker(
        &mut self,
        state: &State,
        batch: &RecordBatch,
    ) -> Result<(), AppendError> {
        let header = batch.header();
        let (Some(stamp), Ok(Some((_, coordinator)))) = (header.producer, Marker::parse(batch))
        else {
            return Err(AppendError::Malformed("it is no transaction's marker"));
        };
        self.judge(state, header)?;
        let known = &state.derived.producers;
        known.judge_coordinator(&self.beside, stamp.id, coordinator)?;
        known.note_marker_beside(&mut self.beside, stamp, coordinator, self.end);
        // It is the next one of the headers.
        self.beside_count = self.headers.len() + 1;
        Ok(())
    }

    /// Shows readers what was flushed. `false`: what is derived must be derived anew.
    pub(super) fn publish(&mut self, core: &Arc<Core>, now: Timestamp) -> bool {
        let mut state = core.state.lock();
        let mut enough = true;
        match self.cut.take() {
            Some(Cut::To(end)) => {
                enough = state.derived.truncate(end);
                state.cut(end);
                core.tail.truncate(end);
            }
            Some(Cut::Anew(start)) => {
                state.derived = core.nothing_derived();
                state.cut(start);
                state.log_start = start;
                state.high_watermark = start;
                self.start = start;
                core.tail.clear();
            }
            None => {}
        }
        state.deriving = !enough;
        if self.start > state.log_start {
            state.log_start = self.start;
            state.derived.drop_below(self.start);
        }
        for batch in &self.batches {
            let header = batch.header();
            let control = header.is_control().then_some(batch);
            if let Some(range) = state.derived.note(header, control, now) {
                // Before the marks move: readers leave out what was aborted from then on.
                core.shared.store.note_aborted(core.key, range);
            }
            state.appended_records += u64::from(header.records.unsigned_abs());
            state.appended_bytes += batch.bytes().len() as u64;
            state.log_end = header.next_offset();
        }
        if !self.batches.is_empty() {
            // Before the marks move, which they do for readers when the lock is given back.
            core.tail.extend(self.batches.drain(..));
        }
        if let Some(noted) = self.high_watermark.take() {
            state.high_watermark_noted = noted;
        }
        if state.commits_alone() {
            state.high_watermark = state.log_end;
        }
        let high_watermark = state.high_watermark;
        state.derived.transactions.committed_to(high_watermark);
        self.decide(&mut state);
        let watches = state.take_ready_watches();
        drop(state);
        waiter::ring(watches);
        enough
    }

    /// What becomes of tickets whose batches are flushed.
    fn decide(&mut self, state: &mut State) {
        for answer in &mut self.answers {
            let Answer::Append {
                said: said @ Ok(_),
                committed,
                ..
            } = answer
            else {
                continue;
            };
            let next = said.as_ref().map_or(Offset(0), |a| a.next_offset);
            if let Err(error) = state.check_leads() {
                *said = Err(error);
            } else if next > state.high_watermark {
                *committed = Some(state.uncommitted.wait(next));
            }
        }
    }

    pub(super) fn fail(&mut self, core: &Arc<Core>, error: &AppendError) {
        self.cut = None;
        self.high_watermark = None;
        // A duplicate of what was stored earlier does not depend on this write.
        let mut state = core.state.lock();
        let flushed = state.log_end;
        let (mut kept, refused) = mem::take(&mut self.answers).into_iter().partition(
            |answer| matches!(answer, Answer::Append { said: Ok(a), .. } if a.next_offset <= flushed),
        );
        mem::swap(&mut self.answers, &mut kept);
        self.decide(&mut state);
        drop(state);
        kept = refused;
        mem::swap(&mut self.answers, &mut kept);
        self.refuse(error);
        self.answers.append(&mut kept);
    }

    /// Whatever was to be said was not so.
    pub(super) fn refuse(&mut self, error: &AppendError) {
        for answer in &mut self.answers {
            match answer {
                Answer::Append { said, .. } if said.is_ok() => *said = Err(error.clone()),
                Answer::Offset { said, .. } if said.is_ok() => *said = Err(error.clone()),
                Answer::Start { said, .. } if said.is_ok() => *said = Err(error.clone().into()),
                Answer::Append { .. } | Answer::Offset { .. } | Answer::Start { .. } => {}
            }
        }
    }

    pub(super) fn refuse_after(&mut self, error: Option<AppendError>) {
        let Some(error) = error else { return };
        for answer in &mut self.answers {
            if let Answer::Offset { said, .. } = answer {
                *said = Err(error.clone());
            }
        }
    }

    /// Replies. This is the acknowledgement: what it says `Ok` to was flushed, or was there before.
    pub(super) fn answer(&mut self) {
        self.headers.clear();
        self.headers_before = 0;
        self.beside_count = 0;
        if self.beside.len() > 0 {
            self.beside = Producers::default();
        }
        for answer in self.answers.drain(..) {
            // Whoever dropped the other end does not want to know.
            let held = match answer {
                Answer::Append {
                    reply,
                    said,
                    committed,
                    held,
                } => {
                    let said = said.map(|appended| Flushed {
                        appended,
                        committed,
                    });
                    drop(reply.send(said));
                    held
                }
                Answer::Offset { reply, said, held } => {
                    drop(reply.send(said));
                    held
                }
                Answer::Start { reply, said, held } => {
                    if let Some(reply) = reply {
                        drop(reply.send(said));
                    }
                    held
                }
            };
            drop(held);
        }
    }
}

impl State {
    /// The log ends at `end`, below what was there.
    fn cut(&mut self, end: Offset) {
        self.log_end = end;
        self.high_watermark = self.high_watermark.min(end);
        self.high_watermark_noted = self.high_watermark_noted.min(end);
        self.cuts += 1;
    }
}

impl Core {
    /// Whether to say that records come in which retention removes at its next look.
    pub(super) fn comes_expired(
        &self,
        state: &mut State,
        header: &BatchHeader,
        now: Timestamp,
    ) -> bool {
        let after = self.expires_after.load(Ordering::Relaxed);
        let time = header.max_timestamp;
        if time == Timestamp::NONE || time.0.saturating_add(after) >= now.0 {
            return false;
        }
        let last = state.warned_expired.unwrap_or(Timestamp(i64::MIN));
        let warn = last.0.saturating_add(EXPIRED_WARNING_INTERVAL_MS) <= now.0;
        if warn {
            state.warned_expired = Some(now);
        }
        warn
    }
}
