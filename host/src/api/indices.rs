//! Indices and searches on the page's own origin, in Elasticsearch's shape.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wstream_search::SearchOptions;

use super::ApiState;
use crate::http::ApiError;

/// `GET /indices`
pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let indices: Vec<_> = state
        .search
        .list("*")
        .await
        .unwrap_or_default()
        .into_iter()
        .map(|i| json!({"name": i.name, "documents": i.documents, "bytes": i.bytes}))
        .collect();
    Json(json!({"indices": indices}))
}

/// `POST /indices/{target}/_search`
pub(super) async fn search(
    State(state): State<ApiState>,
    Path(target): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let body: Value = if body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&body)
            .map_err(|e| ApiError::bad_request("bad_body", e.to_string()))?
    };
    let found = state
        .search
        .search_with(&target, &body, SearchOptions::default());
    Ok(match found.await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, Json(error.to_json())).into_response()
        }
    })
}
