//! The page's files: compressed once, named by their content, allowed to load only each other.
//!
//! A browser asks each time whether a file is still the same and gets an empty answer if it is,
//! so a new binary shows its own page at once. A debug build reads the files from the sources.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use rust_embed::RustEmbed;

use crate::http::ApiError;

/// What the page may load and do: only what this binary serves, and inside no other page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

#[derive(RustEmbed)]
#[folder = "src/dashboard/assets"]
struct Files;

/// A file as it goes out.
#[derive(Debug)]
struct Packed {
    digest: [u8; 32],
    tag: String,
    plain: Bytes,
    gzip: Bytes,
}

// As many entries as there are files; a file is packed when it is first asked for.
static PACKED: LazyLock<Mutex<HashMap<String, Arc<Packed>>>> = LazyLock::new(Mutex::default);

fn packed(path: &str) -> Option<Arc<Packed>> {
    let file = Files::get(path)?;
    let digest = file.metadata.sha256_hash();
    if let Some(known) = PACKED.lock().get(path)
        && known.digest == digest
    {
        return Some(Arc::clone(known));
    }
    let plain = Bytes::from(file.data.into_owned());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(&plain)
        .expect("writing to memory succeeds");
    let gzip = encoder.finish().expect("writing to memory succeeds");
    let tag = digest[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let packed = Arc::new(Packed {
        digest,
        tag,
        plain,
        gzip: gzip.into(),
    });
    PACKED.lock().insert(path.to_owned(), Arc::clone(&packed));
    Some(packed)
}

/// Answers with the file at `path`, or that it has not changed, or that there is none.
pub(super) fn answer(path: &str, request: &HeaderMap) -> Response {
    let Some(file) = packed(path) else {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("the page has no file {path:?}"),
        )
        .into_response();
    };
    let gzip = accepts_gzip(request);
    let tag = format!("\"{}{}\"", file.tag, if gzip { "-gz" } else { "" });
    let mut headers = HeaderMap::new();
    let mut set = |name, value: &str| {
        let value = HeaderValue::from_str(value).expect("these values are visible ASCII");
        headers.insert(name, value);
    };
    set(header::ETAG, &tag);
    set(header::CACHE_CONTROL, "no-cache");
    set(header::VARY, "accept-encoding");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    if same(request, &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    set(header::CONTENT_TYPE, content_type(path));
    if gzip {
        set(header::CONTENT_ENCODING, "gzip");
    }
    let body = if gzip {
        file.gzip.clone()
    } else {
        file.plain.clone()
    };
    (headers, body).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let offers = request.get_all(header::ACCEPT_ENCODING).iter();
    offers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn same(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter();
    known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    /// Bytes of the whole page, compressed.
    const PAGE_BYTES_MAX: usize = 150 << 10;

    fn request(headers: &[(header::HeaderName, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    async fn body(response: Response) -> Vec<u8> {
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec()
    }

    #[tokio::test]
    async fn a_file_goes_out_compressed_and_unchanged() {
        let plain = answer("index.html", &HeaderMap::new());
        assert_eq!(
            plain.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        let plain = body(plain).await;
        let gzip = answer(
            "index.html",
            &request(&[(header::ACCEPT_ENCODING, "br, gzip;q=0.8")]),
        );
        assert_eq!(gzip.headers()[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        let gzip = body(gzip).await;
        flate2::read::GzDecoder::new(&gzip[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain);
        assert!(plain.starts_with(b"<!doctype html>"));
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        for encoding in ["gzip", "identity", "gzip;q=0"] {
            let first = request(&[(header::ACCEPT_ENCODING, encoding)]);
            let tag = answer("icon.svg", &first).headers()[header::ETAG]
                .to_str()
                .unwrap()
                .to_owned();
            let known = [
                (header::ACCEPT_ENCODING, encoding),
                (header::IF_NONE_MATCH, &tag),
            ];
            let again = answer("icon.svg", &request(&known));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{encoding}");
            assert_eq!(body(again).await, b"");
            let other = request(&[(header::IF_NONE_MATCH, "\"another\"")]);
            assert_eq!(answer("icon.svg", &other).status(), StatusCode::OK);
        }
    }

    #[test]
    fn every_file_forbids_what_the_binary_does_not_serve() {
        for path in Files::iter() {
            let response = answer(&path, &HeaderMap::new());
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap();
            assert!(
                policy.starts_with("default-src 'self';"),
                "{path}: {policy}"
            );
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
            let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
            assert_ne!(kind, "application/octet-stream", "{path}");
        }
        assert_eq!(
            answer("js/none.js", &HeaderMap::new()).status(),
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            answer("../mod.rs", &HeaderMap::new()).status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn the_page_is_small() {
        let files: Vec<_> = Files::iter().collect();
        assert!(files.len() > 20, "{files:?}");
        let bytes: usize = files
            .iter()
            .map(|path| packed(path).unwrap().gzip.len())
            .sum();
        assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes compressed");
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_parses_no_markup() {
        let banned = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "https://",
        ];
        for path in Files::iter() {
            let text = String::from_utf8(packed(&path).unwrap().plain.to_vec()).unwrap();
            for word in banned {
                assert!(!text.contains(word), "{path} has {word}");
            }
            assert!(text.is_ascii(), "{path} is not ASCII");
        }
    }
}
