//! Server-sent events: a bounded queue on one side, a `text/event-stream` body on the other.
//!
//! A reader that does not keep up makes the sender wait; a reader that goes away ends it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::shutdown::Shutdown;

/// Events that wait for a slow reader.
const EVENTS_QUEUED_MAX: usize = 64;
/// Silence after which a comment keeps the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The sending side of an event stream.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<Bytes>);

/// The reader has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Events {
    /// Sends one event; `data` must not hold line feeds, which JSON on one line does not.
    ///
    /// # Errors
    /// The reader has gone.
    pub async fn send(&self, event: &str, data: &str) -> Result<(), Gone> {
        debug_assert!(!data.contains('\n'), "an event's data is one line");
        let text = format!("event: {event}\ndata: {data}\n\n");
        self.0.send(Bytes::from(text)).await.map_err(|_| Gone)
    }

    /// Returns once the reader has gone. Cancel-safe.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

/// An event stream and the answer that carries it. The stream ends when the node stops.
#[must_use]
pub fn event_stream(shutdown: &Shutdown) -> (Events, Response) {
    let (sender, receiver) = mpsc::channel::<Bytes>(EVENTS_QUEUED_MAX);
    let state = (receiver, shutdown.clone());
    let body = stream::unfold(state, |(mut receiver, shutdown)| async move {
        let next = tokio::select! {
            () = shutdown.asked() => None,
            event = tokio::time::timeout(KEEP_ALIVE, receiver.recv()) => match event {
                Ok(event) => event,
                Err(_) => Some(Bytes::from_static(b": still here\n\n")),
            },
        };
        next.map(|bytes| {
            (
                Ok::<_, std::convert::Infallible>(bytes),
                (receiver, shutdown),
            )
        })
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (
        Events(sender),
        (headers, Body::from_stream(body)).into_response(),
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_when_the_node_stops() {
        let shutdown = Shutdown::new();
        let (events, response) = event_stream(&shutdown);
        events.send("stats", "{}").await.unwrap();
        let mut body = response.into_body();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&frame[..], b"event: stats\ndata: {}\n\n");
        shutdown.ask();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(events.send("stats", "{}").await, Err(Gone));
    }
}
