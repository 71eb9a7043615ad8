//! Compatibility levels and comparisons over HTTP, and the one mode there is.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Refused, answer};
use super::{Answered, Options, is_on, schema, version};
use crate::api::ApiState;
use crate::schemas::{At, Level, SchemasError, Verdict};

#[derive(Debug, Deserialize)]
struct LevelBody {
    compatibility: Option<String>,
}

/// `GET /config`
pub(super) async fn all(State(state): State<ApiState>) -> Response {
    answer(&json!({"compatibilityLevel": state.schemas.level(None)}))
}

/// `GET /config/{subject}`
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    options: Options,
) -> Answered {
    let mut level = state.schemas.level(Some(&subject));
    if is_on(&options, "defaultToGlobal") {
        level = level.or_else(|| state.schemas.level(None));
    }
    let level = level.ok_or(SchemasError::NoLevel(subject))?;
    Ok(answer(&json!({"compatibilityLevel": level})))
}

/// `PUT /config`
pub(super) async fn put_all(State(state): State<ApiState>, body: Bytes) -> Answered {
    set(&state, None, &body).await
}

/// `PUT /config/{subject}`
pub(super) async fn put(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answered {
    set(&state, Some(&subject), &body).await
}

async fn set(state: &ApiState, subject: Option<&str>, body: &Bytes) -> Answered {
    let body: LevelBody = serde_json::from_slice(body)
        .map_err(|error| Refused::plain(400, format!("the body does not read: {error}")))?;
    let name = body.compatibility.unwrap_or_default();
    let level = Level::parse(&name).ok_or_else(|| Refused::level(&name))?;
    state.schemas.set_level(subject, level).await?;
    Ok(answer(&json!({"compatibility": level})))
}

/// `DELETE /config`: back to what it is at first; the level before is told.
pub(super) async fn reset_all(State(state): State<ApiState>) -> Answered {
    let old = state.schemas.reset_level(None).await?;
    Ok(answer(&json!({"compatibilityLevel": old})))
}

/// `DELETE /config/{subject}`: the level before is told.
pub(super) async fn reset(State(state): State<ApiState>, Path(subject): Path<String>) -> Answered {
    let old = state.schemas.reset_level(Some(&subject)).await?;
    Ok(answer(&json!({"compatibilityLevel": old})))
}

/// `GET /mode`: schemas can always be read and written.
pub(super) async fn mode() -> Response {
    answer(&json!({"mode": "READWRITE"}))
}

/// `GET /mode/{subject}`: none has a mode of its own.
pub(super) async fn mode_of_subject(Path(subject): Path<String>, options: Options) -> Answered {
    if is_on(&options, "defaultToGlobal") {
        return Ok(mode().await);
    }
    Err(Refused::no_mode(&subject))
}

/// `POST /compatibility/subjects/{subject}/versions/{version}`
pub(super) async fn compare(
    State(state): State<ApiState>,
    Path((subject, number)): Path<(String, String)>,
    options: Options,
    body: Bytes,
) -> Answered {
    let at = version(&number)?;
    let schema = schema(&body)?;
    if at == At::Latest && state.schemas.by_subject(&subject, None).is_none() {
        // Anything may be the first version.
        let verdict = state.schemas.compare(&subject, None, schema).await?;
        return Ok(judged(&verdict, &options));
    }
    let verdict = state.schemas.compare(&subject, Some(at), schema).await?;
    Ok(judged(&verdict, &options))
}

/// `POST /compatibility/subjects/{subject}/versions`: with those that the level asks for.
pub(super) async fn compare_all(
    State(state): State<ApiState>,
    Path(subject): Path<String>,
    options: Options,
    body: Bytes,
) -> Answered {
    let verdict = state
        .schemas
        .compare(&subject, None, schema(&body)?)
        .await?;
    Ok(judged(&verdict, &options))
}

/// What was not compared is said without being asked; problems only with `verbose`.
fn judged(verdict: &Verdict, options: &Options) -> Response {
    let mut body = json!({"is_compatible": verdict.problems.is_empty()});
    let is_verbose = is_on(options, "verbose");
    let problems = verdict.problems.iter().filter(|_| is_verbose);
    let messages: Vec<_> = problems.chain(&verdict.note).collect();
    if is_verbose || !messages.is_empty() {
        body["messages"] = json!(messages);
    }
    answer(&body)
}
