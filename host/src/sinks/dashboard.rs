//! The open pages of a dashboard. The index is the only thing that aggregates: pages are brought
//! up to date after its commits, so this sink only makes sure that the dashboard is there, and
//! counts what passes.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::metrics::SinkMetrics;

use super::progress::Progress;
use super::{
    DashboardSinkConfig, Durable, Origin, Refusal, Sink, SinkBatch, SinkDeps, SinkError, Start,
    count,
};

struct DashboardSink {
    prepared: Option<SinkBatch>,
    progress: Progress,
    metrics: Arc<SinkMetrics>,
}

pub(super) fn open(
    config: &DashboardSinkConfig,
    origin: &Origin,
    deps: &SinkDeps,
    metrics: Arc<SinkMetrics>,
) -> Result<Box<dyn Sink>, SinkError> {
    let opened = deps.dashboards.opened(&config.dashboard);
    opened.map_err(SinkError::fatal)?;
    Ok(Box::new(DashboardSink {
        prepared: None,
        progress: Progress::new(origin.position),
        metrics,
    }))
}

impl Sink for DashboardSink {
    fn start(&self) -> Start {
        Start::Group
    }

    fn prepare(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        self.prepared = Some(batch);
        async { Ok(Vec::new()) }.boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        if let Some(batch) = self.prepared.take() {
            count(&self.metrics, &batch);
            self.progress.durable(batch.next_offset);
        }
        async { Ok(()) }.boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async { Ok(()) }.boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
