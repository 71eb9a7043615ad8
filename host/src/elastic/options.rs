//! Reads the URL and the body of a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wstream_search::{SearchError, SearchOptions, Target, TotalHits};

/// The body as JSON, or `source` of the URL for clients that cannot send one; none is an empty
/// object.
pub(super) fn body(
    bytes: &[u8],
    parameters: &BTreeMap<String, String>,
) -> Result<Value, SearchError> {
    match parameters.get("source") {
        Some(source) if bytes.is_empty() => parse(source.as_bytes()),
        _ => parse(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<Value, SearchError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({}));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let at = format!("[{line}:{column}]");
        if error.is_eof() {
            // Elasticsearch names the place behind the last byte.
            let at = format!("[{line}:{}]", column + 1);
            let reason = format!("{at} Unexpected end of file");
            SearchError::new(400, "x_content_e_o_f_exception", reason)
                .because("json_e_o_f_exception", error.to_string())
        } else {
            SearchError::new(400, "x_content_parse_exception", format!("{at} {error}"))
                .because("json_parse_exception", error.to_string())
        }
    })
}

/// What the URL says of a search.
pub(super) fn search_options(
    parameters: &BTreeMap<String, String>,
) -> Result<SearchOptions, SearchError> {
    let text = |name: &str| parameters.get(name).cloned();
    let target = Target {
        ignore_unavailable: flag(parameters, "ignore_unavailable", false)?,
        allow_no_indices: flag(parameters, "allow_no_indices", true)?,
    };
    Ok(SearchOptions {
        target,
        query_text: text("q"),
        default_field: text("df"),
        and: text("default_operator").is_some_and(|o| o.eq_ignore_ascii_case("and")),
        size: number(parameters, "size")?,
        from: number(parameters, "from")?,
        sort: text("sort"),
        source: source(parameters),
        track_total_hits: total_hits(parameters)?,
        total_hits_as_int: flag(parameters, "rest_total_hits_as_int", false)?,
        typed_keys: flag(parameters, "typed_keys", false)?,
    })
}

fn flag(
    parameters: &BTreeMap<String, String>,
    name: &str,
    default: bool,
) -> Result<bool, SearchError> {
    match parameters.get(name).map(String::as_str) {
        None => Ok(default),
        Some("" | "true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(SearchError::argument(format!(
            "Failed to parse value [{other}] as only [true] or [false] are allowed."
        ))),
    }
}

fn number(parameters: &BTreeMap<String, String>, name: &str) -> Result<Option<i64>, SearchError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let reason = format!("Failed to parse int parameter [{name}] with value [{text}]");
            SearchError::argument(reason)
        })
    };
    parameters.get(name).map(parse).transpose()
}

fn source(parameters: &BTreeMap<String, String>) -> Option<Value> {
    let list = |text: &String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let includes = parameters.get("_source_includes").map(list);
    let excludes = parameters.get("_source_excludes").map(list);
    match parameters.get("_source").map(String::as_str) {
        Some("true") => Some(json!(true)),
        Some("false") => Some(json!(false)),
        Some(names) => Some(json!(names.split(',').collect::<Vec<_>>())),
        None if includes.is_some() || excludes.is_some() => Some(json!({
            "includes": includes.unwrap_or_default(),
            "excludes": excludes.unwrap_or_default(),
        })),
        None => None,
    }
}

fn total_hits(parameters: &BTreeMap<String, String>) -> Result<Option<TotalHits>, SearchError> {
    match parameters.get("track_total_hits").map(String::as_str) {
        None => Ok(None),
        Some("" | "true") => Ok(Some(TotalHits::Exact)),
        Some("false") => Ok(Some(TotalHits::Off)),
        Some(text) => match text.parse() {
            Ok(n) => Ok(Some(TotalHits::UpTo(n))),
            Err(_) => Err(SearchError::argument(format!(
                "Failed to parse int parameter [track_total_hits] with value [{text}]"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_body_says_where() {
        let error = parse(br#"{"query": {"match_all": {}"#).unwrap_err();
        assert_eq!(
            (error.status, error.kind),
            (400, "x_content_e_o_f_exception")
        );
        assert!(error.reason.starts_with("[1:27]"), "{error}");
        assert_eq!(parse(b" \n").unwrap(), json!({}));
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (name, value) in [("size", "many"), ("ignore_unavailable", "maybe")] {
            let parameters = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let error = search_options(&parameters).unwrap_err();
            assert!(error.reason.contains(value), "{error}");
        }
    }
}
