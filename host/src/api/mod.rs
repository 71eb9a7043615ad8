//! The API of :8080 under `/api/v1`, health and metrics: what the page and the commands use; and
//! the registry of schemas under `/api/schema-registry`.
//!
//! Reads are snapshots and streams with bounds; what changes state needs the token where one is
//! set, and never comes from a foreign page.

mod auth;
mod cursor;
mod health;
mod indices;
mod live;
mod missing;
mod modules;
mod rates;
mod records;
mod rehearsals;
mod samples;
mod schemas;
mod stats;
mod topics;
mod trials;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use wstream_log::Log;
use wstream_record::{Clock, TopicName, TopicPartition};
use wstream_search::Search;

use crate::groups::Offsets;
use crate::metrics::Metrics;
use crate::registry::{Registry, Switch};
use crate::running::Running;
use crate::schemas::Schemas;
use crate::shutdown::Shutdown;

pub use rates::Rates;

/// Bytes of the largest request body.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How often rates are taken.
const TICK: Duration = Duration::from_millis(500);

/// What a node is: set once at its start.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Address of the page and the API.
    pub http: SocketAddr,
    /// Address of the Elasticsearch API.
    pub search: SocketAddr,
    /// The data directory.
    pub data_dir: PathBuf,
    /// `process` or `disk`.
    pub durability: &'static str,
    /// Protects what changes state.
    pub token: Option<String>,
    /// When it started, on the monotonic clock.
    pub started: Duration,
}

/// Everything the routes read.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// The log.
    pub log: Log,
    /// The index.
    pub search: Search,
    /// Consumer groups' positions.
    pub offsets: Offsets,
    /// What runs.
    pub running: Running,
    /// Modules that were uploaded.
    pub registry: Registry,
    /// Schemas of records' values.
    pub schemas: Schemas,
    /// Asks the node to change modules.
    pub switch: Switch,
    /// What is counted.
    pub metrics: Metrics,
    /// Rates of counters.
    pub rates: Rates,
    /// Time.
    pub clock: Clock,
    /// Ends event streams.
    pub shutdown: Shutdown,
    /// What the node is.
    pub node: Arc<NodeFacts>,
    /// Spreads records without a key.
    pub turns: Arc<AtomicI32>,
}

/// A consumer group's distance from a topic's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct GroupLag {
    group: String,
    lag: i64,
}

impl ApiState {
    /// The next turn of those that take turns.
    fn turn(&self) -> i32 {
        self.turns
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_abs()
            .max(0)
    }

    /// How far each group is from the end of a topic.
    fn group_lags(&self, topic: &TopicName) -> Vec<GroupLag> {
        let partitions = self.log.partitions(topic);
        let groups = self.offsets.groups().into_iter();
        let mut lags = Vec::new();
        for group in groups {
            let mut lag = None;
            for partition in &partitions {
                let name: &TopicPartition = partition.name();
                if let Some(committed) = self.offsets.fetch(&group, name) {
                    let behind = partition.marks().high_watermark.0 - committed.offset.0;
                    lag = Some(lag.unwrap_or(0) + behind.max(0));
                }
            }
            lags.extend(lag.map(|lag| GroupLag { group, lag }));
        }
        lags
    }
}

/// The routes of the API, health and metrics, and those of `pages`: all are counted and need the
/// token where one is set.
pub fn router(state: ApiState, pages: Router) -> Router {
    let v1 = Router::new()
        .route("/node", get(stats::node))
        .route("/topics", get(topics::list).post(topics::create))
        .route(
            "/topics/{topic}",
            get(topics::one).patch(topics::alter).delete(topics::delete),
        )
        .route(
            "/topics/{topic}/records",
            get(records::read).post(records::produce),
        )
        .route("/pipelines", get(stats::pipelines))
        .route("/pipelines/{pipeline}", get(stats::pipeline))
        .route("/sources", get(stats::sources))
        .route("/sinks", get(stats::sinks))
        .route("/transforms", get(modules::list))
        .route(
            "/transforms/{name}",
            get(modules::one).put(modules::put).delete(modules::delete),
        )
        .route(
            "/transforms/{name}/versions/{version}/activate",
            post(modules::activate),
        )
        .route(
            "/transforms/{name}/versions/{version}/shadow",
            post(rehearsals::shadow),
        )
        .route(
            "/transforms/{name}/versions/{version}/replay",
            post(rehearsals::replay),
        )
        .route("/transforms/{name}/test", post(trials::test))
        .route("/transforms/{name}/logs", get(trials::logs))
        .route("/dlq", get(stats::dead_letters))
        .route("/indices", get(indices::list))
        .route("/indices/{target}/_search", post(indices::search))
        .route("/live", get(live::live))
        .route("/openapi.json", get(stats::openapi));
    Router::new()
        .nest("/api/v1", v1)
        .nest(schemas::MOUNT, schemas::router())
        // Clients put paths after an address that ends with a slash.
        .route(&format!("{}/", schemas::MOUNT), get(schemas::root))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(state.clone())
        .merge(pages)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), auth::token))
        .layer(middleware::from_fn_with_state(state, timed))
}

/// Counts each answer under its route and status.
async fn timed(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str);
    let route = route.to_owned();
    let start = state.clock.monotonic();
    let response = next.run(request).await;
    let seconds = state.clock.monotonic().saturating_sub(start);
    state
        .metrics
        .request(&route, response.status().as_u16())
        .seconds
        .record(seconds);
    response
}

/// Takes the rates until the node stops.
pub async fn take_rates(state: ApiState) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = state.shutdown.asked() => return,
            _ = tick.tick() => {}
        }
        let now = state.clock.monotonic();
        for info in state.log.topics() {
            for partition in state.log.partitions(&info.name) {
                let stats = partition.stats();
                let name = partition.name();
                state.rates.note(
                    format!("partition_records/{name}"),
                    now,
                    stats.appended_records,
                );
                state
                    .rates
                    .note(format!("partition_bytes/{name}"), now, stats.appended_bytes);
            }
        }
        state
            .metrics
            .counters(|name, value| state.rates.note(name, now, value));
    }
}
