//! Talks HTTP to a running node.
//!
//! Errors say what to do: start a node when none answers, and the node's own hint otherwise.
//! There is no TLS: put a proxy in front of a node that is not on this machine.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::{Bytes, BytesMut};
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Bytes of the longest answer that is taken as a whole.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Bytes of the longest line of a stream: a record of the largest size, as JSON.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Which node a command talks to.
#[derive(Debug, Args)]
pub(super) struct NodeOptions {
    /// The node's address.
    #[arg(
        long,
        value_name = "URL",
        env = "WSTREAM_NODE",
        default_value = "http://127.0.0.1:8080",
        help_heading = "Node"
    )]
    node: String,
    /// Token of the node, if it wants one.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WSTREAM_HTTP_TOKEN",
        hide_env_values = true,
        help_heading = "Node"
    )]
    token: Option<String>,
}

/// A connection to a node.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    token: Option<String>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Nothing is sent yet.
    pub(super) fn new(options: &NodeOptions) -> anyhow::Result<Self> {
        let node = options.node.trim_end_matches('/');
        if node.starts_with("https://") {
            bail!("--node {node}: TLS is not spoken; use http:// or a proxy");
        }
        let base = if node.starts_with("http://") {
            node.to_owned()
        } else {
            format!("http://{node}")
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WAIT));
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        let token = options.token.clone().filter(|token| !token.is_empty());
        Ok(Self { base, token, http })
    }

    /// The JSON at a path.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        whole(self.send(Method::GET, path, None).await?).await
    }

    /// Sends a body and returns the JSON that answers it.
    pub(super) async fn post(
        &self,
        path: &str,
        content: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Value> {
        whole(self.send(Method::POST, path, Some((content, body))).await?).await
    }

    /// Sends a body and returns the text that answers it.
    pub(super) async fn post_for_text(
        &self,
        path: &str,
        content: &'static str,
        body: Bytes,
    ) -> anyhow::Result<String> {
        let response = self.send(Method::POST, path, Some((content, body))).await?;
        let body = collect(response).await?;
        String::from_utf8(body.into()).context("the node's answer is not UTF-8")
    }

    /// Sends a body to a place of its own and returns the JSON that answers it.
    pub(super) async fn put(
        &self,
        path: &str,
        content: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Value> {
        whole(self.send(Method::PUT, path, Some((content, body))).await?).await
    }

    /// Sends a change of what is at a path and returns the JSON that answers it.
    pub(super) async fn patch(
        &self,
        path: &str,
        content: &'static str,
        body: Bytes,
    ) -> anyhow::Result<Value> {
        whole(
            self.send(Method::PATCH, path, Some((content, body)))
                .await?,
        )
        .await
    }

    /// Deletes what is at a path.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    /// The lines at a path, as they come.
    pub(super) async fn lines(&self, path: &str) -> anyhow::Result<Lines> {
        let body = self.send(Method::GET, path, None).await?.into_body();
        Ok(Lines {
            body,
            buffer: BytesMut::new(),
            searched: 0,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> anyhow::Result<Response<Incoming>> {
        let uri = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&uri);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some((content, body)) => {
                request = request.header(CONTENT_TYPE, content);
                Full::new(body)
            }
            None => Full::default(),
        };
        let request = request
            .body(body)
            .with_context(|| format!("{uri:?} is not an address"))?;
        let response = self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                anyhow!("no node answers at {}\n  hint: start one with `wstream run`, or name it with --node", self.base)
            } else {
                anyhow!(error).context(format!("the node at {} went away", self.base))
            }
        })?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(refusal(response).await)
        }
    }
}

/// What the node says was wrong, with its hint.
async fn refusal(response: Response<Incoming>) -> anyhow::Error {
    let status = response.status();
    let body = collect(response).await.unwrap_or_default();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = &value["error"];
    let text = |name: &str| error[name].as_str();
    // The Elasticsearch API names it `reason`.
    let Some(message) = text("message").or_else(|| text("reason")) else {
        let start: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        return anyhow!(
            "the node answered {status}: {start}\n  hint: is --node the address of a wstream node?"
        );
    };
    match text("hint") {
        Some(hint) => anyhow!("{message}\n  hint: {hint}"),
        None => anyhow!("{message}"),
    }
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Value> {
    let body = collect(response).await?;
    serde_json::from_slice(&body)
        .context("the node's answer is not JSON: is --node the address of a wstream node?")
}

async fn collect(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let collected = body
        .collect()
        .await
        .map_err(|error| anyhow!("the answer broke off: {error}"))?;
    Ok(collected.to_bytes())
}

/// Lines of a body that may never end.
#[derive(Debug)]
pub(super) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line feed.
    searched: usize,
}

impl Lines {
    /// The next line without its feed; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                bail!("the node sent a line of more than {LINE_BYTES_MAX} bytes");
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split().freeze()));
                }
                Some(frame) => {
                    let frame = frame.context("the node stopped in the middle of its answer")?;
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }

    /// The next line if it is here already.
    pub(super) fn buffered(&mut self) -> Option<Bytes> {
        let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        line.truncate(line.len() - 1);
        self.searched = 0;
        Some(line.freeze())
    }
}

/// A text as one segment of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' | b',' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_encoded() {
        let rows = [
            ("netflix-titles", "netflix-titles"),
            ("a b/c?", "a%20b%2Fc%3F"),
            ("logs-*,x", "logs-*,x"),
            ("\u{e4}", "%C3%A4"),
        ];
        for (text, wanted) in rows {
            assert_eq!(encoded(text), wanted);
        }
    }

    #[tokio::test]
    async fn without_a_node_the_error_says_to_start_one() {
        // A port that was free a moment ago: nobody answers there.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&NodeOptions {
            node: node.clone(),
            token: None,
        })
        .unwrap();
        let error = client.get("/api/v1/topics").await.unwrap_err().to_string();
        let wanted = format!(
            "no node answers at {}\n  hint: start one with `wstream run`, or name it with --node",
            node.trim_end_matches('/')
        );
        assert_eq!(error, wanted);
    }
}
