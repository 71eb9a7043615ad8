//! A registered module tried on records that come with the request, and what modules log.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use wstream_record::JsonRecord;
use wstream_transform::{Limits, LogLine};

use super::ApiState;
use super::modules::refused;
use crate::cases::Cases;
use crate::http::{ApiError, event_stream};
use crate::registry::Reference;

/// Records of one trial.
const RECORDS_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestOptions {
    /// Default: the active one.
    version: Option<u64>,
    /// The configuration, as JSON.
    config: Option<String>,
    /// Of a module of the Redpanda SDKs: topics it writes to by name, with commas between them.
    output_topics: Option<String>,
}

/// `POST /transforms/{name}/test`: the body is records, one a line. Nothing is written anywhere, and
/// keyed state begins empty.
pub(super) async fn test(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(options): Query<TestOptions>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let bad = |message: String| ApiError::bad_request("bad_record", message);
    let text = std::str::from_utf8(&body).map_err(|_| bad("the body is not UTF-8".to_owned()))?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(n, line)| {
        let record = JsonRecord::parse(line);
        record.map_err(|error| bad(format!("line {}: {error}", n + 1)))
    });
    let records: Vec<JsonRecord> = records.collect::<Result<_, _>>()?;
    if records.len() > RECORDS_MAX {
        let message = format!("{} records, at most {RECORDS_MAX} are tried", records.len());
        return Err(bad(message));
    }
    let config = options.config.unwrap_or_else(|| "{}".to_owned());
    if let Err(error) = serde_json::from_str::<&RawValue>(&config) {
        let message = format!("config is not JSON: {error}");
        return Err(ApiError::bad_request("bad_config", message));
    }
    let reference = Reference {
        name: name.clone(),
        version: options.version,
    };
    let (version, module) = state.registry.module(&reference).await.map_err(refused)?;
    let topics = options.output_topics.unwrap_or_default();
    let topics: Vec<String> = topics
        .split(',')
        .filter(|t| !t.is_empty())
        .map(Into::into)
        .collect();
    let mut cases = Cases::new(&name, module, Limits::default()).with_output_topics(&topics);
    let results = run(&mut cases, &records, &config).await?;
    let (nanos, worked) = cases.time();
    Ok(Json(json!({
        "name": name,
        "version": version,
        "records": records.len(),
        "ns_per_record": nanos.checked_div(worked).unwrap_or(0),
        "results": results,
    })))
}

/// What became of each record, as a case.
async fn run(
    cases: &mut Cases,
    records: &[JsonRecord],
    config: &str,
) -> Result<Vec<Value>, ApiError> {
    let unfit = |code, message: String| {
        ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, code, message)
    };
    let started = cases.start(config).await;
    let started = started.map_err(|error| unfit("not_started", format!("{error:#}")))?;
    let mut instance = started.map_err(|failed| {
        let message = format!("the module refuses its configuration: {failed}");
        unfit("config_refused", message)
    })?;
    let mut results = Vec::with_capacity(records.len());
    for record in records {
        let outcome = cases.feed(&mut instance, record).await;
        let outcome = outcome.map_err(|error| unfit("not_started", format!("{error:#}")))?;
        let case = cases.as_case(record, "{}", &outcome);
        results.push(serde_json::from_str(&case).unwrap_or(Value::Null));
    }
    Ok(results)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogOptions {
    #[serde(default)]
    follow: bool,
}

/// `GET /transforms/{name}/logs`: what was logged lately as lines of JSON; with `follow`, or where
/// text/event-stream is accepted, that and what comes after it as events (line).
pub(super) async fn logs(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(options): Query<LogOptions>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let runs = |name: &str| {
        let mut running = state.running.transforms().into_iter();
        running.any(|transform| transform.name == name)
    };
    if let Err(error) = state.registry.get(&name)
        && !runs(&name)
    {
        return Err(refused(error));
    }
    let reader = state.registry.logs();
    let own = move |line: &LogLine| *line.transform == *name;
    let kept: Vec<LogLine> = reader.kept.into_iter().filter(&own).collect();
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let streams = accept.is_some_and(|accept| accept.contains("text/event-stream"));
    if !streams && !options.follow {
        let lines: String = kept.iter().map(|line| shown(line) + "\n").collect();
        let content = [(header::CONTENT_TYPE, "application/x-ndjson")];
        return Ok((content, lines).into_response());
    }
    let (events, response) = event_stream(&state.shutdown);
    let shutdown = state.shutdown.clone();
    let mut coming = reader.coming;
    state.shutdown.spawn(async move {
        for line in &kept {
            if events.send("line", &shown(line)).await.is_err() {
                return;
            }
        }
        loop {
            let line = tokio::select! {
                () = shutdown.asked() => return,
                () = events.gone() => return,
                line = coming.recv() => line,
            };
            let sent = match line {
                Ok(line) if own(&line) => events.send("line", &shown(&line)).await,
                Ok(_) => Ok(()),
                Err(RecvError::Lagged(missed)) => {
                    let missed = json!({"missed": missed}).to_string();
                    events.send("missed", &missed).await
                }
                Err(RecvError::Closed) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

fn shown(line: &LogLine) -> String {
    json!({
        "timestamp": line.timestamp.0,
        "level": line.level.as_str().to_ascii_lowercase(),
        "version": line.version,
        "text": line.text,
    })
    .to_string()
}
