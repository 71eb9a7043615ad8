//! The way of one partition's records into one sink: bounds what is submitted and not durable,
//! passes over what the target has already, and tells when records arrived.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use wstream_record::{ByteSize, Clock, Offset, Timestamp};

use crate::metrics::{PipelineMetrics, SinkMetrics};
use crate::sinks::{Durable, Refusal, Sink, SinkBatch, SinkError, SinkRecord, SinkTarget, Start};

/// The unit in which room is counted.
const ROOM_UNIT_BYTES: usize = 1 << 10;
/// As much as a semaphore counts on every platform.
const ROOM_UNITS_MAX: u32 = u32::MAX >> 4;
/// What a record takes beside its key, value and headers.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Submitted batches whose arrival is still measured; beyond it they are measured together.
const DELIVERIES_MAX: usize = 1024;

/// The bound of one sink of a pipeline, shared by its partitions.
#[derive(Debug, Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    units: u32,
}

impl Room {
    pub(super) fn new(bytes: ByteSize) -> Self {
        let units = bytes.0 / ROOM_UNIT_BYTES as u64;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let units = units.clamp(1, ROOM_UNITS_MAX);
        Self {
            free: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }
}

pub(super) struct Lane {
    pub(super) name: Arc<str>,
    sink: Box<dyn Sink>,
    durable: watch::Receiver<Durable>,
    /// What lies below is in the target already.
    skip_below: Offset,
    submitted: Offset,
    room: Room,
    prepared: Option<Delivery>,
    deliveries: VecDeque<Delivery>,
    metrics: Arc<SinkMetrics>,
    pipeline: Arc<PipelineMetrics>,
    clock: Clock,
}

struct Delivery {
    next: Offset,
    newest: Option<Timestamp>,
    records: u64,
}

impl Lane {
    pub(super) fn new(
        target: &SinkTarget,
        sink: Box<dyn Sink>,
        room: Room,
        metrics: (Arc<SinkMetrics>, Arc<PipelineMetrics>),
        clock: Clock,
    ) -> Self {
        let durable = sink.durable();
        let at = durable.borrow().next;
        Self {
            name: Arc::clone(&target.name),
            sink,
            durable,
            skip_below: at,
            submitted: at,
            room,
            prepared: None,
            deliveries: VecDeque::new(),
            metrics: metrics.0,
            pipeline: metrics.1,
            clock,
        }
    }

    /// From where the sink needs records, given the group's position.
    pub(super) fn start(&self, group: Offset) -> Offset {
        match self.sink.start() {
            Start::Group => group,
            Start::AtLeast(at) => at.max(group),
            Start::Exactly(at) => at,
        }
    }

    /// What survives a crash, as it moves.
    pub(super) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.clone()
    }

    /// Gets records ready for the sink, after waiting for room; answers what it can never take.
    pub(super) async fn prepare(
        &mut self,
        first: Offset,
        next: Offset,
        mut records: Vec<SinkRecord>,
    ) -> Result<Vec<Refusal>, SinkError> {
        self.prepared = None;
        if next <= self.skip_below {
            return Ok(Vec::new());
        }
        if first < self.skip_below {
            records.retain(|r| r.offset >= self.skip_below);
        }
        self.prepared = Some(Delivery {
            next,
            newest: records.iter().map(|r| r.record.timestamp).max(),
            records: records.len() as u64,
        });
        let mut batch = SinkBatch {
            first_offset: first.max(self.skip_below),
            next_offset: next,
            records,
            room: None,
        };
        let bytes = batch.payload_bytes() + batch.records.len() * RECORD_OVERHEAD_BYTES;
        batch.room = self.wait_for_room(bytes).await?;
        self.sink.prepare(batch).await
    }

    /// Hands over what was prepared.
    pub(super) async fn submit(&mut self) -> Result<(), SinkError> {
        let Some(delivery) = self.prepared.take() else {
            return Ok(());
        };
        self.sink.submit().await?;
        self.submitted = delivery.next;
        self.metrics.in_flight.add(delivery.records.cast_signed());
        self.expect(delivery);
        self.note_arrivals();
        Ok(())
    }

    /// Room for a batch. A lane that has nothing under way gets its batch through without room:
    /// what others hold must not keep it still, and one batch is bounded by itself.
    async fn wait_for_room(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, SinkError> {
        let units = u32::try_from(bytes / ROOM_UNIT_BYTES + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room.free).acquire_many_owned(units.min(self.room.units));
        let mut durable = self.durable.clone();
        let submitted = self.submitted;
        tokio::select! {
            biased;
            room = room => Ok(room.ok()),
            arrived = durable.wait_for(|d| d.next >= submitted || d.failed.is_some()) => {
                match arrived {
                    Ok(durable) => durable.failed.clone().map_or(Ok(None), Err),
                    Err(_ended) => Err(SinkError::retry("the sink has stopped")),
                }
            }
        }
    }

    fn expect(&mut self, delivery: Delivery) {
        let many = self.deliveries.len() >= DELIVERIES_MAX;
        if let Some(last) = self.deliveries.back_mut()
            && many
        {
            last.next = delivery.next;
            last.newest = last.newest.max(delivery.newest);
            last.records += delivery.records;
        } else {
            self.deliveries.push_back(delivery);
        }
    }

    /// Measures what has become durable since the last call.
    pub(super) fn note_arrivals(&mut self) {
        let durable = self.durable.borrow().next;
        while let Some(delivery) = self.deliveries.pop_front_if(|d| d.next <= durable) {
            self.metrics.in_flight.add(-delivery.records.cast_signed());
            if let Some(newest) = delivery.newest.filter(|&t| t != Timestamp::NONE) {
                let age = self.clock.now().0.saturating_sub(newest.0);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                self.pipeline
                    .delivery_seconds
                    .record_n(age, delivery.records);
            }
        }
    }

    /// Returns when something became durable, or the sink failed. Cancel-safe.
    pub(super) async fn moved(&mut self) -> Result<(), SinkError> {
        let ended = self.durable.changed().await.is_err();
        let failed = self.durable.borrow_and_update().failed.clone();
        match failed {
            Some(error) => Err(error),
            None if ended => Err(SinkError::retry("the sink has stopped")),
            None => Ok(()),
        }
    }

    /// Makes everything submitted durable.
    pub(super) async fn flush(&mut self) -> Result<(), SinkError> {
        self.sink.flush().await?;
        self.note_arrivals();
        Ok(())
    }

    /// Lets go of the target.
    pub(super) async fn close(self) {
        let lost: u64 = self.deliveries.iter().map(|d| d.records).sum();
        self.metrics.in_flight.add(-lost.cast_signed());
        self.sink.close().await;
    }
}
