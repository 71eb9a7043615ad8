//! Signals and edits of the file: what asks a running node for something.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Interval;

/// How often `--watch` looks at the file.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What is asked of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Stop; asked a second time: at once.
    Stop,
    /// Read the file again.
    Reload,
}

/// Listens for SIGTERM, SIGINT, SIGHUP and edits of a watched file.
#[derive(Debug)]
pub(super) struct Asks {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    file: PathBuf,
    tick: Interval,
    seen: Option<Stamp>,
}

/// What an edit changes.
type Stamp = (SystemTime, u64);

impl Asks {
    /// Starts listening.
    ///
    /// # Errors
    /// The system gives no signals.
    pub(super) fn new(watched: Option<&Path>) -> std::io::Result<Self> {
        let watch = watched.map(|file| Watch {
            file: file.to_owned(),
            tick: tokio::time::interval(WATCH_INTERVAL),
            seen: stamp(file),
        });
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            watch,
        })
    }

    /// What is asked next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.terminate.recv() => Ask::Stop,
            _ = self.interrupt.recv() => Ask::Stop,
            _ = self.hangup.recv() => Ask::Reload,
            () = edited(&mut self.watch) => Ask::Reload,
        }
    }
}

/// Returns after an edit; never without a watched file.
async fn edited(watch: &mut Option<Watch>) {
    let Some(watch) = watch else {
        return std::future::pending().await;
    };
    loop {
        watch.tick.tick().await;
        let now = stamp(&watch.file);
        // A file that is just being replaced is looked at again at the next tick.
        if now.is_some() && now != watch.seen {
            watch.seen = now;
            return;
        }
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
