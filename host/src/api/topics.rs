//! Topics over HTTP: list, describe, create, delete.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wstream_log::{TopicConfig, TopicError, TopicInfo};
use wstream_record::{ByteSize, Offset, PartitionId, TopicName};

use super::ApiState;
use super::records::topic_name;
use crate::http::ApiError;

/// A topic as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TopicView {
    name: TopicName,
    partitions: i32,
    internal: bool,
    records: i64,
    bytes: ByteSize,
    records_per_second: f64,
    bytes_per_second: f64,
    retention: RetentionView,
    defined_in_file: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RetentionView {
    bytes: Option<ByteSize>,
    age_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PartitionView {
    partition: PartitionId,
    log_start: Offset,
    high_watermark: Offset,
    leader_epoch: i32,
    bytes: ByteSize,
    records_per_second: f64,
    bytes_per_second: f64,
}

/// Every topic, sorted by name.
pub(super) fn views(state: &ApiState) -> Vec<TopicView> {
    let mut topics: Vec<_> = state
        .log
        .topics()
        .iter()
        .map(|t| view(state, t).0)
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}

fn view(state: &ApiState, info: &TopicInfo) -> (TopicView, Vec<PartitionView>) {
    let parts: Vec<_> = state
        .log
        .partitions(&info.name)
        .iter()
        .map(|p| {
            let bounds = p.bounds();
            let rate = |what| state.rates.rate(&format!("{what}/{}", p.name()));
            PartitionView {
                partition: p.name().partition,
                log_start: bounds.log_start,
                high_watermark: bounds.high_watermark,
                leader_epoch: bounds.leader_epoch.0,
                bytes: bounds.bytes,
                records_per_second: rate("partition_records"),
                bytes_per_second: rate("partition_bytes"),
            }
        })
        .collect();
    let age = info
        .config
        .retention_age
        .map(|a| u64::try_from(a.as_millis()).unwrap_or(u64::MAX));
    let topic = TopicView {
        name: info.name.clone(),
        partitions: info.config.partitions,
        internal: info.name.is_internal(),
        records: parts
            .iter()
            .map(|p| p.high_watermark.0 - p.log_start.0)
            .sum(),
        bytes: ByteSize(parts.iter().map(|p| p.bytes.0).sum()),
        records_per_second: parts.iter().map(|p| p.records_per_second).sum(),
        bytes_per_second: parts.iter().map(|p| p.bytes_per_second).sum(),
        retention: RetentionView {
            bytes: info.config.retention_bytes,
            age_ms: age,
        },
        defined_in_file: info.config.defined_in_file,
    };
    (topic, parts)
}

/// `GET /topics`
pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({"topics": views(&state)}))
}

/// `GET /topics/{t}`
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let name = topic_name(&name)?;
    let Some(info) = state.log.topic(&name) else {
        return Err(ApiError::not_found("topic", name.as_str()));
    };
    let (topic, parts) = view(&state, &info);
    let mut body = serde_json::to_value(topic).map_err(|e| ApiError::internal(e.to_string()))?;
    body["partition_details"] = json!(parts);
    body["groups"] = json!(state.group_lags(&name));
    Ok(Json(body))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    partitions: Option<i32>,
    #[serde(default)]
    retention: RetentionBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionBody {
    bytes: Option<u64>,
    age_ms: Option<u64>,
}

/// `POST /topics`
pub(super) async fn create(
    State(state): State<ApiState>,
    body: axum::body::Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body: CreateBody = serde_json::from_slice(&body).map_err(|e| {
        ApiError::bad_request("bad_body", e.to_string())
            .hint(r#"send {"name": "...", "partitions": 3, "retention": {"bytes": 1000000}}"#)
    })?;
    let name = topic_name(&body.name)?;
    if name.is_internal() {
        let message = format!("{name}: names that begin with __ are internal");
        return Err(ApiError::bad_request("bad_topic_name", message));
    }
    let config = TopicConfig {
        retention_bytes: body.retention.bytes.map(ByteSize),
        retention_age: body.retention.age_ms.map(Duration::from_millis),
        ..TopicConfig::partitions(body.partitions.unwrap_or(1))
    };
    let info = state
        .log
        .create_topic(&name, config)
        .await
        .map_err(refused)?;
    Ok((StatusCode::CREATED, Json(json!(view(&state, &info).0))))
}

/// `DELETE /topics/{t}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name = topic_name(&name)?;
    let Some(info) = state.log.topic(&name) else {
        return Err(ApiError::not_found("topic", name.as_str()));
    };
    let conflict = |code, message: String| ApiError::new(StatusCode::CONFLICT, code, message);
    if info.config.defined_in_file {
        let message = format!("topic {name} is declared in the configuration file");
        return Err(conflict("defined_in_file", message)
            .hint("take it out of the file and reload; then delete it"));
    }
    if name.is_internal() {
        return Err(conflict("internal_topic", format!("{name} is internal")));
    }
    state.log.delete_topic(&name).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: TopicError) -> ApiError {
    let message = error.to_string();
    match error {
        TopicError::Exists(_) => ApiError::new(StatusCode::CONFLICT, "exists", message),
        TopicError::Unknown(_) => ApiError::new(StatusCode::NOT_FOUND, "not_found", message),
        TopicError::Partitions { .. } | TopicError::FewerPartitions { .. } => {
            ApiError::bad_request("bad_partitions", message)
        }
        TopicError::Metadata(_) | TopicError::Store(_) => ApiError::internal(message),
    }
}
