//! An instance of a `wstream_v1` module, and one call of it. **The line where a module's output is
//! checked is `CoreGuest::take_output`** (the range) and `frame::Entries` (the content).

use bytes::Bytes;
use wasmtime::{AsContextMut as _, Error, InstancePre, Memory, Store, TypedFunc};
use wstream_record::{PartitionId, StoredRecord, TopicName};

use super::{Called, init_error, own_words};
use crate::failure::Cause;
use crate::frame::{Pool, encode, frame_bytes};
use crate::instance::InitError;
use crate::state::{self, CURSOR_NONE, HostState, Stopped};

/// A live instance.
pub(super) struct CoreGuest {
    store: Store<HostState>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    process: TypedFunc<(u32, u32), u64>,
    frames: Pool,
}

/// What `wstream_process` returns to refuse a call.
const REFUSED: u64 = u64::MAX;

impl CoreGuest {
    /// Instantiates and initializes.
    pub(super) async fn start(
        pre: &InstancePre<HostState>,
        state: HostState,
    ) -> Result<Self, InitError> {
        let config = state.shared.config.clone();
        let mut store = super::store(pre.module().engine(), state);
        let instance = match pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err(init_error(store.data_mut(), "instantiation", &error)),
        };
        let Some(memory) = instance.get_memory(&mut store, "memory") else {
            return Err(InitError::failed("instantiation", Cause::Trap, "no memory"));
        };
        store.data_mut().memory = Some(memory);
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut store, "_initialize") {
            store.data_mut().begin_step();
            let ran = initialize.call_async(&mut store, ()).await;
            ran.map_err(|e| init_error(store.data_mut(), "_initialize", &e))?;
        }
        let (alloc, process) = (
            instance.get_typed_func(&mut store, "wstream_alloc"),
            instance.get_typed_func(&mut store, "wstream_process"),
        );
        let (Ok(alloc), Ok(process)) = (alloc, process) else {
            let message = "an export has another type";
            return Err(InitError::failed("instantiation", Cause::Trap, message));
        };
        let init = instance.get_typed_func(&mut store, "wstream_init").ok();
        let cursor = instance.get_typed_func(&mut store, "wstream_cursor").ok();
        let mut guest = Self {
            store,
            memory,
            alloc,
            process,
            frames: Pool::default(),
        };
        if let Some(init) = init {
            guest.init(&init, config.as_bytes()).await?;
        }
        if let Some(cursor) = cursor {
            guest.ask_cursor(&cursor).await?;
        }
        guest.store.data_mut().end_call();
        Ok(guest)
    }

    async fn init(
        &mut self,
        init: &TypedFunc<(u32, u32), i32>,
        config: &[u8],
    ) -> Result<(), InitError> {
        const STEP: &str = "wstream_init";
        self.store.data_mut().begin_step();
        let length = u32::try_from(config.len()).unwrap_or(u32::MAX);
        let allocated = self.alloc.call_async(&mut self.store, length).await;
        let address =
            allocated.map_err(|e| init_error(self.store.data_mut(), "wstream_alloc", &e))?;
        match self.buffer(address, config.len()) {
            Ok(buffer) => buffer.copy_from_slice(config),
            Err((cause, message)) => return Err(InitError::failed(STEP, cause, &message)),
        }
        let ran = init.call_async(&mut self.store, (address, length)).await;
        let status = ran.map_err(|e| init_error(self.store.data_mut(), STEP, &e))?;
        if status == 0 {
            return Ok(());
        }
        let state = self.store.data_mut();
        let code = state.told.fail.as_ref().map_or(0, |(code, _)| *code);
        let message = state.message(|| format!("it returned {status}"));
        Err(InitError::Refused { code, message })
    }

    async fn ask_cursor(&mut self, cursor: &TypedFunc<(), u32>) -> Result<(), InitError> {
        const STEP: &str = "wstream_cursor";
        self.store.data_mut().begin_step();
        let asked = cursor.call_async(&mut self.store, ()).await;
        let address = asked.map_err(|e| init_error(self.store.data_mut(), STEP, &e))?;
        self.store.data_mut().cursor = Some(address);
        if self.reset_cursor() {
            Ok(())
        } else {
            let size = self.memory.data_size(&self.store);
            let message = format!("the cursor at {address:#x} is outside memory of {size} bytes");
            Err(InitError::failed(STEP, Cause::BadFrame, &message))
        }
    }

    /// Hands records to the module and takes its answer. After anything but a frame or a refusal
    /// the guest must not be used again.
    pub(super) async fn call(
        &mut self,
        topic: &TopicName,
        partition: PartitionId,
        records: &[StoredRecord],
    ) -> Called {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        self.store.data_mut().begin_call(count);
        self.store.set_epoch_deadline(1);
        self.reset_cursor();
        let bytes = frame_bytes(topic, records);
        let Some(length) = u32::try_from(bytes).ok().filter(|&l| l <= i32::MAX as u32) else {
            let message = format!("a frame of {bytes} bytes is above 2 GiB");
            return self.ended(Cause::Memory, message);
        };
        let address = match self.alloc.call_async(&mut self.store, length).await {
            Ok(address) => address,
            // Blaming the record in work makes no sense here: none is.
            Err(error) => return self.trapped(&error, false),
        };
        match self.buffer(address, bytes) {
            Ok(buffer) => {
                let written = encode(buffer, topic, partition, records);
                debug_assert!(written, "the buffer is as long as the frame");
            }
            Err((cause, message)) => return self.ended(cause, message),
        }
        self.reset_cursor();
        let arguments = (address, length);
        match self.process.call_async(&mut self.store, arguments).await {
            Ok(REFUSED) => {
                let state = self.store.data_mut();
                let code = state.told.fail.as_ref().map_or(0, |(code, _)| *code);
                let message = state.message(|| "the module refused the call".to_owned());
                Called::Refused { code, message }
            }
            Ok(packed) => match self.take_output(packed) {
                Ok(frame) => Called::Frame(frame),
                Err(message) => self.ended(Cause::BadFrame, message),
            },
            Err(error) => self.trapped(&error, true),
        }
    }

    /// Counts what the module reported in a call whose answer holds.
    pub(super) fn accept(&mut self) {
        self.store.data_mut().accept();
    }

    /// Copies the output frame out, if all of it is in memory.
    fn take_output(&self, packed: u64) -> Result<Bytes, String> {
        let address = packed >> 32;
        let length = packed & u64::from(u32::MAX);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let memory = self.memory.data(&self.store);
        // Neither is above 32 bits, so the sum does not overflow.
        let range = usize::try_from(address)
            .ok()
            .zip(usize::try_from(address + length).ok());
        let output = range.and_then(|(from, to)| memory.get(from..to));
        output
            .map(|output| self.frames.copy(output))
            .ok_or_else(|| {
                let size = memory.len();
                format!(
                    "output of {length} bytes at {address:#x} is outside memory of {size} bytes"
                )
            })
    }

    /// The buffer that `wstream_alloc` gave.
    fn buffer(&mut self, address: u32, bytes: usize) -> Result<&mut [u8], (Cause, String)> {
        if address == 0 {
            let refused = self.store.data().told.growth_refused;
            let cause = if refused {
                Cause::Memory
            } else {
                Cause::BadFrame
            };
            return Err((cause, format!("wstream_alloc returned 0 for {bytes} bytes")));
        }
        let memory = self.memory.data_mut(&mut self.store);
        let size = memory.len();
        usize::try_from(address)
            .ok()
            .and_then(|from| memory.get_mut(from..from.checked_add(bytes)?))
            .ok_or_else(|| {
                let place = format!("at {address:#x} is outside memory of {size} bytes");
                (Cause::BadFrame, format!("buffer of {bytes} bytes {place}"))
            })
    }

    /// Writes "none" to the cursor; false if it is not in memory. It is checked once, and memory
    /// never shrinks.
    fn reset_cursor(&mut self) -> bool {
        let Some(address) = self.store.data().cursor else {
            return true;
        };
        let memory = self.memory.data_mut(&mut self.store);
        let word = usize::try_from(address)
            .ok()
            .and_then(|from| memory.get_mut(from..)?.first_chunk_mut());
        word.map(|word| *word = CURSOR_NONE.to_le_bytes()).is_some()
    }

    fn trapped(&mut self, error: &Error, in_process: bool) -> Called {
        if self.store.data().told.stopped == Some(Stopped::GivenUp) {
            return Called::GivenUp;
        }
        let cause = self.store.data().cause();
        let own = own_words(self.store.data(), cause, error);
        let cursor = in_process.then(|| state::cursor(&mut self.store.as_context_mut()));
        let message = self.store.data_mut().message(|| own);
        Called::Ended {
            cause,
            message,
            cursor: cursor.flatten(),
            kept: None,
        }
    }

    fn ended(&mut self, cause: Cause, own: String) -> Called {
        // What the module said stands beside a trap; a bad frame has its own exact reason.
        let message = match cause {
            Cause::BadFrame => own,
            _ => self.store.data_mut().message(|| own),
        };
        Called::Ended {
            cause,
            message,
            cursor: None,
            kept: None,
        }
    }
}
