//! What the host knows of one instance while its code runs: limits, deadlines, and what the module
//! told about the call. It lives in the store, so imports and the epoch callback reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::Level;
use wasmtime::{Error, Memory, ResourceLimiter, StoreContextMut, UpdateDeadline};
use wstream_record::Clock;

use crate::executor::{Sleeper, Stopwatch};
use crate::failure::{Cause, MESSAGE_BYTES_MAX, text};
use crate::guest::Pull;
use crate::keyed::KeyedState;
use crate::last_words::LastWords;
use crate::stats::{PendingMetrics, add};
use crate::transform::Shared;

/// Bytes a table element is counted as.
const TABLE_ELEMENT_BYTES: u64 = 16;
/// Memories and tables of one instance.
const MEMORIES_AND_TABLES_MAX: usize = 16;
/// Instances, memories and tables of one component.
const COMPONENT_INSTANCES_MAX: usize = 256;
/// Time for instantiation, `_initialize`, `wstream_init` and `wstream_cursor` together.
pub(crate) const INIT_TIME_MAX: Duration = Duration::from_secs(10);
/// No record of the call is in work yet.
pub(crate) const CURSOR_NONE: u32 = u32::MAX;

/// The data of a store.
pub(crate) struct HostState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) sleeper: Sleeper,
    pub(crate) stopwatch: Arc<Stopwatch>,
    /// Set when nobody waits for the call any more.
    pub(crate) given_up: Arc<AtomicBool>,
    pub(crate) memory: Option<Memory>,
    pub(crate) cursor: Option<u32>,
    pub(crate) told: Told,
    pub(crate) metrics: PendingMetrics,
    pub(crate) random: Random,
    pub(crate) stdout: Line,
    pub(crate) stderr: Line,
    /// What is kept for the records' keys.
    pub(crate) keyed: KeyedState,
    /// The batch of a module that pulls its records.
    pub(crate) pull: Option<Box<Pull>>,
    instances_max: usize,
    tables_max: usize,
    deadline: Deadline,
    memory_held: u64,
    growth_last: u64,
}

/// What the module said during a call that may be the reason of its end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) fail: Option<(u16, String)>,
    pub(crate) abort: Option<String>,
    pub(crate) stderr: LastWords,
    /// A growth of memory was refused.
    pub(crate) growth_refused: bool,
    /// How it broke the order of calls.
    pub(crate) bad: Option<String>,
    /// Why the host stopped it, if it did.
    pub(crate) stopped: Option<Stopped>,
}

/// Why the host stopped a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The time of a record or of the call.
    Timeout,
    /// The time for starting.
    StartTimeout,
    Exit(i32),
    /// Not its fault: the rest of the call's records goes to the next call.
    Enough,
    GivenUp,
}

/// The running clocks of a call.
#[derive(Debug)]
struct Deadline {
    /// When the record in work was first seen.
    record_since: Duration,
    call_since: Duration,
    /// The highest index of the call so far.
    index_max: Option<u32>,
    records: u32,
    /// Starting has its own limit instead of the record's.
    starting: bool,
}

impl HostState {
    pub(crate) fn new(
        shared: Arc<Shared>,
        keyed: KeyedState,
        stopwatch: Arc<Stopwatch>,
        given_up: Arc<AtomicBool>,
    ) -> Self {
        let runtime = shared.module.runtime();
        let since = stopwatch.worked();
        add(&shared.counters.instances, 1);
        Self {
            clock: runtime.clock.clone(),
            sleeper: runtime.executor.sleeper(),
            random: runtime.random(),
            stopwatch,
            given_up,
            memory: None,
            cursor: None,
            told: Told::default(),
            metrics: PendingMetrics::default(),
            stdout: Line::default(),
            stderr: Line::default(),
            keyed,
            pull: None,
            instances_max: 1,
            tables_max: MEMORIES_AND_TABLES_MAX,
            deadline: Deadline {
                record_since: since,
                call_since: since,
                index_max: None,
                records: 1,
                starting: true,
            },
            memory_held: 0,
            growth_last: 0,
            shared,
        }
    }

    /// A component is linked of many instances.
    pub(crate) fn allow_many_instances(&mut self) {
        self.instances_max = COMPONENT_INSTANCES_MAX;
        self.tables_max = COMPONENT_INSTANCES_MAX;
    }

    /// A call's answer holds: what it reported counts.
    pub(crate) fn accept(&mut self) {
        self.end_call();
        self.shared.counters.commit(&mut self.metrics);
    }

    /// A call of so many records begins.
    pub(crate) fn begin_call(&mut self, records: u32) {
        let now = self.stopwatch.worked();
        self.deadline = Deadline {
            record_since: now,
            call_since: now,
            index_max: None,
            records,
            starting: false,
        };
        self.told = Told::default();
        self.metrics.clear();
    }

    /// The next step of starting begins; the clock of starting goes on.
    pub(crate) fn begin_step(&mut self) {
        self.told = Told::default();
    }

    /// Gives the rest of stdout and stderr to the log.
    pub(crate) fn end_call(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = self.line(stream).flush() {
                self.log_stream(stream, line);
            }
        }
    }

    pub(crate) fn log(&self, level: Level, text: String) {
        let now = self.clock.monotonic();
        self.shared.log(now, self.clock.now(), level, text);
    }

    /// Takes what the module wrote to stdout or stderr, line by line.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let lines = self.line(stream).push(bytes);
        for line in lines {
            self.log_stream(stream, line);
        }
    }

    fn line(&mut self, stream: Stream) -> &mut Line {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn log_stream(&mut self, stream: Stream, line: String) {
        let level = match stream {
            Stream::Stdout => Level::INFO,
            Stream::Stderr => Level::WARN,
        };
        if stream == Stream::Stderr {
            self.told.stderr.hear(&line);
        }
        self.log(level, line);
    }

    /// How long the record in work, and the call, may go on.
    pub(crate) fn time_left(&self) -> Duration {
        let now = self.stopwatch.worked();
        let deadline = &self.deadline;
        let left = |since: Duration, limit: Duration| (since + limit).saturating_sub(now);
        if deadline.starting {
            return left(deadline.call_since, INIT_TIME_MAX);
        }
        let limit = self.shared.limits.get().record_time;
        let call_limit = limit.saturating_mul(deadline.records.saturating_add(1));
        left(deadline.record_since, limit).min(left(deadline.call_since, call_limit))
    }

    /// Ends the call if it is given up or its time is over.
    pub(crate) fn check_time(&mut self) -> Result<(), Error> {
        let stopped = if self.given_up.load(Ordering::Relaxed) {
            Stopped::GivenUp
        } else if self.time_left().is_zero() {
            if self.deadline.starting {
                Stopped::StartTimeout
            } else {
                Stopped::Timeout
            }
        } else {
            return Ok(());
        };
        self.told.stopped = Some(stopped);
        Err(Error::msg("stopped"))
    }

    /// The cursor was read: a record that is further on than all before it starts its clock.
    pub(crate) fn saw(&mut self, index: u32) {
        let deadline = &mut self.deadline;
        let further = deadline.index_max.is_none_or(|max| index > max);
        if index < deadline.records && further {
            deadline.index_max = Some(index);
            deadline.record_since = self.stopwatch.worked();
        }
    }

    /// Sizes in bytes. What is above the module's own maximum would fail after all.
    fn take_memory(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        let possible = maximum.is_none_or(|max| desired <= max);
        let taken = possible && self.shared.take_memory(self.memory_held, more);
        if taken {
            self.memory_held += more;
            self.growth_last = more;
        } else {
            self.told.growth_refused = true;
        }
        taken
    }

    /// The operating system did not give what the limits allowed.
    fn growth_failed(&mut self) {
        let more = std::mem::take(&mut self.growth_last);
        self.memory_held = self.memory_held.saturating_sub(more);
        self.shared.give_memory_back(more);
        self.told.growth_refused = true;
    }

    /// The message of a failure: what the module told, else the host's own words.
    pub(crate) fn message(&mut self, own: impl FnOnce() -> String) -> String {
        self.end_call();
        let told = std::mem::take(&mut self.told);
        if let Some(bad) = told.bad {
            return bad;
        }
        let fail = told.fail.map(|(_, message)| message);
        let said = fail.or(told.abort);
        said.or_else(|| told.stderr.into_text()).unwrap_or_else(own)
    }

    /// What ended the call that returned `error`.
    pub(crate) fn cause(&self) -> Cause {
        match self.told.stopped {
            Some(Stopped::Timeout | Stopped::StartTimeout) => Cause::Timeout,
            // Go exits when it gets no memory.
            Some(Stopped::Exit(_)) if self.told.growth_refused => Cause::Memory,
            Some(Stopped::Exit(_)) => Cause::Exit,
            _ if self.told.bad.is_some() => Cause::BadFrame,
            _ if self.told.growth_refused => Cause::Memory,
            _ => Cause::Trap,
        }
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        self.shared.give_memory_back(self.memory_held);
        let instances = &self.shared.counters.instances;
        instances.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The epoch ticked: look at the cursor and the clocks, then let others run.
pub(crate) fn on_tick(
    mut context: StoreContextMut<'_, HostState>,
) -> Result<UpdateDeadline, Error> {
    let pulled = context.data().pull.as_ref().and_then(|pull| pull.index());
    if let Some(index) = pulled.or_else(|| cursor(&mut context)) {
        context.data_mut().saw(index);
    }
    context.data_mut().check_time()?;
    Ok(UpdateDeadline::Yield(1))
}

/// The index of the record in work, whatever the module wrote there.
pub(crate) fn cursor(context: &mut StoreContextMut<'_, HostState>) -> Option<u32> {
    let state = context.data();
    let (memory, address) = (state.memory?, state.cursor?);
    let from = usize::try_from(address).ok()?;
    let bytes = memory.data(&*context).get(from..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

impl ResourceLimiter for HostState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        Ok(self.take_memory(current as u64, desired as u64, maximum.map(|m| m as u64)))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<(), Error> {
        self.growth_failed();
        Ok(())
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<(), Error> {
        self.growth_failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.take_memory(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.tables_max
    }

    fn memories(&self) -> usize {
        self.tables_max
    }
}

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A line that is being written.
#[derive(Debug, Default)]
pub(crate) struct Line {
    bytes: Vec<u8>,
}

impl Line {
    /// Adds bytes and gives the lines that ended.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let (part, ends) = match part.split_last() {
                Some((b'\n', line)) => (line, true),
                _ => (part, false),
            };
            let room = MESSAGE_BYTES_MAX.saturating_sub(self.bytes.len());
            let taken = part.get(..room).unwrap_or(part);
            self.bytes.extend_from_slice(taken);
            if ends {
                ended.extend(self.flush());
            }
        }
        ended
    }

    /// Ends the line; an empty one is no line.
    fn flush(&mut self) -> Option<String> {
        let line = text(&self.bytes, MESSAGE_BYTES_MAX);
        self.bytes.clear();
        let line = line.trim_end();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// Random numbers for one instance: xoshiro256++ from a seed of the operating system. They serve
/// hash seeds and sampling; a module gets no secrets here.
#[derive(Debug, Clone)]
pub(crate) struct Random([u64; 4]);

impl Random {
    pub(crate) fn new(seed: [u64; 4]) -> Self {
        // The one state the generator cannot leave.
        Self(if seed == [0; 4] { [1, 2, 3, 4] } else { seed })
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let answer = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        answer
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.copy_from_slice(random.get(..chunk.len()).unwrap_or(&random));
        }
    }
}
