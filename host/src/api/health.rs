//! Liveness, readiness and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{ApiState, samples};

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// `GET /health/ready`: everything in the file runs; 503 names what does not.
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Value>) {
    let mut reasons = Vec::new();
    if !state.running.is_ready() {
        reasons.push("the node is starting".to_owned());
    }
    if state.shutdown.is_asked() {
        reasons.push("the node is stopping".to_owned());
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
        (StatusCode::OK, Json(json!({"status": "ready"})))
    } else {
        let body = json!({"status": "not ready", "reasons": reasons});
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
