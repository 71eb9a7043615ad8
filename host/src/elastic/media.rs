//! Refuses bodies that do not say to be JSON, as Elasticsearch does: a form that a page of another
//! site posts, or curl's default, is not a query.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use serde_json::json;
use wstream_search::SearchError;

use super::error::Refused;

/// What a body may be. `application/*` is what some proxies make of it; Elasticsearch takes it too.
const JSON: &[&str] = &[
    "application/json",
    "application/*",
    "application/x-ndjson",
    "application/vnd.elasticsearch+json",
    "application/vnd.elasticsearch+x-ndjson",
];

/// Middleware: 406 for a body of another type, 400 for a type that is none.
pub(super) async fn refuse_other_types(request: Request, next: Next) -> Response {
    let has_body = request.body().size_hint().exact() != Some(0);
    match check(request.headers(), has_body) {
        None => next.run(request).await,
        Some(refused) => *refused,
    }
}

fn check(headers: &HeaderMap, has_body: bool) -> Option<Box<Response>> {
    let given = headers.get(header::CONTENT_TYPE);
    let text = given.map_or("", |value| value.to_str().unwrap_or("?"));
    let kind = text.split(';').next().unwrap_or_default().trim();
    if given.is_some() && kind.split('/').filter(|part| !part.is_empty()).count() != 2 {
        let reason = "Invalid media-type value on headers [Content-Type]";
        let cause = match kind.is_empty() {
            true => "Header [Content-Type] cannot be empty.".to_owned(),
            false => format!("invalid media-type [{text}]"),
        };
        let error = SearchError::new(400, "media_type_header_exception", reason)
            .because("illegal_argument_exception", cause);
        return Some(Box::new(Refused(error).into_response()));
    }
    let known = JSON.iter().any(|known| kind.eq_ignore_ascii_case(known));
    if !has_body || known {
        return None;
    }
    let message = format!("Content-Type header [{text}] is not supported");
    let body = Json(json!({"error": message, "status": 406}));
    Some(Box::new((StatusCode::NOT_ACCEPTABLE, body).into_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_be_json() {
        // As a real server answered, but for the version: it wants one in Accept, too.
        let rows = [
            (Some("application/json"), true, 200),
            (Some("APPLICATION/JSON; charset=utf-8"), true, 200),
            (Some("application/x-ndjson"), true, 200),
            (
                Some("application/vnd.elasticsearch+json;compatible-with=8"),
                true,
                200,
            ),
            (Some("application/x-www-form-urlencoded"), true, 406),
            (Some("text/plain"), true, 406),
            (Some("application/yaml"), true, 406),
            (None, true, 406),
            (Some("text/plain"), false, 200),
            (None, false, 200),
            (Some("foo"), true, 400),
            (Some("foo"), false, 400),
            (Some(""), true, 400),
        ];
        for (given, has_body, status) in rows {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::CONTENT_TYPE, given.parse().unwrap());
            }
            let got = check(&headers, has_body).map_or(200, |r| r.status().as_u16());
            assert_eq!(got, status, "{given:?} {has_body}");
        }
    }
}
