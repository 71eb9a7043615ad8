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
        progress: Progress::new(origin.position),
        metrics,
    }))
}

impl Sink for DashboardSink {
    fn start(&self) -> Start {
        Start::Group
    }

    fn submit(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        count(&self.metrics, &batch);
        self.progress.durable(batch.next_offset);
        async { Ok(Vec::new()) }.boxed()
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
