//! An instance of a component with a world of `guest-sdk/wit`, and one call of it.
//!
//! What the component answers is lifted by the engine, which checks it and bounds what that takes.
//! With the world `transform` it becomes an output frame, with `transform-frames` it is one, so that
//! everything behind it is the same for every kind of module.

mod records;

use wasmtime::component::{InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Error, Store, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wstream_record::{PartitionId, StoredRecord, TopicName};

use super::{Called, init_error, own_words};
use crate::failure::{Cause, MESSAGE_BYTES_MAX, text};
use crate::frame::{encode, frame_bytes};
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
    pub(super) mod records {
        wasmtime::component::bindgen!({
            path: "../../../guest-sdk/wit",
            world: "transform",
            ownership: Borrowing { duplicate_if_necessary: true },
            exports: { default: async },
        });
    }

    pub(super) mod frames {
        use super::records::wstream::transform;

        wasmtime::component::bindgen!({
            path: "../../../guest-sdk/wit",
            world: "transform-frames",
            with: {
                "wstream:transform/types@1.0.0": transform::types,
                "wstream:transform/host@1.0.0": transform::host,
                "wstream:transform/state@1.0.0": transform::state,
            },
            exports: { default: async },
        });
    }
}

pub(crate) use bindings::records::wstream::transform::{host, state};

use bindings::records::exports::wstream::transform::guest::Payloads;
use bindings::records::wstream::transform::types::Failure;

/// What a component of the world `transform-frames` exports.
const GUEST_FRAMES: &str = "wstream:transform/guest-frames@1.0.0";
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
pub(crate) enum Linked {
    Records(bindings::records::TransformPre<ComponentState>),
    Frames(bindings::frames::TransformFramesPre<ComponentState>),
}

/// Checks that a component's exports have the types of its world: that of frames, if it exports
/// both.
pub(crate) fn link(pre: InstancePre<ComponentState>) -> Result<Linked, Error> {
    let frames = pre.component().get_export_index(None, GUEST_FRAMES);
    Ok(match frames {
        Some(_) => Linked::Frames(bindings::frames::TransformFramesPre::new(pre)?),
        None => Linked::Records(bindings::records::TransformPre::new(pre)?),
    })
}

/// An instance's exports.
enum World {
    Records(bindings::records::Transform, Payloads),
    Frames(bindings::frames::TransformFrames),
}

/// A live instance.
pub(super) struct ComponentGuest {
    store: Store<ComponentState>,
    world: World,
}

impl ComponentGuest {
    /// Instantiates and initializes.
    pub(super) async fn start(linked: &Linked, state: HostState) -> Result<Self, InitError> {
        let config = state.shared.config.clone();
        let engine = match linked {
            Linked::Records(pre) => pre.engine(),
            Linked::Frames(pre) => pre.engine(),
        };
        let mut store = Store::new(engine, ComponentState::new(state));
        store.limiter(|state| &mut state.host);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.epoch_deadline_callback(|mut context| {
            context.data_mut().host.check_time()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store.set_epoch_deadline(1);
        let world = match linked {
            Linked::Records(pre) => {
                let instance = pre.instantiate_async(&mut store).await;
                // What records come with is known once `init` has said it.
                instance.map(|instance| World::Records(instance, Payloads::Text))
            }
            Linked::Frames(pre) => pre.instantiate_async(&mut store).await.map(World::Frames),
        };
        let world = world.map_err(|e| ended_early(&mut store, "instantiation", &e))?;
        store.data_mut().host.begin_step();
        let answered = match world {
            World::Records(instance, _) => {
                let guest = instance.wstream_transform_guest();
                let answered = guest.call_init(&mut store, &config).await;
                answered.map(|said| said.map(|payloads| World::Records(instance, payloads)))
            }
            World::Frames(instance) => {
                let guest = instance.wstream_transform_guest_frames();
                let answered = guest.call_init(&mut store, &config).await;
                answered.map(|said| said.map(|()| World::Frames(instance)))
            }
        };
        let world = match answered {
            Ok(Ok(world)) => world,
            Ok(Err(failure)) => {
                let (code, message) = refusal(&failure);
                return Err(InitError::Refused { code, message });
            }
            Err(error) => return Err(ended_early(&mut store, "init", &error)),
        };
        store.data_mut().drain();
        store.data_mut().host.end_call();
        Ok(Self { store, world })
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
        let store = &mut self.store;
        let answered = match &self.world {
            World::Records(instance, payloads) => {
                let guest = instance.wstream_transform_guest();
                records::call(guest, store, (topic, partition), records, *payloads).await
            }
            World::Frames(instance) => {
                let mut batch = vec![0; frame_bytes(topic, records)];
                let written = encode(&mut batch, topic, partition, records);
                debug_assert!(written, "the buffer is as long as the frame");
                let guest = instance.wstream_transform_guest_frames();
                let answered = guest.call_process(store, &batch).await;
                answered.map(|said| said.map(|frame| Ok(frame.into())))
            }
        };
        match answered {
            Ok(Ok(Ok(frame))) => Called::Frame(frame),
            Ok(Ok(Err(message))) => Called::Ended {
                cause: Cause::BadFrame,
                message,
                cursor: None,
                kept: None,
            },
            Ok(Err(failure)) => {
                let (code, message) = refusal(&failure);
                Called::Refused { code, message }
            }
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

/// Code and message of a failure that is not a record's.
fn refusal(failure: &Failure) -> (u16, String) {
    let message = text(failure.message.as_bytes(), MESSAGE_BYTES_MAX);
    (code(failure.code), message)
}

fn code(code: u16) -> u16 {
    if code > CODE_MAX { 0 } else { code }
}
