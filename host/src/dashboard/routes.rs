//! Routes of the page's files and of the dashboards.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::assets;
use super::live::Live;
use super::registry::{Dashboard, Dashboards};
use crate::http::{ApiError, event_stream};
use crate::shutdown::Shutdown;

/// Bytes of a filter on a dashboard.
const FILTER_BYTES_MAX: usize = 4096;

/// What the routes read.
#[derive(Debug, Clone)]
struct Shown {
    dashboards: Dashboards,
    live: Live,
    shutdown: Shutdown,
}

/// The page under `/` and `/ui/...`, its files under `/assets/`, and
/// `/api/v1/dashboards`, all of it read-only.
pub fn router(dashboards: Dashboards, live: Live, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/ui", get(index))
        .route("/ui/{*view}", get(index))
        .route("/assets/{*path}", get(asset))
        .route("/api/v1/dashboards", get(list))
        .route("/api/v1/dashboards/{dashboard}", get(one))
        .route("/api/v1/dashboards/{dashboard}/data", get(data))
        .route("/api/v1/dashboards/{dashboard}/live", get(follow))
        .with_state(Shown {
            dashboards,
            live,
            shutdown,
        })
}

async fn index(headers: HeaderMap) -> Response {
    assets::answer("index.html", &headers)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    assets::answer(&path, &headers)
}

async fn list(State(shown): State<Shown>) -> Json<Value> {
    let dashboards = shown.dashboards.list();
    let entries: Vec<_> = dashboards
        .iter()
        .map(|d| json!({"name": d.name, "title": d.title}))
        .collect();
    Json(json!({"dashboards": entries}))
}

fn find(shown: &Shown, name: &str) -> Result<std::sync::Arc<Dashboard>, ApiError> {
    shown
        .dashboards
        .get(name)
        .ok_or_else(|| ApiError::not_found("dashboard", name))
}

async fn one(
    State(shown): State<Shown>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let dashboard = find(&shown, &name)?;
    let value = serde_json::to_value(&*dashboard).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(Json(value))
}

/// What narrows all panels of a dashboard.
#[derive(Debug, Deserialize)]
struct Narrow {
    q: Option<String>,
}

impl Narrow {
    fn filter(&self) -> Result<Option<&str>, ApiError> {
        let text = self
            .q
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        match text {
            Some(text) if text.len() > FILTER_BYTES_MAX => Err(ApiError::bad_request(
                "filter_too_long",
                format!("q has {} bytes, more than {FILTER_BYTES_MAX}", text.len()),
            )),
            text => Ok(text),
        }
    }
}

async fn data(
    State(shown): State<Shown>,
    Path(name): Path<String>,
    Query(narrow): Query<Narrow>,
) -> Result<Json<Value>, ApiError> {
    let dashboard = find(&shown, &name)?;
    let panels = shown.live.data(&dashboard, narrow.filter()?).await;
    Ok(Json(json!({"panels": panels})))
}

/// All panels at once, then what changes after commits of the index.
async fn follow(
    State(shown): State<Shown>,
    Path(name): Path<String>,
    Query(narrow): Query<Narrow>,
) -> Result<Response, ApiError> {
    let dashboard = find(&shown, &name)?;
    let filter = narrow.filter()?;
    let mut pages = shown
        .live
        .open(&shown.dashboards, &dashboard, filter)
        .map_err(|error| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_pages",
                error.to_string(),
            )
            .hint("close some pages of dashboards")
        })?;
    let (events, response) = event_stream(&shown.shutdown);
    shown.shutdown.spawn(async move {
        loop {
            tokio::select! {
                () = events.gone() => return,
                changed = pages.changed() => {
                    // The panels of a dashboard that was replaced have no more news: the page
                    // connects again and asks for the new one.
                    let Some(changed) = changed else { return };
                    for panel in changed {
                        if events.send("panel", &panel).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    });
    Ok(response)
}
