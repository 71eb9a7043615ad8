//! Which words a URL may hold: a misspelt one is refused rather than passed over, as
//! Elasticsearch does.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use wstream_search::SearchError;

use super::error::Refused;

/// What every address takes.
const EVERYWHERE: &[&str] = &[
    "pretty",
    "human",
    "error_trace",
    "filter_path",
    "format",
    "source",
    "source_content_type",
];
/// What a search takes besides; many of them change nothing on one node.
const SEARCH: &[&str] = &[
    "_source",
    "_source_excludes",
    "_source_includes",
    "allow_no_indices",
    "allow_partial_search_results",
    "analyze_wildcard",
    "analyzer",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "default_operator",
    "df",
    "expand_wildcards",
    "explain",
    "from",
    "ignore_throttled",
    "ignore_unavailable",
    "include_named_queries_score",
    "lenient",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "preference",
    "q",
    "request_cache",
    "rest_total_hits_as_int",
    "routing",
    "search_type",
    "seq_no_primary_term",
    "size",
    "sort",
    "stats",
    "stored_fields",
    "terminate_after",
    "timeout",
    "track_scores",
    "track_total_hits",
    "typed_keys",
    "version",
];
const COUNT: &[&str] = &[
    "allow_no_indices",
    "analyze_wildcard",
    "analyzer",
    "default_operator",
    "df",
    "expand_wildcards",
    "ignore_throttled",
    "ignore_unavailable",
    "lenient",
    "min_score",
    "preference",
    "q",
    "routing",
    "terminate_after",
];
const DOCUMENT: &[&str] = &[
    "_source",
    "_source_excludes",
    "_source_includes",
    "preference",
    "realtime",
    "refresh",
    "routing",
    "stored_fields",
    "version",
    "version_type",
];
const CAT: &[&str] = &[
    "bytes",
    "expand_wildcards",
    "h",
    "health",
    "help",
    "include_unloaded_segments",
    "local",
    "master_timeout",
    "pri",
    "s",
    "time",
    "v",
];
const HEALTH: &[&str] = &[
    "expand_wildcards",
    "level",
    "local",
    "master_timeout",
    "timeout",
    "wait_for_active_shards",
    "wait_for_events",
    "wait_for_no_initializing_shards",
    "wait_for_no_relocating_shards",
    "wait_for_nodes",
    "wait_for_status",
];
const INDEX: &[&str] = &[
    "allow_no_indices",
    "expand_wildcards",
    "features",
    "flat_settings",
    "ignore_unavailable",
    "include_defaults",
    "local",
    "master_timeout",
    "timeout",
];

/// Middleware: 400 for a parameter that the address does not take.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    match check(
        request.uri().path(),
        request.uri().query().unwrap_or_default(),
    ) {
        Ok(()) => next.run(request).await,
        Err(error) => Refused(error).into_response(),
    }
}

/// What the address with this path takes.
fn known(path: &str) -> &'static [&'static str] {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        ["_search"] | [_, "_search"] => SEARCH,
        ["_count"] | [_, "_count"] => COUNT,
        ["_cat", ..] => CAT,
        ["_cluster", ..] => HEALTH,
        [_, "_doc", _] => DOCUMENT,
        [_] => INDEX,
        _ => &[],
    }
}

fn check(path: &str, query: &str) -> Result<(), SearchError> {
    let (known, mut unknown) = (known(path), Vec::new());
    let names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default());
    for name in names.filter(|name| !name.is_empty()) {
        if name == "scroll" && known == SEARCH {
            let reason = "[scroll] is not supported: sort, and page with [search_after]";
            return Err(SearchError::argument(reason));
        }
        if !known.contains(&name) && !EVERYWHERE.contains(&name) {
            unknown.push(format!("[{name}]"));
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let plural = if unknown.len() > 1 { "s" } else { "" };
    Err(SearchError::argument(format!(
        "request [{path}] contains unrecognized parameter{plural}: {}",
        unknown.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_named() {
        let rows = [
            ("/a/_search", "size=3&pretty", None),
            ("/a/_search", "", None),
            (
                "/_search",
                "siz=3",
                Some("request [/_search] contains unrecognized parameter: [siz]"),
            ),
            (
                "/a/_count",
                "size=3&sort=a",
                Some("request [/a/_count] contains unrecognized parameters: [size], [sort]"),
            ),
            ("/_cat/indices", "v&h=index&s=index", None),
            (
                "/",
                "v",
                Some("request [/] contains unrecognized parameter: [v]"),
            ),
            (
                "/a/_search",
                "scroll=1m",
                Some("[scroll] is not supported: sort, and page with [search_after]"),
            ),
        ];
        for (path, query, wanted) in rows {
            let refused = check(path, query).err().map(|error| error.reason);
            assert_eq!(refused.as_deref(), wanted, "{path}?{query}");
        }
    }
}
