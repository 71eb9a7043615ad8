//! Refusals in Elasticsearch's shape.

use axum::Json;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use wstream_search::SearchError;

/// A refused request as an answer.
pub(super) struct Refused(pub(super) SearchError);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(self.0.to_json())).into_response()
    }
}

/// 405: the address exists, with other methods.
pub(super) fn method_not_allowed(method: &Method, uri: &Uri, allowed: &'static str) -> Response {
    let message = format!(
        "Incorrect HTTP method for uri [{uri}] and method [{method}], allowed: [{allowed}]"
    );
    let body = Json(json!({"error": message, "status": 405}));
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(header::ALLOW, allowed)],
        body,
    )
        .into_response()
}

/// 400: there is nothing at this address.
pub(super) fn no_handler(method: &Method, uri: &Uri) -> Response {
    let message = format!("no handler found for uri [{uri}] and method [{method}]");
    (StatusCode::BAD_REQUEST, Json(json!({"error": message}))).into_response()
}

/// What was refused before it came to a handler, such as a body that is too large.
pub(super) fn unhandled(status: StatusCode, reason: String) -> Response {
    let kind = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        _ => "illegal_argument_exception",
    };
    Refused(SearchError::new(status.as_u16(), kind, reason)).into_response()
}
