//! Handles of the databases in memory.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Model, SimDisk, Step, Stored, as_u32, failed};
use crate::sled::{Database, Done, Fault, HEAD_BYTES_MAX, VALUE_BYTES_MAX, VALUES_MAX, Value};

/// A handle of a database.
#[derive(Debug)]
pub(super) struct SimDatabase {
    disk: SimDisk,
    name: String,
    model: Arc<Mutex<Model>>,
    takes_values: bool,
    failed: AtomicBool,
    marks: Mutex<Marks>,
    /// How many values the flush covers that was begun.
    begun: Mutex<Option<usize>>,
}

/// As in a real one.
#[derive(Debug, Default)]
struct Marks {
    flushed: u32,
    safe: u32,
    is_synced: bool,
}

impl SimDatabase {
    pub(super) fn boxed(
        disk: &SimDisk,
        name: &str,
        model: Arc<Mutex<Model>>,
        takes_values: bool,
    ) -> Box<dyn Database> {
        let flushed = as_u32(model.lock().values.len());
        Box::new(Self {
            disk: disk.clone(),
            name: name.to_owned(),
            model,
            takes_values,
            failed: AtomicBool::new(false),
            marks: Mutex::new(Marks {
                flushed,
                ..Marks::default()
            }),
            begun: Mutex::default(),
        })
    }

    fn writing(&self, step: Step) -> Result<(), Fault> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Fault::Failed(failed("use", &self.name, "it failed before")));
        }
        self.disk.step(step, &self.name).map_err(|error| {
            self.failed.store(true, Ordering::Release);
            Fault::Failed(error)
        })
    }
}

impl Database for SimDatabase {
    fn put(&self, head: &[u8], bytes: &[u8]) -> Result<u32, Fault> {
        let refuse = |reason| Err(Fault::Failed(failed("put", &self.name, reason)));
        if !self.takes_values {
            return refuse("it was opened, and is only read");
        }
        if head.len() > HEAD_BYTES_MAX || bytes.len() > VALUE_BYTES_MAX {
            return refuse("the value is too large");
        }
        if self.is_full() {
            return refuse("it is full");
        }
        self.writing(Step::Put)?;
        let safe = self.marks.lock().safe;
        let mut model = self.model.lock();
        let number = as_u32(model.values.len());
        model.values.push(Stored {
            value: Value {
                number,
                head: Bytes::copy_from_slice(head),
                bytes: Bytes::copy_from_slice(bytes),
            },
            safe,
            is_damaged: false,
        });
        Ok(number)
    }

    fn begin_flush(&self, done: Option<Done>) -> Result<(), Fault> {
        let begun = self.model.lock().values.len();
        *self.begun.lock() = Some(begun);
        if let Some(done) = done {
            done();
        }
        Ok(())
    }

    fn finish_flush(&self) -> Result<(), Fault> {
        let begun = self.begun.lock().take();
        let mut marks = self.marks.lock();
        if !marks.is_synced {
            marks.safe = marks.flushed;
        }
        self.writing(Step::Flush)?;
        let mut model = self.model.lock();
        let begun = begun.unwrap_or(model.values.len());
        model.flushed = model.flushed.max(begun);
        marks.flushed = as_u32(model.flushed);
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        let mut marks = self.marks.lock();
        marks.is_synced = true;
        let synced = self.writing(Step::Sync);
        let mut model = self.model.lock();
        if synced.is_err() {
            model.is_doubtful = true;
        } else if !model.is_doubtful {
            model.synced = model.flushed;
            model.is_named = true;
        }
        synced?;
        marks.safe = marks.flushed;
        Ok(())
    }

    fn get(&self, number: u32) -> Result<Option<Value>, Fault> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        match self.model.lock().shown(place) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(number)) => Err(Fault::Broken(format!("value {number} is not what was put"))),
        }
    }

    fn each(
        &self,
        from: u32,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let places = usize::try_from(from).unwrap_or(usize::MAX)..;
        for place in places {
            let shown = self.model.lock().shown(place);
            let Some(shown) = shown else { break };
            if look(shown).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn values(&self) -> u32 {
        as_u32(self.model.lock().values.len())
    }

    fn is_full(&self) -> bool {
        self.values() >= VALUES_MAX
    }
}

impl Drop for SimDatabase {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        let mut model = self.model.lock();
        model.is_open = false;
        if self.failed.load(Ordering::Acquire) {
            let unflushed = model.values.len() - model.flushed;
            let kept = model.flushed + state.random.below(unflushed + 1);
            model.cut(kept, &mut state.random);
        }
        model.flushed = model.values.len();
    }
}
