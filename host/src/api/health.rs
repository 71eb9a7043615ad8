//! Liveness, readiness and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wstream_log::Problem;

use super::{ApiState, samples};

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// `GET /health/ready`: everything in the file runs, and the log takes appends; 503 names what does
/// not. Problems that stop nothing are warnings.
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Value>) {
    let mut reasons = Vec::new();
    if !state.running.is_ready() {
        reasons.push("the node is starting".to_owned());
    }
    if state.shutdown.is_asked() {
        reasons.push("the node is stopping".to_owned());
    }
    let dir = &state.node.data_dir;
    if !tokio::fs::try_exists(dir).await.unwrap_or(false) {
        let dir = dir.display();
        reasons.push(format!("the data directory {dir} is gone"));
    }
    let problems = state.log.health().into_iter();
    let (stopping, others): (Vec<_>, Vec<_>) = problems.partition(Problem::stops_appends);
    reasons.extend(stopping.iter().map(ToString::to_string));
    let warnings: Vec<String> = others.iter().map(ToString::to_string).collect();
    if let Some(trouble) = state.log.metadata().trouble() {
        reasons.push(format!("metadata: {trouble}"));
    }
    for pipeline in state.running.pipelines() {
        if let Some(error) = pipeline.error {
            reasons.push(format!("pipeline {}: {error}", pipeline.name));
        }
    }
    for source in state.running.sources() {
        if let Some(error) = source.error {
            reasons.push(format!("source {}: {error}", source.name));
        }
    }
    if reasons.is_empty() {
        let mut body = json!({"status": "ready"});
        if !warnings.is_empty() {
            body["warnings"] = json!(warnings);
        }
        (StatusCode::OK, Json(body))
    } else {
        let body = json!({"status": "not ready", "reasons": reasons, "warnings": warnings});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}

/// `GET /metrics`: Prometheus text.
pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    let text = state.metrics.render(&samples::collect(&state).await);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}
