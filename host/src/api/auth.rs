//! The bearer token: where one is set, what changes state carries it.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiState, schemas};
use crate::http::ApiError;

/// The route that searches.
const SEARCH: &str = "/api/v1/indices/{target}/_search";

/// Refuses a change without the token with 401. Searching changes nothing, nor do some questions
/// to the registry of schemas, though they are POSTs.
pub(super) async fn token(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let reads = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => true,
        // The route, not the path: a topic may be called `_search`.
        Method::POST => {
            let route = request.extensions().get::<MatchedPath>();
            let route = route.map_or("", MatchedPath::as_str);
            route == SEARCH || schemas::POSTS_THAT_READ.contains(&route)
        }
        _ => false,
    };
    let Some(wanted) = state.node.token.as_deref().filter(|_| !reads) else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.as_bytes(), wanted.as_bytes())) {
        return next.run(request).await;
    }
    let message = if given.is_some() {
        "the token is not the right one"
    } else {
        "a token is needed"
    };
    let error = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .hint("send 'Authorization: Bearer TOKEN'; commands take --token or WSTREAM_HTTP_TOKEN");
    ([(header::WWW_AUTHENTICATE, "Bearer")], error).into_response()
}

/// Compares in a time that does not depend on where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}
