//! The registry of modules over HTTP: upload, list, history, activate, delete.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiState;
use crate::http::ApiError;
use crate::registry::{Change, Refusal, RegistryError, Stored, TrialTerms};

/// Bytes of a refused upload that are read before the connection is closed.
const DRAINED_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutOptions {
    #[serde(default = "yes")]
    activate: bool,
    /// Records of a trial.
    trial: Option<u64>,
    fail_percent: Option<f64>,
    seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialOptions {
    trial: Option<u64>,
    fail_percent: Option<f64>,
    seconds: Option<u64>,
}

/// Most failures of a version on trial, unless told otherwise.
const FAIL_PERCENT_DEFAULT: f64 = 5.0;
/// Longest trial, unless told otherwise.
const TRIAL_SECONDS_DEFAULT: u64 = 60;
/// Records and seconds that a trial may have.
const TRIAL_RECORDS_MAX: u64 = 1_000_000;
const TRIAL_SECONDS_MAX: u64 = 3_600;

impl TrialOptions {
    fn terms(&self) -> Result<Option<TrialTerms>, ApiError> {
        let Some(records) = self.trial else {
            return Ok(None);
        };
        let failed_percent = self.fail_percent.unwrap_or(FAIL_PERCENT_DEFAULT);
        let seconds = self.seconds.unwrap_or(TRIAL_SECONDS_DEFAULT);
        let fits = (1..=TRIAL_RECORDS_MAX).contains(&records)
            && (0.0..=100.0).contains(&failed_percent)
            && (1..=TRIAL_SECONDS_MAX).contains(&seconds);
        if !fits {
            let message = format!(
                "a trial has 1 to {TRIAL_RECORDS_MAX} records, 0 to 100 percent and 1 to \
                 {TRIAL_SECONDS_MAX} seconds"
            );
            return Err(ApiError::bad_request("bad_parameter", message));
        }
        let time = Duration::from_secs(seconds);
        Ok(Some(TrialTerms {
            records,
            failed_percent,
            time,
        }))
    }
}

fn yes() -> bool {
    true
}

/// `GET /transforms`: what runs, and what is registered.
pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let modules = state.registry.list();
    Json(json!({"transforms": state.running.transforms(), "modules": modules}))
}

/// `GET /transforms/{name}`
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let running: Vec<_> = {
        let all = state.running.transforms().into_iter();
        all.filter(|transform| transform.name == name).collect()
    };
    match state.registry.get(&name) {
        Ok(entry) => {
            let (active, versions) = (entry.active, entry.versions);
            Ok(Json(json!({
                "name": name, "active": active, "versions": versions, "running": running,
                "trial": state.running.trial(&name), "rehearsal": state.running.rehearsal(&name),
            })))
        }
        Err(_) if !running.is_empty() => Ok(Json(
            json!({"name": name, "versions": [], "running": running}),
        )),
        Err(error) => Err(refused(error)),
    }
}

/// `PUT /transforms/{name}`: the body is the module, taken as it comes.
pub(super) async fn put(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(options): Query<PutOptions>,
    body: Body,
) -> Result<Response, ApiError> {
    let trial = TrialOptions {
        trial: options.trial,
        fail_percent: options.fail_percent,
        seconds: options.seconds,
    };
    let trial = trial.terms()?;
    let mut upload = state.registry.begin().await.map_err(refused)?;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            let message = format!("the upload was cut off: {error}");
            ApiError::bad_request("cut_off", message).hint("nothing was stored: send it again")
        })?;
        if let Err(error) = upload.write(&piece).await {
            drop(upload);
            drain(pieces).await;
            return Err(refused(error));
        }
    }
    let stored = state.registry.put(&name, upload).await.map_err(refused)?;
    let version = stored.version.version;
    if options.activate {
        activate_version(&state, &name, version, trial).await?;
    }
    let active = state.registry.get(&name).is_ok_and(|e| e.active == version);
    let status = if stored.existed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(answer(&stored, active))).into_response())
}

/// Takes the rest of an upload and forgets it: a client that is still sending would not read the
/// answer.
async fn drain(mut pieces: BodyDataStream) {
    let mut drained = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        drained += piece.len();
        if drained > DRAINED_BYTES_MAX {
            return;
        }
    }
}

fn answer(stored: &Stored, active: bool) -> Value {
    let mut answer = json!(stored);
    answer["active"] = active.into();
    answer
}

/// `POST /transforms/{name}/versions/{version}/activate`
pub(super) async fn activate(
    State(state): State<ApiState>,
    Path((name, version)): Path<(String, u64)>,
    Query(options): Query<TrialOptions>,
) -> Result<Json<Value>, ApiError> {
    activate_version(&state, &name, version, options.terms()?).await?;
    Ok(Json(json!({"name": name, "active": version})))
}

async fn activate_version(
    state: &ApiState,
    name: &str,
    version: u64,
    trial: Option<TrialTerms>,
) -> Result<(), ApiError> {
    let change = Change::Activate {
        name: name.to_owned(),
        version,
        trial,
    };
    let asked = state.switch.ask(change).await;
    asked.map_err(not_done)
}

/// `DELETE /transforms/{name}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let asked = state.switch.ask(Change::Delete { name }).await;
    asked.map_err(not_done)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn not_done(refusal: Refusal) -> ApiError {
    let message = refusal.to_string();
    match refusal {
        Refusal::Registry(error) => refused(error),
        Refusal::InUse { .. } => ApiError::new(StatusCode::CONFLICT, "in_use", message)
            .hint("take it out of the pipelines first"),
        Refusal::Unfit(_) => ApiError::new(StatusCode::CONFLICT, "not_activated", message)
            .hint("the version is stored; the one before is still the active one"),
        Refusal::Stopping => ApiError::unavailable("stopping", message),
    }
}

pub(super) fn refused(error: RegistryError) -> ApiError {
    let message = error.to_string();
    let (status, code, hint) = match error {
        RegistryError::Name(_) => (StatusCode::BAD_REQUEST, "bad_name", ""),
        RegistryError::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "compile it without debug information",
        ),
        RegistryError::Module(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_module",
            "`wstream transform show FILE` looks at it, `wstream transform test FILE` runs it",
        ),
        RegistryError::Unknown(_) | RegistryError::NoVersion { .. } => (
            StatusCode::NOT_FOUND,
            "not_found",
            "list what there is with GET /api/v1/transforms",
        ),
        RegistryError::Gone { .. } => (StatusCode::CONFLICT, "file_gone", ""),
        RegistryError::TooMany => (StatusCode::CONFLICT, "too_many_versions", ""),
        RegistryError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => (
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "make room and send it again",
        ),
        RegistryError::Io(_) | RegistryError::Document(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", "")
        }
    };
    ApiError::new(status, code, message).hint(hint)
}
