//! Who is to blame when a call ends badly, and what runs again. `guest-sdk/ABI.md` section 9 is the
//! rule; this is its only implementation.
//!
//! The work left is a stack of spans of the batch. A call takes the top span or the head of it; a
//! failure splits the span into smaller ones. Each span is smaller than the one it came from or
//! tried under stricter conditions, so the work ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{Header, Record, StoredRecord};

use super::sizing::Sizing;
use super::{Failure, Guest, InitError, InputBatch, Output, Processed, Shared};
use crate::executor::Stopwatch;
use crate::failure::{Cause, MESSAGE_BYTES_MAX, share, text};
use crate::frame::{BadFrame, Entries, EntryBody, OutputEntry};
use crate::guest::Called;
use crate::keyed::KeyedState;
use crate::stats::add;

/// Bytes of output frames that are held before the caller gets what there is.
const OUTPUT_BYTES_HELD_MAX: usize = 64 << 20;
/// Bytes of keyed state that change before the caller gets what there is.
const STATE_BYTES_CHANGED_MAX: u64 = 8 << 20;

/// Does the work of an `Instance` on the guest threads.
pub(super) struct Worker {
    shared: Arc<Shared>,
    keyed: KeyedState,
    guest: Option<Guest>,
    sizing: Sizing,
    stopwatch: Arc<Stopwatch>,
    given_up: Arc<AtomicBool>,
    started_before: bool,
}

/// Records `from..to` of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
    how: How,
}

/// An entry of the stack of what is left.
#[derive(Debug)]
enum Left {
    Try(Span),
    /// The verdict on a record, held back until the records before it are done.
    Failed(Failure),
}

/// How a call ended badly.
struct Verdict {
    cause: Cause,
    message: String,
    /// In an instance that had made no call before.
    fresh: bool,
}

/// How a span is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// In calls of the usual size.
    Sized,
    /// As one call: the records before the one that was blamed.
    Rerun,
    /// One record at a time.
    OneByOne,
    /// One record, in a fresh instance: what it does now is its own doing.
    Alone,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, keyed: KeyedState) -> Self {
        let clock = shared.module.runtime().clock.clone();
        Self {
            shared,
            keyed,
            guest: None,
            sizing: Sizing::default(),
            stopwatch: Arc::new(Stopwatch::new(clock)),
            given_up: Arc::default(),
            started_before: false,
        }
    }

    pub(super) fn given_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.given_up)
    }

    pub(super) fn stopwatch(&self) -> &Arc<Stopwatch> {
        &self.stopwatch
    }

    pub(super) async fn ensure_guest(&mut self) -> Result<&mut Guest, InitError> {
        let guest = match self.guest.take() {
            Some(guest) => guest,
            None => {
                let shared = Arc::clone(&self.shared);
                let stopwatch = Arc::clone(&self.stopwatch);
                let keyed = self.keyed.clone();
                let guest = Guest::start(shared, keyed, stopwatch, self.given_up()).await?;
                if std::mem::replace(&mut self.started_before, true) {
                    add(&self.shared.counters.restarts, 1);
                }
                guest
            }
        };
        Ok(self.guest.insert(guest))
    }

    pub(super) async fn process(&mut self, batch: InputBatch) -> Processed {
        let mut work = Work {
            left: Vec::new(),
            processed: Processed::default(),
            bytes_held: 0,
            batch,
        };
        work.push(work.batch.from, work.batch.records.len(), How::Sized);
        let changed = self.keyed.changed_bytes();
        while let Some(left) = work.left.pop() {
            let span = match left {
                Left::Try(span) => span,
                Left::Failed(failure) => {
                    work.processed.failures.push(failure);
                    continue;
                }
            };
            let from = self.stopwatch.worked();
            let done = self.step(&mut work, span).await;
            let nanos = self.stopwatch.worked().saturating_sub(from).as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            add(&self.shared.counters.nanos, nanos);
            let changed = self.keyed.changed_bytes().saturating_sub(changed);
            let held = work.bytes_held >= OUTPUT_BYTES_HELD_MAX;
            if !done || held || changed >= STATE_BYTES_CHANGED_MAX {
                break;
            }
        }
        self.finish(work)
    }

    /// Makes one call of the span; false if it could not be made.
    async fn step(&mut self, work: &mut Work, span: Span) -> bool {
        let span = work.head(span, &self.sizing);
        if span.how == How::Alone && self.guest.as_ref().is_some_and(|g| !g.fresh) {
            self.guest = None;
        }
        let (stopwatch, keyed) = (Arc::clone(&self.stopwatch), self.keyed.clone());
        let guest = match self.ensure_guest().await {
            Ok(guest) => guest,
            Err(error) => {
                work.left.push(Left::Try(span));
                work.processed.error = Some(error);
                return false;
            }
        };
        let fresh = guest.fresh;
        let began = stopwatch.worked();
        keyed.discard();
        let called = guest.call(&work.batch, span.from, span.to).await;
        let took = stopwatch.worked().saturating_sub(began);
        match called {
            Called::GivenUp => {
                work.left.push(Left::Try(span));
                self.guest = None;
                return false;
            }
            Called::Frame(frame) => self.take(work, span, &frame, took),
            Called::Enough { frame, done } => {
                self.guest = None;
                let done = span.from + usize::try_from(done).unwrap_or(usize::MAX);
                let done = done.min(span.to);
                work.push(done, span.to, span.how);
                self.take(work, Span { to: done, ..span }, &frame, took);
            }
            Called::Refused { code, message } => {
                guest.accept();
                keyed.discard();
                for index in span.from..span.to {
                    let failure = Failure::guest(number(index), code, message.clone());
                    work.processed.failures.push(failure);
                }
            }
            Called::Ended {
                cause,
                message,
                cursor,
                kept,
            } => {
                self.guest = None;
                if cause == Cause::Timeout && cursor.is_none() {
                    self.sizing.measured(span.records(), took);
                }
                let verdict = Verdict {
                    cause,
                    message,
                    fresh,
                };
                let kept_to = work.blame(span, verdict, cursor, kept.is_some());
                if let (Some(to), Some(frame)) = (kept_to, kept) {
                    self.take(work, Span { to, ..span }, &frame, took);
                }
            }
        }
        true
    }

    /// Takes over a frame, or replays its call if it breaks the ABI.
    fn take(&mut self, work: &mut Work, span: Span, frame: &Bytes, took: Duration) {
        let output_bytes_max = self.shared.limits.get().output_bytes.0;
        let before = (work.processed.outputs.len(), work.processed.failures.len());
        match work.decode(span, frame, output_bytes_max) {
            Ok(()) => {
                self.sizing.measured(span.records(), took);
                if let Some(guest) = &mut self.guest {
                    guest.accept();
                }
                self.keep_state(work, span, before);
            }
            Err(fault) => {
                self.guest = None;
                let verdict = Verdict {
                    cause: Cause::BadFrame,
                    message: fault.to_string(),
                    fresh: false,
                };
                work.blame(span, verdict, None, false);
            }
        }
    }

    /// The call's writes of keyed state hold, unless a record that failed wrote: what it wrote must
    /// not be seen by those behind it, so they run again without it.
    fn keep_state(&self, work: &mut Work, span: Span, before: (usize, usize)) {
        let failures = work.processed.failures.get(before.1..).unwrap_or_default();
        let failed = failures.iter().map(|f| f.index - number(span.from));
        let Some((writer, known)) = self.keyed.first_writer(failed) else {
            self.keyed.commit(number(span.records()));
            return;
        };
        self.keyed.discard();
        if span.records() == 1 {
            return;
        }
        let failures = work.processed.failures.split_off(before.1);
        work.processed.outputs.truncate(before.0);
        if !known {
            work.push(span.from, span.to, How::OneByOne);
            return;
        }
        let writer = span.from + writer as usize;
        let failure = failures.into_iter().find(|f| f.index as usize == writer);
        work.push(writer + 1, span.to, span.how);
        work.left.extend(failure.map(Left::Failed));
        work.push(span.from, writer, How::Rerun);
    }

    fn finish(&mut self, mut work: Work) -> Processed {
        // What is next is on top, and everything below it comes later in the batch.
        let left = work.left.last().map(|left| match left {
            Left::Try(span) => span.from,
            Left::Failed(failure) => failure.index as usize,
        });
        let from = left.unwrap_or(work.batch.records.len());
        let counters = &self.shared.counters;
        add(&counters.records, (from - work.batch.from) as u64);
        add(&counters.outputs, work.processed.outputs.len() as u64);
        for failure in &work.processed.failures {
            counters.failed(failure.code);
        }
        if left.is_some() {
            let rest = InputBatch {
                from,
                ..work.batch.clone()
            };
            work.processed.rest = Some(rest);
        }
        work.processed
    }
}

impl Span {
    fn records(self) -> usize {
        self.to - self.from
    }
}

/// A batch in work.
struct Work {
    batch: InputBatch,
    /// What is left, the next last.
    left: Vec<Left>,
    processed: Processed,
    bytes_held: usize,
}

impl Work {
    /// Splits what the next call takes off a span and puts the rest back.
    fn head(&mut self, span: Span, sizing: &Sizing) -> Span {
        let records = self.batch.records.get(span.from..span.to);
        let taken = match span.how {
            How::Sized => sizing.next(records.unwrap_or_default()),
            How::OneByOne => 1,
            How::Rerun | How::Alone => span.records(),
        };
        let middle = (span.from + taken).min(span.to);
        self.push(middle, span.to, span.how);
        Span { to: middle, ..span }
    }

    fn push(&mut self, from: usize, to: usize, how: How) {
        if from < to {
            self.left.push(Left::Try(Span { from, to, how }));
        }
    }

    /// A call ended badly: fails its record, or plans what tells whose fault it was. Where the
    /// outputs of the records before it are `kept`, answers where these end.
    fn blame(
        &mut self,
        span: Span,
        verdict: Verdict,
        cursor: Option<u32>,
        kept: bool,
    ) -> Option<usize> {
        let Span { from, to, how } = span;
        let Verdict {
            cause,
            message,
            fresh,
        } = verdict;
        // Memory may have been filled by earlier records: only alone is a record to blame.
        let convicted = |index| {
            let failure = Failure::host(number(index), cause, message);
            Left::Failed(failure)
        };
        if span.records() == 1 {
            if cause == Cause::Memory && !fresh {
                self.push(from, to, How::Alone);
            } else {
                self.left.push(convicted(from));
            }
            return None;
        }
        let blamed = cursor
            .and_then(|k| from.checked_add(usize::try_from(k).ok()?))
            .filter(|&k| k < to && (how == How::Sized || kept));
        let Some(blamed) = blamed else {
            self.push(from, to, How::OneByOne);
            return None;
        };
        self.push(blamed + 1, to, How::Sized);
        if cause == Cause::Memory {
            self.push(blamed, blamed + 1, How::Alone);
        } else {
            self.left.push(convicted(blamed));
        }
        if kept {
            return Some(blamed);
        }
        self.push(from, blamed, How::Rerun);
        None
    }

    /// Adds what a frame says of a span's records; nothing of it if it breaks the ABI.
    fn decode(&mut self, span: Span, frame: &Bytes, bytes_max: u64) -> Result<(), BadFrame> {
        let Processed {
            outputs, failures, ..
        } = &mut self.processed;
        let (outputs_before, failures_before) = (outputs.len(), failures.len());
        outputs.reserve(span.records());
        let mut record = Current::default();
        for entry in Entries::new(frame, number(span.records())) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(fault) => {
                    outputs.truncate(outputs_before);
                    failures.truncate(failures_before);
                    return Err(fault);
                }
            };
            if record.index != Some(entry.index) {
                failures.extend(record.oversize(bytes_max, span.from));
                record = Current {
                    index: Some(entry.index),
                    bytes: 0,
                    first_output: outputs.len(),
                };
            }
            let at = span.from + entry.index as usize;
            match entry.body {
                EntryBody::Failure { code, message } => {
                    let message = text(message, MESSAGE_BYTES_MAX);
                    failures.push(Failure::guest(number(at), code, message));
                }
                EntryBody::Output(output) => {
                    record.bytes += entry.bytes as u64;
                    if record.bytes > bytes_max {
                        outputs.truncate(record.first_output);
                    } else if let Some(input) = self.batch.records.get(at) {
                        outputs.push(take_output(frame, at, output, input));
                    }
                }
            }
        }
        failures.extend(record.oversize(bytes_max, span.from));
        if outputs.len() > outputs_before {
            self.bytes_held += frame.len();
        }
        Ok(())
    }
}

/// The record whose entries are being read.
#[derive(Debug, Default)]
struct Current {
    index: Option<u32>,
    bytes: u64,
    first_output: usize,
}

impl Current {
    /// Its failure, if its outputs are too large.
    fn oversize(&self, bytes_max: u64, from: usize) -> Option<Failure> {
        let at = from + self.index.filter(|_| self.bytes > bytes_max)? as usize;
        let bytes = self.bytes;
        let message = format!("{bytes} bytes of output, the limit is {bytes_max}");
        Some(Failure::host(number(at), Cause::OutputSize, message))
    }
}

fn take_output(frame: &Bytes, at: usize, output: OutputEntry<'_>, input: &StoredRecord) -> Output {
    let own = |bytes: &[u8]| share(frame, bytes);
    let header = |(name, value): (_, Option<_>)| Header {
        name: own(name),
        value: value.map(own),
    };
    let headers = match output.headers.count_left() {
        0 => Vec::new(),
        _ => output.headers.map(header).collect(),
    };
    Output {
        index: number(at),
        output: output.output,
        partition: output.partition,
        record: Record {
            timestamp: output.timestamp.unwrap_or(input.record.timestamp),
            key: output.key.map(own),
            value: output.value.map(own),
            headers,
        },
    }
}

/// A position in a batch as outputs and failures carry it.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
