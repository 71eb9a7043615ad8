//! What a node opens before anything runs, in order: addresses, data directory, log, positions,
//! index, guests, modules, schemas, dashboards.
//!
//! Addresses are bound first, so that a port in use is told before any file is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tracing::{info, warn};
use wstream_log::{DataDir, Durability, Log, LogConfig};
use wstream_record::Clock;
use wstream_search::{Search, SearchConfig};
use wstream_transform::{Runtime, RuntimeConfig};

use super::RunOptions;
use crate::api::{self, ApiState, NodeFacts, Rates};
use crate::dashboard::{self, Dashboards, Live};
use crate::elastic;
use crate::groups::Offsets;
use crate::http::Listener;
use crate::http_guard;
use crate::metrics::Metrics;
use crate::registry::{Folders, Registry, Switch};
use crate::running::Running;
use crate::schemas::Schemas;
use crate::shutdown::Shutdown;

/// Everything that is open; parts share it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) log: Log,
    pub(super) offsets: Offsets,
    pub(super) search: Search,
    pub(super) runtime: Arc<Runtime>,
    pub(super) registry: Registry,
    pub(super) schemas: Schemas,
    pub(super) dashboards: Dashboards,
    pub(super) metrics: Metrics,
    pub(super) running: Running,
    pub(super) clock: Clock,
    /// Sources and pipelines.
    pub(super) work: Shutdown,
    /// Listeners and event streams.
    pub(super) serving: Shutdown,
    pub(super) facts: Arc<NodeFacts>,
    /// Held so that no second node uses the directory.
    _data: DataDir,
}

/// The two listeners, bound and not yet served.
#[derive(Debug)]
pub(super) struct Listeners {
    http: Listener,
    search: Listener,
}

impl Core {
    /// Opens everything.
    ///
    /// # Errors
    /// An address, the data directory or a store cannot be had.
    pub(super) async fn open(options: &RunOptions) -> anyhow::Result<(Self, Listeners)> {
        let clock = Clock::system();
        let started = clock.monotonic();
        let open = options.insecure || options.http_token.is_some();
        let http = Listener::bind(options.http, "--http", open).await?;
        // The search listener has no token, so only --insecure opens it to other machines.
        let search_listener = Listener::bind(options.search, "--search", options.insecure).await?;
        let data = DataDir::open(&options.data)?;
        let dir = data.path().to_owned();
        let log_config = LogConfig {
            dir: dir.clone(),
            durability: options.durability,
            disk_free_min: options.disk_free_min,
            streams: options.streams,
            scrub_interval: options.scrub_interval,
            ..LogConfig::default()
        };
        let log = Log::open(log_config, clock.clone())
            .await
            .context("cannot open the log")?;
        tell_missing(&log);
        let offsets = Offsets::open(&log, clock.clone()).await?;
        let search = open_search(dir.join("search"), clock.clone()).await?;
        let runtime = Runtime::new(RuntimeConfig {
            cache_dir: Some(
                options
                    .compiled
                    .clone()
                    .unwrap_or_else(|| dir.join("compiled")),
            ),
            clock: clock.clone(),
            ..RuntimeConfig::default()
        })?;
        let registry = open_registry(&dir, &log, &runtime, clock.clone()).await?;
        let schemas = open_schemas(&log)?;
        let facts = NodeFacts {
            http: http.address(),
            search: search_listener.address(),
            data_dir: dir,
            durability: match options.durability {
                Durability::Process => "process",
                Durability::Disk => "disk",
            },
            token: options.http_token.clone(),
            started,
        };
        let core = Self {
            log,
            offsets,
            search,
            runtime,
            registry,
            schemas,
            dashboards: Dashboards::new(),
            metrics: Metrics::new(),
            running: Running::default(),
            clock,
            work: Shutdown::new(),
            serving: Shutdown::new(),
            facts: Arc::new(facts),
            _data: data,
        };
        Ok((
            core,
            Listeners {
                http,
                search: search_listener,
            },
        ))
    }

    /// Serves both listeners until `serving` is asked to stop; `switch` takes changes of modules.
    pub(super) fn serve(&self, listeners: Listeners, switch: Switch) {
        let state = ApiState {
            log: self.log.clone(),
            search: self.search.clone(),
            offsets: self.offsets.clone(),
            running: self.running.clone(),
            registry: self.registry.clone(),
            schemas: self.schemas.clone(),
            switch,
            metrics: self.metrics.clone(),
            rates: Rates::default(),
            clock: self.clock.clone(),
            shutdown: self.serving.clone(),
            node: Arc::clone(&self.facts),
            turns: Arc::default(),
        };
        let live = Live::new(self.search.clone(), self.serving.clone());
        let pages = dashboard::router(self.dashboards.clone(), live, self.serving.clone());
        let page = api::router(state.clone(), pages)
            .layer(axum::middleware::from_fn(http_guard::refuse_foreign));
        let elastic = elastic::router(self.search.clone());
        self.serving.spawn(api::take_rates(state));
        self.serving
            .spawn(listeners.http.serve(page, self.serving.clone()));
        self.serving
            .spawn(listeners.search.serve(elastic, self.serving.clone()));
    }

    /// Closes the stores; everything that writes has stopped.
    pub(super) async fn close(&self) {
        self.search.close().await;
        self.log.close().await;
        info!("closed");
    }
}

fn tell_missing(log: &Log) {
    for gone in log.missing() {
        let partition = gone
            .partition
            .map_or_else(|| "of no known topic".to_owned(), |p| p.to_string());
        let kept_at = gone.kept_at.unwrap_or_default();
        warn!(
            %partition, first = %gone.first, next = %gone.next, segment = gone.segment,
            kept_at = %kept_at.display(), reason = %gone.reason,
            "records are missing; the rest is served"
        );
    }
    for problem in log.health() {
        warn!(%problem, "the log has a problem");
    }
}

async fn open_registry(
    dir: &Path,
    log: &Log,
    runtime: &Arc<Runtime>,
    clock: Clock,
) -> anyhow::Result<Registry> {
    let (metadata, runtime) = (log.metadata().clone(), Arc::clone(runtime));
    let folders = Folders {
        modules: dir.join("modules"),
        aside: dir.join("aside").join("modules"),
    };
    let opened = Registry::open(folders, metadata, runtime, clock);
    opened.await.context("cannot open the registry of modules")
}

fn open_schemas(log: &Log) -> anyhow::Result<Schemas> {
    let opened = Schemas::open(log.metadata().clone());
    opened.context("cannot open the registry of schemas")
}

async fn open_search(dir: PathBuf, clock: Clock) -> anyhow::Result<Search> {
    let open = move || Search::open(dir, SearchConfig::default(), clock);
    let opened = tokio::task::spawn_blocking(open).await?;
    opened.context("cannot open the search index")
}
