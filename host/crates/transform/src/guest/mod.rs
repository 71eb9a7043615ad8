//! One instance of a module, and one call of it, whatever kind of module it is. A call gets records
//! and ends with an output frame that is checked like any other, with a refusal, or badly.

mod component;
mod core;
mod pull;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use wasmtime::{Engine, Error, Store, Trap};

use self::component::ComponentGuest;
use self::core::CoreGuest;
use self::pull::PullGuest;
use crate::executor::Stopwatch;
use crate::failure::Cause;
use crate::instance::{InitError, InputBatch};
use crate::keyed::KeyedState;
use crate::module::Linked;
use crate::state::{self, HostState, INIT_TIME_MAX, Stopped};
use crate::stats::add;
use crate::transform::Shared;

pub(crate) use self::component::{
    ComponentState, Linked as LinkedComponent, host as component_host, link as link_component,
    linker as component_linker, state as component_state,
};
pub(crate) use self::pull::{Pull, Room, time as pull_time};

/// A live instance.
pub(crate) struct Guest {
    tier: Tier,
    shared: Arc<Shared>,
    /// No call was made yet.
    pub(crate) fresh: bool,
}

enum Tier {
    Core(Box<CoreGuest>),
    Pull(Box<PullGuest>),
    Component(Box<ComponentGuest>),
}

/// How a call ended.
pub(crate) enum Called {
    /// It answered with this output frame, not decoded yet.
    Frame(Bytes),
    /// It refused all its records.
    Refused { code: u16, message: String },
    /// It ended in a way that spoilt the instance.
    Ended {
        cause: Cause,
        message: String,
        /// What the cursor said, if it may be trusted.
        cursor: Option<u32>,
        /// The output frame of the records before it, where they need not run again.
        kept: Option<Bytes>,
    },
    /// There is enough for one call: the records below `done` have their outputs in the frame, the
    /// others were not begun.
    Enough { frame: Bytes, done: u32 },
    /// Nobody waits for it any more.
    GivenUp,
}

impl Guest {
    /// Instantiates and initializes.
    pub(crate) async fn start(
        shared: Arc<Shared>,
        keyed: KeyedState,
        stopwatch: Arc<Stopwatch>,
        given_up: Arc<AtomicBool>,
    ) -> Result<Self, InitError> {
        let compiled = Arc::clone(&shared.module.0);
        let state = HostState::new(Arc::clone(&shared), keyed, stopwatch, given_up);
        let tier = match &compiled.linked {
            Linked::Core(pre) => Tier::Core(Box::new(CoreGuest::start(pre, state).await?)),
            Linked::Program(pre) => Tier::Pull(Box::new(PullGuest::start(pre, state).await?)),
            Linked::Component(pre) => {
                Tier::Component(Box::new(ComponentGuest::start(pre, state).await?))
            }
        };
        Ok(Self {
            tier,
            shared,
            fresh: true,
        })
    }

    /// Hands records `from..to` of a batch to the module and takes its answer. After anything but
    /// a frame or a refusal the guest must not be used again.
    pub(crate) async fn call(&mut self, batch: &InputBatch, from: usize, to: usize) -> Called {
        self.fresh = false;
        add(&self.shared.counters.calls, 1);
        let (topic, partition) = (batch.topic(), batch.partition());
        let records = batch.records().get(from..to).unwrap_or_default();
        match &mut self.tier {
            Tier::Core(guest) => guest.call(topic, partition, records).await,
            Tier::Component(guest) => guest.call(topic, partition, records).await,
            Tier::Pull(guest) => guest.call(batch, from, to).await,
        }
    }

    /// Counts what the module reported in a call whose answer holds.
    pub(crate) fn accept(&mut self) {
        match &mut self.tier {
            Tier::Core(guest) => guest.accept(),
            Tier::Component(guest) => guest.accept(),
            Tier::Pull(guest) => guest.accept(),
        }
    }
}

/// A store with the limits and clocks of a guest.
fn store(engine: &Engine, state: HostState) -> Store<HostState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.epoch_deadline_callback(state::on_tick);
    store.set_epoch_deadline(1);
    store
}

/// The host's words for what ended a call, naming the limit that was hit.
fn own_words(state: &HostState, cause: Cause, error: &Error) -> String {
    let limits = state.shared.limits.get();
    match (cause, state.told.stopped) {
        (Cause::Timeout, Some(Stopped::StartTimeout)) => {
            let limit = INIT_TIME_MAX.as_millis();
            format!("starting took longer than the limit of {limit} ms")
        }
        (Cause::Timeout, _) => {
            let limit = limits.record_time.as_millis();
            format!("a record took longer than the limit of {limit} ms")
        }
        (Cause::Exit, Some(Stopped::Exit(status))) => format!("proc_exit({status})"),
        (Cause::Memory, _) => {
            let total = state.shared.module.runtime().budget.max();
            format!(
                "memory is limited to {} bytes, and that of all instances to {total}",
                limits.memory
            )
        }
        _ => match error.downcast_ref::<Trap>() {
            Some(trap) => {
                let words = trap.to_string();
                words
                    .strip_prefix("wasm trap: ")
                    .unwrap_or(&words)
                    .to_owned()
            }
            None => error.root_cause().to_string(),
        },
    }
}

fn init_error(state: &mut HostState, step: &'static str, error: &Error) -> InitError {
    let cause = state.cause();
    let own = own_words(state, cause, error);
    InitError::failed(step, cause, &state.message(|| own))
}
