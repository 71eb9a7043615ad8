//! An instance of a component with the world `wstream:transform/transform`, and one call of it.
//!
//! What the component answers is lifted by the engine, which checks it and bounds what that takes;
//! it becomes an output frame, so that everything behind it is the same for every kind of module.

use std::borrow::Cow;

use bytes::Bytes;
use wasmtime::component::{InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Error, Store, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wstream_record::{PartitionId, Record, StoredRecord, TopicName};

use super::{Called, init_error, own_words};
use crate::failure::{Cause, MESSAGE_BYTES_MAX, text};
use crate::frame::FrameWriter;
use crate::host::wasi2::{self, Streams};
use crate::instance::InitError;
use crate::state::{HostState, Stopped};

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    elided_lifetimes_in_paths,
    reason = "what the macro makes is not written here"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../../guest-sdk/wit",
        world: "transform",
        ownership: Borrowing { duplicate_if_necessary: true },
        exports: { default: async },
    });
}

pub(crate) use bindings::wstream::transform::{host, state};

use bindings::exports::wstream::transform::guest::{Failure, Input, Output, Payloads};
use bindings::wstream::transform::types::{HeaderParam, PayloadParam, PayloadResult};

/// Bytes that one call may make the host hold: its answer, or what it gives to one import.
const HOSTCALL_BYTES_MAX: usize = 128 << 20;
/// Highest code a module may give.
const CODE_MAX: u16 = 999;

/// The data of a component's store.
pub(crate) struct ComponentState {
    pub(crate) host: HostState,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    streams: Streams,
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl ComponentState {
    fn new(mut host: HostState) -> Self {
        host.allow_many_instances();
        let streams = Streams::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(wasi2::RESOURCES_MAX);
        Self {
            wasi: wasi2::context(&host, &streams),
            host,
            table,
            streams,
        }
    }

    /// What was written to stdout and stderr reaches the log.
    fn drain(&mut self) {
        for (stream, bytes) in self.streams.take() {
            self.host.write(stream, &bytes);
        }
    }
}

/// Defines all imports of components.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<ComponentState>, Error> {
    let mut linker = Linker::new(engine);
    wasi2::define(&mut linker)?;
    host::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)?;
    state::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// What a compiled component is started from.
pub(crate) type Linked = bindings::TransformPre<ComponentState>;

/// Checks that a component's exports have the world's types.
pub(crate) fn link(pre: InstancePre<ComponentState>) -> Result<Linked, Error> {
    Linked::new(pre)
}

/// A live instance.
pub(super) struct ComponentGuest {
    store: Store<ComponentState>,
    bindings: bindings::Transform,
    payloads: Payloads,
}

impl ComponentGuest {
    /// Instantiates and initializes.
    pub(super) async fn start(linked: &Linked, state: HostState) -> Result<Self, InitError> {
        let engine = linked.engine();
        let config = state.shared.config.clone();
        let mut store = Store::new(engine, ComponentState::new(state));
        store.limiter(|state| &mut state.host);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.epoch_deadline_callback(|mut context| {
            context.data_mut().host.check_time()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store.set_epoch_deadline(1);
        let bindings = match linked.instantiate_async(&mut store).await {
            Ok(bindings) => bindings,
            Err(error) => return Err(ended_early(&mut store, "instantiation", &error)),
        };
        store.data_mut().host.begin_step();
        let guest = bindings.wstream_transform_guest();
        let answered = guest.call_init(&mut store, &config).await;
        let payloads = match answered {
            Ok(Ok(payloads)) => payloads,
            Ok(Err(failure)) => {
                let code = code(failure.code);
                let message = text(failure.message.as_bytes(), MESSAGE_BYTES_MAX);
                return Err(InitError::Refused { code, message });
            }
            Err(error) => return Err(ended_early(&mut store, "init", &error)),
        };
        store.data_mut().drain();
        store.data_mut().host.end_call();
        Ok(Self {
            store,
            bindings,
            payloads,
        })
    }

    pub(super) async fn call(
        &mut self,
        topic: &TopicName,
        partition: PartitionId,
        records: &[StoredRecord],
    ) -> Called {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        self.store.data_mut().host.begin_call(count);
        self.store.set_epoch_deadline(1);
        let names = header_names(records);
        let headers = headers(records, &names, self.payloads);
        let mut headers = headers.as_slice();
        let inputs = records.iter().map(|stored| {
            let (own, rest) = headers.split_at(stored.record.headers.len());
            headers = rest;
            input(stored, own, self.payloads)
        });
        let inputs: Vec<_> = inputs.collect();
        let guest = self.bindings.wstream_transform_guest();
        let name = topic.as_str();
        let answered = guest.call_process(&mut self.store, name, partition.0, &inputs);
        match answered.await {
            Ok(Ok(outcomes)) if outcomes.len() == records.len() => Called::Frame(frame(&outcomes)),
            Ok(Ok(outcomes)) => Called::Ended {
                cause: Cause::BadFrame,
                message: format!(
                    "the answer has {} outcomes for {} records",
                    outcomes.len(),
                    records.len()
                ),
                cursor: None,
                kept: None,
            },
            Ok(Err(failure)) => Called::Refused {
                code: code(failure.code),
                message: text(failure.message.as_bytes(), MESSAGE_BYTES_MAX),
            },
            Err(error) => self.trapped(&error),
        }
    }

    pub(super) fn accept(&mut self) {
        let state = self.store.data_mut();
        state.drain();
        state.host.accept();
    }

    fn trapped(&mut self, error: &Error) -> Called {
        let state = self.store.data_mut();
        if state.host.told.stopped == Some(Stopped::GivenUp) {
            return Called::GivenUp;
        }
        note_exit(state, error);
        state.drain();
        let cause = state.host.cause();
        let own = own_words(&state.host, cause, error);
        Called::Ended {
            cause,
            message: state.host.message(|| own),
            cursor: None,
            kept: None,
        }
    }
}

fn ended_early(store: &mut Store<ComponentState>, step: &'static str, error: &Error) -> InitError {
    let state = store.data_mut();
    note_exit(state, error);
    state.drain();
    init_error(&mut state.host, step, error)
}

fn note_exit(state: &mut ComponentState, error: &Error) {
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        state.host.told.stopped = Some(Stopped::Exit(*status));
    }
}

fn code(code: u16) -> u16 {
    if code > CODE_MAX { 0 } else { code }
}

/// Names of all headers, in order; they are text in a component.
fn header_names(records: &[StoredRecord]) -> Vec<Cow<'_, str>> {
    let headers = records.iter().flat_map(|stored| &stored.record.headers);
    headers.map(|h| String::from_utf8_lossy(&h.name)).collect()
}

fn headers<'a>(
    records: &'a [StoredRecord],
    names: &'a [Cow<'a, str>],
    payloads: Payloads,
) -> Vec<HeaderParam<'a>> {
    let headers = records.iter().flat_map(|stored| &stored.record.headers);
    let header = |(header, name): (&'a wstream_record::Header, &'a Cow<'a, str>)| HeaderParam {
        name,
        value: payload(header.value.as_ref(), payloads),
    };
    headers.zip(names).map(header).collect()
}

fn input<'a>(
    stored: &'a StoredRecord,
    headers: &'a [HeaderParam<'a>],
    payloads: Payloads,
) -> Input<'a> {
    let Record {
        timestamp,
        key,
        value,
        ..
    } = &stored.record;
    Input {
        offset: stored.offset.0,
        timestamp: timestamp.0,
        key: payload(key.as_ref(), payloads),
        value: payload(value.as_ref(), payloads),
        headers,
    }
}

fn payload(bytes: Option<&Bytes>, payloads: Payloads) -> Option<PayloadParam<'_>> {
    let bytes = bytes?;
    let text = match payloads {
        Payloads::Text => std::str::from_utf8(bytes).ok(),
        Payloads::Binary => None,
    };
    Some(match text {
        Some(text) => PayloadParam::Text(text),
        None => PayloadParam::Binary(bytes),
    })
}

fn plain(payload: Option<&PayloadResult>) -> Option<&[u8]> {
    payload.map(|payload| match payload {
        PayloadResult::Text(text) => text.as_bytes(),
        PayloadResult::Binary(bytes) => bytes,
    })
}

fn frame(outcomes: &[Result<Vec<Output>, Failure>]) -> Bytes {
    let mut frame = FrameWriter::default();
    for (index, outcome) in (0_u32..).zip(outcomes) {
        match outcome {
            Ok(outputs) => outputs.iter().for_each(|output| {
                let partition = output
                    .partition
                    .map(|p| i32::try_from(p).unwrap_or(i32::MAX));
                // The lowest value means none in a frame: as a time it is as wrong as its neighbour.
                let timestamp = output.timestamp.map(|t| t.max(i64::MIN + 1));
                let value = plain(output.value.as_ref());
                let headers = output.headers.iter();
                frame.output(index, output.output, partition, timestamp);
                frame.nullable(plain(output.key.as_ref()));
                frame.nullable(value);
                frame.headers(headers.map(|h| (h.name.as_bytes(), plain(h.value.as_ref()))));
            }),
            Err(failure) => frame.failure(index, code(failure.code), failure.message.as_bytes()),
        }
    }
    frame.finish()
}
