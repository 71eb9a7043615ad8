//! A version run beside a pipeline: as a shadow on live records, or over a range into a side topic.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use wstream_record::{Offset, Timestamp, TopicName};

use super::ApiState;
use super::modules::not_done;
use crate::http::ApiError;
use crate::registry::{Change, From, Refusal, RehearsalTerms};

const RECORDS_DEFAULT: u64 = 1_000;
const SECONDS_DEFAULT: u64 = 60;
/// A rehearsal ends after an hour, whatever it is asked for.
const SECONDS_MAX: u64 = 3_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShadowOptions {
    pipeline: Option<String>,
    records: Option<u64>,
    seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayOptions {
    pipeline: Option<String>,
    into: String,
    offset: Option<i64>,
    timestamp: Option<i64>,
    records: Option<u64>,
    seconds: Option<u64>,
}

/// `POST /transforms/{name}/versions/{version}/shadow`
pub(super) async fn shadow(
    State(state): State<ApiState>,
    Path((name, version)): Path<(String, u64)>,
    Query(options): Query<ShadowOptions>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let terms = RehearsalTerms {
        pipeline: options.pipeline,
        from: None,
        into: None,
        records_max: options.records.unwrap_or(RECORDS_DEFAULT),
        time_max: time(options.seconds.unwrap_or(SECONDS_DEFAULT)),
    };
    start(&state, name, version, terms).await
}

/// `POST /transforms/{name}/versions/{version}/replay`
pub(super) async fn replay(
    State(state): State<ApiState>,
    Path((name, version)): Path<(String, u64)>,
    Query(options): Query<ReplayOptions>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let bad = |message: String| ApiError::bad_request("bad_parameter", message);
    let from = match (options.offset, options.timestamp) {
        (Some(offset), None) if offset >= 0 => From::Offset(Offset(offset)),
        (None, Some(time)) => From::Time(Timestamp(time)),
        _ => {
            let message = "give offset, from 0 on, or timestamp, in milliseconds since 1970";
            return Err(bad(message.to_owned()));
        }
    };
    let into = TopicName::new(&options.into).map_err(|error| bad(error.to_string()))?;
    let terms = RehearsalTerms {
        pipeline: options.pipeline,
        from: Some(from),
        into: Some(into),
        records_max: options.records.unwrap_or(u64::MAX),
        time_max: time(options.seconds.unwrap_or(SECONDS_MAX)),
    };
    start(&state, name, version, terms).await
}

fn time(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(SECONDS_MAX))
}

fn not_started(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Unfit(message) => ApiError::new(StatusCode::CONFLICT, "not_started", message),
        other => not_done(other),
    }
}

async fn start(
    state: &ApiState,
    name: String,
    version: u64,
    terms: RehearsalTerms,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let answer = json!({"name": name, "version": version});
    let change = Change::Rehearse {
        name,
        version,
        terms,
    };
    state.switch.ask(change).await.map_err(not_started)?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
