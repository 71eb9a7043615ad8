//! What runs and how fast: the node, sources, pipelines, sinks, transforms, dead letters.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use wstream_log::{Missing, Problem};

use super::{ApiState, topics};
use crate::http::ApiError;
use crate::pipeline::PipelineStatus;
use crate::running::{SinkView, SourceView, TransformView};

/// The node as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct NodeView {
    version: &'static str,
    pub(super) uptime_ms: u64,
    listeners: Value,
    data_dir: String,
    durability: &'static str,
    pub(super) memory_bytes: u64,
    pub(super) disk_free_bytes: u64,
    log_bytes: u64,
    /// Offsets that were stored and cannot be read.
    missing: Vec<Missing>,
    problems: Vec<ProblemView>,
    reload_error: Option<String>,
}

/// Something that somebody must look after.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ProblemView {
    #[serde(flatten)]
    problem: Problem,
    message: String,
}

impl ProblemView {
    fn of(problem: Problem) -> Self {
        let message = problem.to_string();
        Self { problem, message }
    }
}

pub(super) fn node_view(state: &ApiState) -> NodeView {
    let node = &state.node;
    let uptime = state.clock.monotonic().saturating_sub(node.started);
    let partitions = state
        .log
        .topics()
        .into_iter()
        .flat_map(|t| state.log.partitions(&t.name));
    NodeView {
        version: env!("CARGO_PKG_VERSION"),
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        listeners: json!({"http": node.http, "search": node.search}),
        data_dir: node.data_dir.display().to_string(),
        durability: node.durability,
        memory_bytes: resident_bytes(),
        disk_free_bytes: rustix::fs::statvfs(&node.data_dir)
            .map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize)),
        log_bytes: partitions.map(|p| p.stats().bytes.0).sum(),
        missing: state.log.missing(),
        problems: state
            .log
            .health()
            .into_iter()
            .map(ProblemView::of)
            .collect(),
        reload_error: state.running.reload_error(),
    }
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|p| p.parse().ok())
        .unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Everything the page shows live.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stats {
    node: NodeView,
    topics: Vec<topics::TopicView>,
    pipelines: Vec<PipelineStatus>,
    sources: Vec<SourceView>,
    sinks: Vec<SinkView>,
    transforms: Vec<TransformView>,
    dlq: Vec<DeadLetterView>,
}

impl Stats {
    pub(super) fn collect(state: &ApiState) -> Self {
        Self {
            node: node_view(state),
            topics: topics::views(state),
            pipelines: state.running.pipelines(),
            sources: source_views(state),
            sinks: state.running.sinks(),
            transforms: state.running.transforms(),
            dlq: dead_letter_views(state),
        }
    }

    /// Whether somebody who looks would see a difference: uptime and memory do not count.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let quiet = |s: &Self| Self {
            node: NodeView {
                uptime_ms: 0,
                memory_bytes: 0,
                disk_free_bytes: 0,
                ..s.node.clone()
            },
            ..s.clone()
        };
        quiet(self) != quiet(other)
    }
}

fn source_views(state: &ApiState) -> Vec<SourceView> {
    let sources = state.running.sources().into_iter();
    sources
        .map(|status| {
            let name = format!("source_records/{}", status.name);
            SourceView {
                status,
                records_per_second: state.rates.rate(&name),
            }
        })
        .collect()
}

/// A dead-letter topic as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DeadLetterView {
    topic: String,
    records: u64,
}

fn dead_letter_views(state: &ApiState) -> Vec<DeadLetterView> {
    let pipelines = state.running.pipelines();
    let named = |t: &str| {
        pipelines
            .iter()
            .any(|p| p.dead_letter.iter().any(|d| d.as_str() == t))
    };
    let mut out = Vec::new();
    for info in state.log.topics() {
        let name = info.name.as_str();
        if name.ends_with(".dlq") || named(name) {
            let partitions = state.log.partitions(&info.name).into_iter();
            let records = partitions.map(|p| p.stats().records).sum();
            out.push(DeadLetterView {
                topic: name.to_owned(),
                records,
            });
        }
    }
    out.sort_by(|a, b| a.topic.cmp(&b.topic));
    out
}

/// `GET /node`
pub(super) async fn node(State(state): State<ApiState>) -> Json<Value> {
    Json(json!(node_view(&state)))
}

/// `GET /pipelines`
pub(super) async fn pipelines(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"pipelines": state.running.pipelines()}))
}

/// `GET /pipelines/{p}`
pub(super) async fn pipeline(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let found = state
        .running
        .pipelines()
        .into_iter()
        .find(|p| p.name == name);
    found
        .map(|p| Json(json!(p)))
        .ok_or_else(|| ApiError::not_found("pipeline", &name))
}

/// `GET /sources`
pub(super) async fn sources(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"sources": source_views(&state)}))
}

/// `GET /sinks`
pub(super) async fn sinks(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"sinks": state.running.sinks()}))
}

/// `GET /dlq`
pub(super) async fn dead_letters(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"topics": dead_letter_views(&state)}))
}

/// `GET /openapi.json`: this API, described.
pub(super) async fn openapi() -> Response {
    let text = include_str!("openapi.json");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
