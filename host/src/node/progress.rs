//! Shows how far the sources are: bars with rate and time left on a terminal, plain log lines
//! otherwise.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tracing::info;

use super::core::Core;
use crate::sources::SourceHandle;

/// How often bars are redrawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(250);
/// How often a log line tells the progress where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR: &str = "{prefix:.bold} {wide_bar:.cyan/blue} {bytes}/{total_bytes} {bytes_per_sec} \
                   eta {eta} {msg}";

/// The task that shows progress; ended by `finish` or when dropped.
#[derive(Debug)]
pub(super) struct Progress(JoinHandle<()>);

impl Progress {
    /// Begins to show the sources.
    pub(super) fn start(core: &Core, sources: Vec<SourceHandle>) -> Self {
        let shutdown = core.work.clone();
        let show = async move {
            if std::io::stderr().is_terminal() {
                bars(&sources).await;
            } else {
                lines(&sources).await;
            }
        };
        Self(tokio::spawn(async move {
            tokio::select! {
                () = show => {}
                () = shutdown.asked() => {}
            }
        }))
    }

    /// Stops showing.
    pub(super) fn finish(self) {
        self.0.abort();
    }
}

async fn bars(sources: &[SourceHandle]) {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bars: Vec<_> = sources
        .iter()
        .map(|source| {
            let status = source.status();
            let bar = all.add(ProgressBar::new(status.bytes_total).with_style(style.clone()));
            bar.set_prefix(status.name);
            // What earlier runs read does not count into the rate.
            bar.set_position(status.bytes_read);
            bar.reset_eta();
            bar
        })
        .collect();
    let mut tick = tokio::time::interval(DRAW_INTERVAL);
    loop {
        tick.tick().await;
        let mut open = false;
        for (source, bar) in sources.iter().zip(&bars) {
            let status = source.status();
            bar.set_length(status.bytes_total);
            bar.set_position(status.bytes_read);
            bar.set_message(format!("{} rows, {} bad", status.records, status.bad_rows));
            if status.state.is_final() {
                bar.finish();
            } else {
                open = true;
            }
        }
        if !open {
            return;
        }
    }
}

async fn lines(sources: &[SourceHandle]) {
    let mut tick = tokio::time::interval(LINE_INTERVAL);
    tick.tick().await;
    loop {
        tick.tick().await;
        let mut open = false;
        for status in sources.iter().map(SourceHandle::status) {
            if status.state.is_final() {
                continue;
            }
            open = true;
            info!(
                source = status.name, state = ?status.state, rows = status.records,
                bad_rows = status.bad_rows, bytes_read = status.bytes_read,
                bytes_total = status.bytes_total, "progress"
            );
        }
        if !open {
            return;
        }
    }
}
