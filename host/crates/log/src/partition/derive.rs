//! What is derived from a partition's batches when it cannot be had from what is known already:
//! after a truncation that goes back too far, and at a start.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use wstream_record::{Offset, Timestamp};

use super::Core;
use super::role::Role;
use crate::derived::{Derived, ProducerBudget};
use crate::errors::{AppendError, StoreError};
use crate::store::{self, Aborted, LogStore, PartitionKey, Recovered, Replay, ReplayEntry};

/// Derives from the batches in [start, end).
fn derive(
    store: &dyn LogStore,
    key: PartitionKey,
    (start, end): (Offset, Offset),
    producers: &Arc<ProducerBudget>,
    now: Timestamp,
) -> Result<Derived, StoreError> {
    let mut derived = Derived::new(Arc::clone(producers));
    let mut aborted = Vec::new();
    store.look(key, start, end, &mut |batch| {
        let header = batch.header();
        aborted.extend(derived.note(header, header.is_control().then_some(batch), now));
        ControlFlow::Continue(())
    })?;
    // The store has them, unless it lost an index.
    for range in aborted {
        store.note_aborted(key, range);
    }
    derived.drop_below(start);
    Ok(derived)
}

impl Core {
    pub(super) fn nothing_derived(&self) -> Derived {
        Derived::new(Arc::clone(&self.shared.producers))
    }

    /// Reads all batches again. A partition of which they do not read goes offline. Blocks; only the
    /// stream's writer may call it.
    pub(super) fn derive_anew(
        &self,
        store: &dyn LogStore,
        now: Timestamp,
    ) -> Result<(), AppendError> {
        let (start, end) = {
            let mut state = self.state.lock();
            // Before the other one is made: both count in the node's budget.
            state.derived = self.nothing_derived();
            (state.log_start, state.log_end)
        };
        let derived = derive(store, self.key, (start, end), &self.shared.producers, now);
        let mut state = self.state.lock();
        match derived {
            Ok(derived) => {
                state.derived = derived;
                state.deriving = false;
                Ok(())
            }
            Err(error) => {
                let reason = format!("its batches do not read: {error}");
                tracing::error!(partition = %self.name, %error, "the partition is offline: its batches do not read");
                state.role = Role::Offline {
                    reason: reason.into(),
                };
                Err(error.into())
            }
        }
    }
}

/// Takes up what a store holds at a start.
#[derive(Debug)]
pub(crate) struct Recovery {
    producers: Arc<ProducerBudget>,
    now: Timestamp,
    derived: HashMap<PartitionKey, Derived>,
    /// Those of which the batches must be read again.
    incomplete: HashSet<PartitionKey>,
}

impl Recovery {
    /// Knows nothing yet.
    pub(crate) fn new(producers: Arc<ProducerBudget>, now: Timestamp) -> Self {
        Self {
            producers,
            now,
            derived: HashMap::new(),
            incomplete: HashSet::new(),
        }
    }

    /// What is derived of a partition.
    pub(crate) fn take(
        &mut self,
        store: &dyn LogStore,
        recovered: &Recovered,
    ) -> Result<Derived, StoreError> {
        let Recovered {
            key, start, end, ..
        } = *recovered;
        let known = self.derived.remove(&key);
        let mut derived = known.unwrap_or_else(|| Derived::new(Arc::clone(&self.producers)));
        // What the store could not give back is not derived from either.
        let complete = derived.truncate(end) && !self.incomplete.contains(&key);
        if !complete {
            drop(mem::replace(
                &mut derived,
                Derived::new(Arc::clone(&self.producers)),
            ));
            derived = derive(store, key, (start, end), &self.producers, self.now)?;
        }
        derived.drop_below(start);
        Ok(derived)
    }

    fn of(&mut self, key: PartitionKey) -> &mut Derived {
        let producers = &self.producers;
        self.derived
            .entry(key)
            .or_insert_with(|| Derived::new(Arc::clone(producers)))
    }
}

impl Replay for Recovery {
    fn derived(&mut self, derived: store::Derived) -> bool {
        let mut read = Vec::with_capacity(derived.len());
        let mut incomplete = Vec::new();
        for (key, bytes) in derived {
            if bytes.is_empty() {
                incomplete.push(key);
                continue;
            }
            match Derived::decode(&bytes, Arc::clone(&self.producers)) {
                Ok(derived) => read.push((key, derived)),
                Err(reason) => {
                    tracing::warn!(%reason, "what was derived does not read: an older state is used");
                    return false;
                }
            }
        }
        self.derived.extend(read);
        self.incomplete.extend(incomplete);
        true
    }

    fn entry(&mut self, key: PartitionKey, entry: ReplayEntry<'_>) -> Option<Aborted> {
        let now = self.now;
        match entry {
            ReplayEntry::Batch { header, control } => {
                return self.of(key).note(header, control, now);
            }
            ReplayEntry::Incomplete => {
                self.incomplete.insert(key);
            }
            ReplayEntry::Start(start) => self.of(key).drop_below(start),
            ReplayEntry::End(end) => {
                if !self.of(key).truncate(end) {
                    self.incomplete.insert(key);
                }
            }
            ReplayEntry::Reset => {
                let fresh = Derived::new(Arc::clone(&self.producers));
                self.incomplete.remove(&key);
                self.derived.insert(key, fresh);
            }
        }
        None
    }
}
