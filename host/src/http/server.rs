//! Accepts connections within a bound, serves a router on each, and lets answers in work finish
//! when the node stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::shutdown::Shutdown;

/// Connections of one listener at a time; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Time a client has to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time answers in work have when the node stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a failed accept, for example when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address is not this machine's, or is taken.
    #[error("cannot listen on {address} ({option}): {error}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The option that sets it.
        option: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not loopback, and nothing protects it.
    #[error(
        "{option} {address} is reachable from other machines and nothing protects it: \
         set a token with --http-token, listen on 127.0.0.1, or say --insecure"
    )]
    Open {
        /// The address asked for.
        address: SocketAddr,
        /// The option that sets it.
        option: &'static str,
    },
}

/// A bound address, not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`, which `option` sets. `open` permits an address beyond loopback.
    ///
    /// # Errors
    /// The address is taken or not ours, or reachable from elsewhere without permission.
    pub async fn bind(
        address: SocketAddr,
        option: &'static str,
        open: bool,
    ) -> Result<Self, ListenerError> {
        if !address.ip().is_loopback() && !open {
            return Err(ListenerError::Open { address, option });
        }
        let bind = |error| ListenerError::Bind {
            address,
            option,
            error,
        };
        let socket = TcpListener::bind(address).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        Ok(Self { socket, address })
    }

    /// The address, with the port the system chose if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until the node stops. Connections are tasks of `shutdown`.
    pub async fn serve(self, router: Router, shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                () = shutdown.asked() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let connection = connection(stream, router.clone(), shutdown.clone());
                    shutdown.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, address = %self.address, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, shutdown: Shutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "could not set TCP_NODELAY");
    }
    let serve = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serve = std::pin::pin!(serve);
    let ended = tokio::select! {
        ended = serve.as_mut() => ended,
        () = shutdown.asked() => {
            serve.as_mut().graceful_shutdown();
            tokio::time::timeout(FINISH_TIMEOUT, serve).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_address_needs_permission() {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let refused = Listener::bind(any, "--http", false)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("--http 0.0.0.0:0 is reachable"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Listener::bind(loopback, "--http", false).await.unwrap();
        let error = Listener::bind(first.address(), "--http", false)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains(&first.address().to_string()),
            "{error}"
        );
    }
}
