//! Keeps a page of another site from changing anything here through its visitor's browser.
//!
//! A request that changes state is refused with 403 when it says that it comes from a page of
//! another origin, or when it names a host that is not this machine: a name that an attacker's
//! DNS points at 127.0.0.1. Requests of programs carry neither and pass.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::ApiError;

/// Middleware: refuses a change from a foreign page.
pub async fn refuse_foreign(request: Request, next: Next) -> Response {
    match reason(&request) {
        None => next.run(request).await,
        Some(message) => ApiError::new(StatusCode::FORBIDDEN, "foreign_origin", message)
            .hint("use the address the node listens on, or a program that sends no Origin")
            .into_response(),
    }
}

/// Why a request is refused, if it is: each listener says it in its own shape.
#[must_use]
pub fn reason(request: &Request) -> Option<String> {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let what = if reads {
        None
    } else {
        foreign(request.headers())
    };
    what.map(|what| format!("{what} is foreign: changes come from this node's own page only"))
}

/// The header that gives a foreign page away.
fn foreign(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !host.is_empty() && !is_address(host) {
        return Some(format!("Host {host}"));
    }
    let origin = text(header::ORIGIN)?;
    let same = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    (same != Some(host)).then(|| format!("Origin {origin}"))
}

/// A host that no foreign DNS can have made: an address, or localhost.
fn is_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_pages_are_told_from_programs_and_the_own_page() {
        let rows = [
            ("127.0.0.1:8080", None, false),
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080"), false),
            ("localhost:8080", Some("http://localhost:8080"), false),
            ("[::1]:8080", Some("http://[::1]:8080"), false),
            ("10.1.2.3:8080", Some("https://10.1.2.3:8080"), false),
            ("127.0.0.1:8080", Some("http://127.0.0.1:9090"), true),
            ("127.0.0.1:8080", Some("http://evil.example"), true),
            ("127.0.0.1:8080", Some("null"), true),
            ("evil.example:8080", Some("http://evil.example:8080"), true),
            ("evil.example", None, true),
        ];
        for (host, origin, refused) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(foreign(&headers).is_some(), refused, "{host} {origin:?}");
        }
    }
}
