//! An instance of a Redpanda transform: a WASI program whose `_start` pulls records and never
//! returns. It runs as one call for the whole life of the instance; between batches it waits in
//! `read_batch_header`.
//!
//! What it writes between two reads belongs to the record read last, so every output has its
//! record, and a program that ends has done all records before the one in work: their outputs are
//! kept, and nothing is written twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::{Error, InstancePre, Store};
use wstream_record::StoredRecord;

use super::{Called, init_error, own_words};
use crate::failure::Cause;
use crate::frame::FrameWriter;
use crate::instance::{InitError, InputBatch};
use crate::state::{HostState, Stopped};
use crate::stats::PendingMetrics;
use crate::transform::Shared;

/// Output of one call that is held; when there is more, the rest of the records goes to the next.
const CALL_OUTPUT_BYTES_MAX: usize = 64 << 20;
/// What a Redpanda broker allows of a transform's environment.
const VARIABLES_MAX: usize = 128;
const VARIABLE_NAME_BYTES_MAX: usize = 128;
const VARIABLE_VALUE_BYTES_MAX: usize = 2048;

/// A program under way, and its store when it has ended.
type Program = Pin<Box<dyn Future<Output = (Store<HostState>, Result<(), Error>)> + Send>>;

/// A live instance.
pub(super) struct PullGuest {
    program: Program,
    desk: Arc<Mutex<Desk>>,
    shared: Arc<Shared>,
}

/// Where the program and whoever calls it meet.
#[derive(Default)]
pub(crate) struct Desk {
    /// The next batch.
    offered: Option<Offer>,
    /// The answer to the last one.
    answer: Option<(Bytes, PendingMetrics)>,
    /// The program asks for a batch.
    is_waiting: bool,
    accepted: PendingMetrics,
}

/// Records for the program.
struct Offer {
    records: Arc<Vec<StoredRecord>>,
    from: usize,
    to: usize,
}

/// The batch a program works on; it lives in the store.
#[derive(Default)]
pub(crate) struct Pull {
    desk: Arc<Mutex<Desk>>,
    batch: Option<Offer>,
    /// Records of the batch that were read.
    read: usize,
    frame: FrameWriter,
    /// Bytes of the frame before the record in work.
    record_from: usize,
}

/// A batch as `read_batch_header` tells it.
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    pub(crate) records: i32,
    pub(crate) last_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    /// The largest payload.
    pub(crate) payload_bytes: i32,
}

impl Pull {
    /// The batch is over; its answer goes to the desk. Fails if records were left unread.
    pub(crate) fn finish(&mut self, metrics: &mut PendingMetrics) -> Result<(), String> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        let (read, all) = (self.read, batch.to - batch.from);
        if read < all {
            return Err(format!(
                "it asked for another batch after {read} of {all} records"
            ));
        }
        self.batch = None;
        let frame = self.frame.finish();
        self.desk.lock().answer = Some((frame, std::mem::take(metrics)));
        Ok(())
    }

    /// Waits for a batch.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let desk = Arc::clone(&self.desk);
        std::future::poll_fn(move |_| {
            let mut desk = desk.lock();
            desk.is_waiting = desk.offered.is_none();
            if desk.is_waiting {
                // Whoever offers a batch polls the program.
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
    }

    /// Takes the batch that was waited for.
    pub(crate) fn begin(&mut self) -> Option<Header> {
        let offer = self.desk.lock().offered.take()?;
        let records = offer.records.get(offer.from..offer.to)?;
        let times = || records.iter().map(time);
        let largest = records
            .iter()
            .map(|r| crate::frame::payload::payload_bytes(&r.record));
        let base = records.first()?.offset.0;
        let header = Header {
            base_offset: base,
            records: i32::try_from(records.len()).ok()?,
            last_delta: i32::try_from(records.last()?.offset.0 - base).unwrap_or(i32::MAX),
            base_timestamp: records.first().map_or(0, time),
            max_timestamp: times().max().unwrap_or(0),
            payload_bytes: i32::try_from(largest.max().unwrap_or(0)).unwrap_or(i32::MAX),
        };
        self.batch = Some(offer);
        self.read = 0;
        self.record_from = 0;
        self.frame.truncate(0);
        Some(header)
    }

    /// The record that would be read next.
    pub(crate) fn peek(&self) -> Option<&StoredRecord> {
        let batch = self.batch.as_ref()?;
        let at = batch.from + self.read;
        batch.records.get(at).filter(|_| at < batch.to)
    }

    /// Whether the outputs of this call are as many as one call may have.
    pub(crate) fn is_full(&self, output_bytes_max: u64) -> bool {
        let most = usize::try_from(output_bytes_max).unwrap_or(usize::MAX);
        self.read > 0 && self.frame.len() > CALL_OUTPUT_BYTES_MAX.max(most)
    }

    /// The record was read: it is in work now.
    pub(crate) fn advance(&mut self) {
        self.read += 1;
        self.record_from = self.frame.len();
    }

    /// The index of the record in work.
    pub(crate) fn index(&self) -> Option<u32> {
        self.batch.as_ref()?;
        u32::try_from(self.read.checked_sub(1)?).ok()
    }

    /// The frame, to write an output of the record in work, and its index. Past the limit of a
    /// record nothing is kept but the one output that passed it.
    pub(crate) fn output(&mut self, output_bytes_max: u64) -> Option<Room<'_>> {
        let index = self.index()?;
        let written = (self.frame.len() - self.record_from) as u64;
        Some(if written > output_bytes_max {
            Room::Past
        } else {
            Room::Frame(&mut self.frame, index)
        })
    }
}

/// Where an output goes.
pub(crate) enum Room<'a> {
    Frame(&'a mut FrameWriter, u32),
    /// The record has failed already.
    Past,
}

/// The SDKs take times from 1970 on only.
pub(crate) fn time(stored: &StoredRecord) -> i64 {
    stored.record.timestamp.0.max(0)
}

impl PullGuest {
    /// Starts the program and waits until it asks for records.
    pub(super) async fn start(
        pre: &InstancePre<HostState>,
        mut state: HostState,
    ) -> Result<Self, InitError> {
        let shared = Arc::clone(&state.shared);
        check_environment(&shared.environment)?;
        let desk = Arc::new(Mutex::new(Desk::default()));
        state.pull = Some(Box::new(Pull {
            desk: Arc::clone(&desk),
            ..Pull::default()
        }));
        let mut store = super::store(pre.module().engine(), state);
        let instance = match pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err(init_error(store.data_mut(), "instantiation", &error)),
        };
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, "_start") else {
            let message = "an export has another type";
            return Err(InitError::failed("instantiation", Cause::Trap, message));
        };
        store.data_mut().begin_step();
        let program: Program = Box::pin(async move {
            let ended = start.call_async(&mut store, ()).await;
            (store, ended)
        });
        let mut guest = Self {
            program,
            desk,
            shared,
        };
        match guest.run(|desk| desk.is_waiting).await {
            None => Ok(guest),
            Some((mut store, Ok(()))) => {
                let own = "it returned before it asked for records".to_owned();
                let message = store.data_mut().message(|| own);
                Err(InitError::failed("_start", Cause::Exit, &message))
            }
            Some((mut store, Err(error))) => Err(init_error(store.data_mut(), "_start", &error)),
        }
    }

    /// Lets the program run until `done`; its store if it ended.
    async fn run(
        &mut self,
        done: impl Fn(&Desk) -> bool,
    ) -> Option<(Store<HostState>, Result<(), Error>)> {
        let (program, desk) = (&mut self.program, &self.desk);
        std::future::poll_fn(|context| match program.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if done(&desk.lock()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(super) async fn call(&mut self, batch: &InputBatch, from: usize, to: usize) -> Called {
        {
            let mut desk = self.desk.lock();
            desk.answer = None;
            desk.is_waiting = false;
            desk.offered = Some(Offer {
                records: Arc::clone(batch.records()),
                from,
                to,
            });
        }
        let ended = self.run(|desk| desk.is_waiting && desk.answer.is_some());
        let Some((mut store, result)) = ended.await else {
            let mut desk = self.desk.lock();
            let (frame, metrics) = desk.answer.take().unwrap_or_default();
            desk.accepted = metrics;
            return Called::Frame(frame);
        };
        let state = store.data_mut();
        if state.told.stopped == Some(Stopped::GivenUp) {
            return Called::GivenUp;
        }
        let pull = state.pull.take().map(|pull| *pull).unwrap_or_default();
        let cursor = pull.index();
        let mut frame = pull.frame;
        if state.told.stopped == Some(Stopped::Enough) {
            return Called::Enough {
                frame: frame.finish(),
                done: u32::try_from(pull.read).unwrap_or(u32::MAX),
            };
        }
        frame.truncate(pull.record_from);
        let (cause, own) = match &result {
            Ok(()) => (Cause::Exit, "the program ended: _start returned".to_owned()),
            Err(error) => {
                let cause = state.cause();
                (cause, own_words(state, cause, error))
            }
        };
        Called::Ended {
            cause,
            message: state.message(|| own),
            cursor,
            kept: cursor.map(|_| frame.finish()),
        }
    }

    pub(super) fn accept(&mut self) {
        let mut desk = self.desk.lock();
        self.shared.counters.commit(&mut desk.accepted);
    }
}

/// The rules of a broker, so that a module that runs here runs there.
fn check_environment(variables: &[(String, String)]) -> Result<(), InitError> {
    let refused = |message: String| {
        let code = 0;
        Err(InitError::Refused { code, message })
    };
    if variables.len() > VARIABLES_MAX {
        let n = variables.len();
        return refused(format!(
            "{n} environment variables, at most {VARIABLES_MAX} are taken"
        ));
    }
    for (name, value) in variables {
        let is_name = (1..=VARIABLE_NAME_BYTES_MAX).contains(&name.len())
            && !name.contains(|c: char| c == '=' || c.is_control());
        if !is_name {
            return refused(format!(
                "{name:?} is no name of an environment variable: it has 1 to \
                 {VARIABLE_NAME_BYTES_MAX} bytes without `=`"
            ));
        }
        if value.len() > VARIABLE_VALUE_BYTES_MAX || value.contains(char::is_control) {
            return refused(format!(
                "the environment variable {name} has more than {VARIABLE_VALUE_BYTES_MAX} bytes or \
                 control characters"
            ));
        }
    }
    Ok(())
}
