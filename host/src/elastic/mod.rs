//! The Elasticsearch API of :9200: the subset that curl, Kibana-like clients and dashboards use
//! for reading, answered in Elasticsearch's shape by `wstream-search`.
//!
//! This module knows HTTP and the URL; queries, aggregations and errors are the index's own.
//! Whatever is refused, by a handler or before one, is refused in Elasticsearch's shape. Writing
//! documents over this port is not here.

mod cat;
mod error;
mod media;
mod options;
mod parameters;
mod pretty;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use wstream_search::{Search, SearchError, filter_answer};

use self::error::{Refused, method_not_allowed, no_handler, unhandled};
use self::options::{body, search_options};
use crate::http_guard;

/// The version that clients are told: they check for one that they know.
const VERSION: &str = "8.19.0";
/// Bytes of the largest request body.
const BODY_BYTES_MAX: usize = 16 << 20;
/// The name of the one node and of its cluster.
const NODE_NAME: &str = "wstream";

/// What a URL says after its question mark.
type Parameters = Query<BTreeMap<String, String>>;

/// The routes of the Elasticsearch API over `search`.
pub fn router(search: Search) -> Router {
    let allowed = |methods: &'static str| {
        move |method: Method, uri: Uri| async move { method_not_allowed(&method, &uri, methods) }
    };
    Router::new()
        .route("/", get(info).fallback(allowed("GET, HEAD")))
        .route(
            "/_search",
            get(search_all)
                .post(search_all)
                .fallback(allowed("GET, POST")),
        )
        .route(
            "/{target}/_search",
            get(search_one)
                .post(search_one)
                .fallback(allowed("GET, POST")),
        )
        .route(
            "/_count",
            get(count_all)
                .post(count_all)
                .fallback(allowed("GET, POST")),
        )
        .route(
            "/{target}/_count",
            get(count_one)
                .post(count_one)
                .fallback(allowed("GET, POST")),
        )
        .route("/_cat/indices", get(cat::indices).fallback(allowed("GET")))
        .route(
            "/_cat/indices/{target}",
            get(cat::indices_of).fallback(allowed("GET")),
        )
        .route("/_cluster/health", get(health).fallback(allowed("GET")))
        .route(
            "/_cluster/health/{target}",
            get(health_of).fallback(allowed("GET")),
        )
        .route(
            "/{index}/_doc/{id}",
            get(document).fallback(allowed("GET, HEAD")),
        )
        .route(
            "/{index}",
            get(index)
                .delete(delete_index)
                .fallback(allowed("GET, HEAD, DELETE")),
        )
        .route_layer(middleware::from_fn(parameters::refuse_unknown))
        .route_layer(middleware::from_fn(media::refuse_other_types))
        .fallback(|method: Method, uri: Uri| async move { no_handler(&method, &uri) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(refuse_foreign))
        .layer(middleware::from_fn(finish))
        .with_state(search)
}

/// Middleware: refuses a change from a page of another site.
async fn refuse_foreign(request: Request, next: Next) -> Response {
    match http_guard::reason(&request) {
        None => next.run(request).await,
        Some(reason) => {
            Refused(SearchError::new(403, "security_exception", reason)).into_response()
        }
    }
}

/// Middleware: what every answer has in common, whoever gave it.
async fn finish(request: Request, next: Next) -> Response {
    let shape = Parameters::try_from_uri(request.uri()).unwrap_or_default();
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (json, status) = (kind == "application/json", response.status());
    if !json && status.is_client_error() {
        // axum's own refusals are sentences.
        let text = text_of(response.into_body()).await;
        response = unhandled(status, text);
    }
    if json {
        response = shaped(response, &shape).await;
    }
    // Clients refuse servers that do not say this.
    let name = HeaderName::from_static("x-elastic-product");
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static("Elasticsearch"));
    response
}

/// `filter_path` and `pretty`, which every address takes.
async fn shaped(response: Response, parameters: &Parameters) -> Response {
    let pretty = parameters.get("pretty").is_some_and(|v| v != "false");
    let paths = parameters
        .get("filter_path")
        .filter(|paths| !paths.is_empty());
    if !pretty && paths.is_none() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let mut text = text_of(body).await;
    if let Some(cut) = paths.and_then(|paths| filter_answer(&text, paths)) {
        text = cut;
    }
    if pretty {
        text = pretty::pretty(&text);
    }
    Response::from_parts(head, text.into())
}

/// The body of an answer, which is in memory already.
async fn text_of(body: Body) -> String {
    let bytes = body.collect().await;
    let bytes = bytes.map(|collected| collected.to_bytes());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    (status, [("content-type", "application/json")], text).into_response()
}

async fn info() -> Response {
    let value = json!({
        "name": NODE_NAME,
        "cluster_name": NODE_NAME,
        "cluster_uuid": "wstream-one-node-cluster",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "wstream",
            "build_hash": env!("CARGO_PKG_VERSION"),
            "build_date": "2026-01-01T00:00:00.000000000Z",
            "build_snapshot": false,
            "lucene_version": "9.12.2",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    });
    answer(StatusCode::OK, &value)
}

async fn search_all(search: State<Search>, parameters: Parameters, bytes: Bytes) -> Response {
    find(&search, "_all", &parameters, &bytes).await
}

async fn search_one(
    search: State<Search>,
    Path(target): Path<String>,
    parameters: Parameters,
    bytes: Bytes,
) -> Response {
    find(&search, &target, &parameters, &bytes).await
}

async fn find(search: &Search, target: &str, parameters: &Parameters, bytes: &[u8]) -> Response {
    let found = async {
        let options = search_options(parameters)?;
        search
            .search_with(target, &body(bytes, parameters)?, options)
            .await
    };
    respond(found.await)
}

async fn count_all(search: State<Search>, parameters: Parameters, bytes: Bytes) -> Response {
    count(&search, "_all", &parameters, &bytes).await
}

async fn count_one(
    search: State<Search>,
    Path(target): Path<String>,
    parameters: Parameters,
    bytes: Bytes,
) -> Response {
    count(&search, &target, &parameters, &bytes).await
}

async fn count(search: &Search, target: &str, parameters: &Parameters, bytes: &[u8]) -> Response {
    let counted = async {
        let options = search_options(parameters)?;
        search
            .count(target, &body(bytes, parameters)?, options)
            .await
    };
    respond(counted.await)
}

async fn document(
    search: State<Search>,
    Path((index, id)): Path<(String, String)>,
    parameters: Parameters,
) -> Response {
    let got = async {
        search
            .get_document(&index, &id, search_options(&parameters)?)
            .await
    };
    match got.await {
        Ok(value) if value.found => answer(StatusCode::OK, &value),
        Ok(value) => answer(StatusCode::NOT_FOUND, &value),
        Err(error) => Refused(error).into_response(),
    }
}

/// What there is to say of an index that has no mapping: that it is there.
async fn index(search: State<Search>, Path(name): Path<String>) -> Response {
    let listed = search.list(&name).await.map(|found| {
        let entry = |name: &str| {
            json!({"aliases": {}, "mappings": {}, "settings": {"index": {
                "number_of_shards": "1", "number_of_replicas": "0", "provided_name": name}}})
        };
        found
            .iter()
            .map(|i| (i.name.clone(), entry(&i.name)))
            .collect::<Value>()
    });
    respond(listed)
}

async fn delete_index(search: State<Search>, Path(name): Path<String>) -> Response {
    if name.contains(['*', ',']) || name == "_all" {
        let reason = "Wildcard expressions or all indices are not allowed";
        return Refused(SearchError::argument(reason)).into_response();
    }
    let deleted = search
        .delete_index(&name)
        .await
        .map(|()| json!({"acknowledged": true}));
    respond(deleted)
}

async fn health(search: State<Search>) -> Response {
    answer(StatusCode::OK, &health_with(search.names().len(), true))
}

async fn health_of(search: State<Search>, Path(target): Path<String>) -> Response {
    match search.list(&target).await {
        Ok(found) => answer(StatusCode::OK, &health_with(found.len(), true)),
        // Waiting for an index that is not there has timed out at once.
        Err(error) if error.status == 404 => {
            answer(StatusCode::REQUEST_TIMEOUT, &health_with(0, false))
        }
        Err(error) => Refused(error).into_response(),
    }
}

fn health_with(indices: usize, green: bool) -> Value {
    json!({
        "cluster_name": NODE_NAME,
        "status": if green { "green" } else { "red" },
        "timed_out": !green,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": indices,
        "active_shards": indices,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "unassigned_primary_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    })
}

fn respond(result: Result<impl Serialize, SearchError>) -> Response {
    match result {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(error) => Refused(error).into_response(),
    }
}
