//! The Elasticsearch API of :9200: the subset that curl, Kibana-like clients and dashboards use
//! for reading, answered in Elasticsearch's shape by `wstream-search`.
//!
//! This module knows HTTP and the URL; queries, aggregations and errors are the index's own.
//! Writing documents over this port is not here.

mod cat;
mod error;
mod options;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use wstream_search::{Search, SearchError};

use self::error::{Refused, method_not_allowed, no_handler};
use self::options::{body, search_options};

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
            "/{index}/_doc/{id}",
            get(document).fallback(allowed("GET, HEAD")),
        )
        .route(
            "/{index}",
            get(index)
                .delete(delete_index)
                .fallback(allowed("GET, HEAD, DELETE")),
        )
        .fallback(|method: Method, uri: Uri| async move { no_handler(&method, &uri) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(product))
        .with_state(search)
}

/// Clients refuse servers that do not say this.
async fn product(mut response: Response) -> Response {
    let name = HeaderName::from_static("x-elastic-product");
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static("Elasticsearch"));
    response
}

/// An answer; `?pretty` indents it.
fn answer(status: StatusCode, value: &Value, parameters: &Parameters) -> Response {
    let pretty = parameters.get("pretty").is_some_and(|v| v != "false");
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let mut text = text.unwrap_or_default();
    if pretty {
        text.push('\n');
    }
    (status, [("content-type", "application/json")], text).into_response()
}

async fn info(parameters: Parameters) -> Response {
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
    answer(StatusCode::OK, &value, &parameters)
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
        search.search_with(target, &body(bytes)?, options).await
    };
    respond(found.await, parameters)
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
        search.count(target, &body(bytes)?, options).await
    };
    respond(counted.await, parameters)
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
        Ok((true, value)) => answer(StatusCode::OK, &value, &parameters),
        Ok((false, value)) => answer(StatusCode::NOT_FOUND, &value, &parameters),
        Err(error) => Refused(error).into_response(),
    }
}

/// What there is to say of an index that has no mapping: that it is there.
async fn index(
    search: State<Search>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Response {
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
    respond(listed, &parameters)
}

async fn delete_index(
    search: State<Search>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Response {
    if name.contains(['*', ',']) || name == "_all" {
        let reason = "Wildcard expressions or all indices are not allowed";
        return Refused(SearchError::argument(reason)).into_response();
    }
    let deleted = search
        .delete_index(&name)
        .await
        .map(|()| json!({"acknowledged": true}));
    respond(deleted, &parameters)
}

async fn health(search: State<Search>, parameters: Parameters) -> Response {
    let indices = search.names().len();
    let value = json!({
        "cluster_name": NODE_NAME,
        "status": "green",
        "timed_out": false,
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
    });
    answer(StatusCode::OK, &value, &parameters)
}

fn respond(result: Result<Value, SearchError>, parameters: &Parameters) -> Response {
    match result {
        Ok(value) => answer(StatusCode::OK, &value, parameters),
        Err(error) => Refused(error).into_response(),
    }
}
