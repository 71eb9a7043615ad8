//! WASI 0.2 for components, just enough that every toolchain links: no arguments, no environment,
//! no files, no sockets; clocks, random numbers, sleep, and stdout and stderr that go to the
//! module's log. Sleeps end at the time limit and hold no thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::Error;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult, subscribe};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, async_trait};
use wstream_record::Clock;

use crate::executor::{Sleeper, Stopwatch};
use crate::guest::ComponentState;
use crate::state::{HostState, Stream};

/// Streams, pollables and the like that a component may hold.
pub(crate) const RESOURCES_MAX: usize = 1_000;
/// Bytes written to a stream between two looks at it that reach the log; the rest is dropped.
const STREAM_BYTES_MAX: usize = 64 << 10;
/// Random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn define(linker: &mut Linker<ComponentState>) -> Result<(), Error> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // Sleeping goes by the guest threads' clock and limits.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A context of an instance.
pub(crate) fn context(host: &HostState, streams: &Streams) -> WasiCtx {
    let mut random = host.random.clone();
    let seed = u128::from(random.next()) << 64 | u128::from(random.next());
    WasiCtxBuilder::new()
        .stdout(streams.stdout.clone())
        .stderr(streams.stderr.clone())
        .wall_clock(Wall(host.clock.clone()))
        .max_random_size(RANDOM_BYTES_MAX)
        .insecure_random_seed(seed)
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// What a component writes to stdout and stderr.
#[derive(Default)]
pub(crate) struct Streams {
    stdout: Written,
    stderr: Written,
}

/// A stream; it keeps what was written until somebody looks.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Streams {
    /// What was written since the last look.
    pub(crate) fn take(&self) -> [(Stream, Vec<u8>); 2] {
        [
            (Stream::Stdout, std::mem::take(&mut *self.stdout.0.lock())),
            (Stream::Stderr, std::mem::take(&mut *self.stderr.0.lock())),
        ]
    }
}

impl IsTerminal for Written {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Written {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Written {
    async fn ready(&mut self) {}
}

impl OutputStream for Written {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut written = self.0.lock();
        let room = STREAM_BYTES_MAX.saturating_sub(written.len());
        written.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STREAM_BYTES_MAX)
    }
}

/// The host's wall clock.
struct Wall(Clock);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().0).unwrap_or(0))
    }
}

impl monotonic_clock::Host for ComponentState {
    fn now(&mut self) -> Result<u64, Error> {
        Ok(nanos(self.host.clock.monotonic()))
    }

    fn resolution(&mut self) -> Result<u64, Error> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>, Error> {
        let now = nanos(self.host.clock.monotonic());
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, length: u64) -> Result<Resource<DynPollable>, Error> {
        let host = &self.host;
        // The limit ends the call at the next tick after it.
        let length = Duration::from_nanos(length).min(host.time_left());
        let sleep = Sleep {
            until: host.clock.monotonic() + length,
            clock: host.clock.clone(),
            sleeper: host.sleeper.clone(),
            stopwatch: Arc::clone(&host.stopwatch),
            given_up: Arc::clone(&host.given_up),
        };
        let sleep = self.table.push(sleep)?;
        subscribe(&mut self.table, sleep)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Ready at a time.
struct Sleep {
    until: Duration,
    clock: Clock,
    sleeper: Sleeper,
    stopwatch: Arc<Stopwatch>,
    given_up: Arc<AtomicBool>,
}

#[async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        let from = self.clock.monotonic();
        let (until, clock, given_up) = (self.until, &self.clock, &self.given_up);
        self.sleeper
            .until(|| clock.monotonic() >= until || given_up.load(Ordering::Relaxed))
            .await;
        let slept = self.clock.monotonic().saturating_sub(from);
        self.stopwatch.count_as_work(slept);
    }
}
