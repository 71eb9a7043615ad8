//! Topics over HTTP: list, describe, create, alter, delete.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wstream_log::{RetentionBy, TOPIC_SETTINGS, TopicChange, TopicError, TopicInfo, TopicSpec};
use wstream_record::{ByteSize, Offset, PartitionId, TopicId, TopicName};

use super::ApiState;
use super::records::topic_name;
use crate::http::ApiError;

/// A topic as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TopicView {
    name: TopicName,
    id: TopicId,
    partitions: i32,
    internal: bool,
    /// Those that readers get: what compaction took is not counted.
    records: u64,
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
    by: RetentionBy,
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SettingView {
    key: &'static str,
    value: String,
    /// Whether nobody set it.
    is_default: bool,
    documentation: &'static str,
    /// Why it changes nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_effect: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PartitionView {
    partition: PartitionId,
    log_start: Offset,
    last_stable: Offset,
    high_watermark: Offset,
    log_end: Offset,
    leader_epoch: i32,
    records: u64,
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
            let (marks, stats) = (p.marks(), p.stats());
            let rate = |what| state.rates.rate(&format!("{what}/{}", p.name()));
            PartitionView {
                partition: p.name().partition,
                log_start: marks.log_start,
                last_stable: marks.last_stable,
                high_watermark: marks.high_watermark,
                log_end: marks.log_end,
                leader_epoch: marks.leader_epoch.0,
                records: stats.records,
                bytes: stats.bytes,
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
        id: info.id,
        partitions: info.config.partitions,
        internal: info.name.is_internal(),
        records: parts.iter().map(|p| p.records).sum(),
        bytes: ByteSize(parts.iter().map(|p| p.bytes.0).sum()),
        records_per_second: parts.iter().map(|p| p.records_per_second).sum(),
        bytes_per_second: parts.iter().map(|p| p.bytes_per_second).sum(),
        retention: RetentionView {
            bytes: info.config.retention_bytes,
            age_ms: age,
            by: info.config.retention_by,
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
    body["settings"] = json!(settings(&info));
    body["partition_details"] = json!(parts);
    body["groups"] = json!(state.group_lags(&name));
    Ok(Json(body))
}

fn settings(info: &TopicInfo) -> Vec<SettingView> {
    let settings = TOPIC_SETTINGS.iter().map(|setting| SettingView {
        key: setting.key,
        value: info.config.value_of(setting.key).unwrap_or_default(),
        is_default: !info.overrides.contains_key(setting.key),
        documentation: setting.documentation,
        without_effect: setting.without_effect,
    });
    settings.collect()
}

/// What whoever sets these settings should know of them.
fn warnings<'a>(set: impl Iterator<Item = &'a String>) -> Vec<String> {
    let warning = |key: &String| {
        let setting = TOPIC_SETTINGS.iter().find(|setting| setting.key == key)?;
        let why = setting.without_effect?;
        Some(format!("{key} is kept and changes nothing: {why}"))
    };
    set.filter_map(warning).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    partitions: Option<i32>,
    #[serde(default)]
    retention: RetentionBody,
    #[serde(default)]
    settings: BTreeMap<String, Setting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlterBody {
    partitions: Option<i32>,
    /// `null` puts the default back.
    #[serde(default)]
    settings: BTreeMap<String, Option<Setting>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionBody {
    bytes: Option<u64>,
    age_ms: Option<u64>,
    by: Option<RetentionBy>,
}

/// A setting's value; numbers need no quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Number(i64),
}

impl From<Setting> for String {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Text(text) => text,
            Setting::Number(number) => number.to_string(),
        }
    }
}

/// `POST /topics`
pub(super) async fn create(
    State(state): State<ApiState>,
    body: axum::body::Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body: CreateBody = serde_json::from_slice(&body).map_err(|e| {
        ApiError::bad_request("bad_body", e.to_string()).hint(
            r#"send {"name": "...", "partitions": 3, "settings": {"retention.ms": 86400000}}"#,
        )
    })?;
    let name = topic_name(&body.name)?;
    if name.is_internal() {
        let message = format!("{name}: names that begin with __ are internal");
        return Err(ApiError::bad_request("bad_topic_name", message));
    }
    let mut spec = TopicSpec::partitions(body.partitions.unwrap_or(1));
    if let Some(bytes) = body.retention.bytes {
        spec = spec.with("retention.bytes", bytes.to_string());
    }
    if let Some(age) = body.retention.age_ms {
        spec = spec.with("retention.ms", age.to_string());
    }
    if let Some(by) = body.retention.by {
        spec = spec.retention_by(by);
    }
    for (key, value) in body.settings {
        spec = spec.with(&key, value);
    }
    let info = state.log.create_topic(&name, spec).await.map_err(refused)?;
    let mut body = json!(view(&state, &info).0);
    body["warnings"] = json!(warnings(info.overrides.keys()));
    Ok((StatusCode::CREATED, Json(body)))
}

/// `PATCH /topics/{t}`: what is named changes, the rest stays.
pub(super) async fn alter(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = topic_name(&name)?;
    let body: AlterBody = serde_json::from_slice(&body).map_err(|e| {
        ApiError::bad_request("bad_body", e.to_string())
            .hint(r#"send {"partitions": 6, "settings": {"retention.ms": 86400000, "retention.bytes": null}}"#)
    })?;
    users_own(&state, &name, "alter it")?;
    let (mut set, mut unset) = (BTreeMap::new(), BTreeSet::new());
    for (key, value) in body.settings {
        match value {
            Some(value) => drop(set.insert(key, value.into())),
            None => drop(unset.insert(key)),
        }
    }
    let warnings = warnings(set.keys());
    let partitions = body.partitions;
    let change = TopicChange::Some {
        partitions,
        set,
        unset,
    };
    let info = state.log.alter_topic(&name, change).await;
    let info = info.map_err(refused)?;
    let mut body = json!(view(&state, &info).0);
    body["settings"] = json!(settings(&info));
    body["warnings"] = json!(warnings);
    Ok(Json(body))
}

/// Whether a topic is there, and neither the file's nor the node's own.
fn users_own(state: &ApiState, name: &TopicName, wish: &str) -> Result<(), ApiError> {
    let Some(info) = state.log.topic(name) else {
        return Err(ApiError::not_found("topic", name.as_str()));
    };
    let conflict = |code, message: String| ApiError::new(StatusCode::CONFLICT, code, message);
    if info.config.defined_in_file {
        let message = format!("topic {name} is declared in the configuration file");
        return Err(conflict("defined_in_file", message)
            .hint(format!("take it out of the file and reload; then {wish}")));
    }
    if name.is_internal() {
        return Err(conflict("internal_topic", format!("{name} is internal")));
    }
    Ok(())
}

/// `DELETE /topics/{t}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name = topic_name(&name)?;
    users_own(&state, &name, "delete it")?;
    state.log.delete_topic(&name).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: TopicError) -> ApiError {
    let message = error.to_string();
    match error {
        TopicError::Exists(_) => ApiError::new(StatusCode::CONFLICT, "exists", message),
        TopicError::Unknown(_) | TopicError::NotForgotten(_) => {
            ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
        }
        TopicError::Partitions { .. } | TopicError::FewerPartitions { .. } => {
            ApiError::bad_request("bad_partitions", message)
        }
        TopicError::Setting { .. } => ApiError::bad_request("bad_setting", message),
        TopicError::Metadata(_) | TopicError::Store(_) => ApiError::internal(message),
    }
}
