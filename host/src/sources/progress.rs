//! How far the sources are, for people: bars with rate and time left on a terminal, a plain line
//! now and then otherwise. It only looks; sources run the same without it.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{SourceHandle, SourceState, SourceStatus};

/// Time between two looks for the bars.
const BARS_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two plain lines.
const LINES_INTERVAL: Duration = Duration::from_secs(10);
const READING: &str = "{prefix:>14} [{bar:28}] {bytes:>10} of {total_bytes:<10} {binary_bytes_per_sec:>12}, {eta} left  {msg}";
const RESTING: &str = "{prefix:>14} [{bar:28}] {bytes:>10} of {total_bytes:<10} {msg}";

/// Shows `sources` until all have ended. Cancel-safe: what was drawn stays.
pub async fn show(sources: &[SourceHandle], on_terminal: bool) {
    if on_terminal {
        bars(sources, ProgressDrawTarget::stderr()).await;
    } else {
        lines(sources).await;
    }
}

async fn bars(sources: &[SourceHandle], target: ProgressDrawTarget) {
    let all = MultiProgress::with_draw_target(target);
    let bars: Vec<_> = sources
        .iter()
        .map(|_| all.add(ProgressBar::no_length()))
        .collect();
    let mut ticks = tokio::time::interval(BARS_INTERVAL);
    loop {
        ticks.tick().await;
        let status: Vec<_> = sources.iter().map(SourceHandle::status).collect();
        bars.iter()
            .zip(&status)
            .for_each(|(bar, status)| draw(bar, status));
        if status.iter().all(|s| s.state.is_final()) {
            return;
        }
    }
}

fn draw(bar: &ProgressBar, status: &SourceStatus) {
    if bar.is_finished() {
        return;
    }
    let template = match status.state {
        SourceState::Reading => READING,
        _ => RESTING,
    };
    let style = ProgressStyle::with_template(template).expect("a constant that is a template");
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(status.name.clone());
    bar.set_length(status.bytes_total);
    bar.set_position(status.bytes_read);
    let message = message(status);
    if status.state.is_final() {
        bar.abandon_with_message(message);
    } else {
        bar.set_message(message);
    }
}

/// What stands behind a bar: rows, bad rows if any, and what is not usual.
fn message(status: &SourceStatus) -> String {
    let mut text = format!("{} rows", status.records);
    if status.bad_rows > 0 {
        text += &format!(", {} dead letters", status.bad_rows);
    }
    match (status.state, &status.error) {
        (SourceState::Reading | SourceState::Done, _) => text,
        (SourceState::Waiting, _) => text + ", following",
        (SourceState::Stopped, _) => text + ", stopped",
        (SourceState::Retrying, error) => {
            format!(
                "{text}, trying again: {}",
                error.as_deref().unwrap_or("failed")
            )
        }
        (SourceState::Failed, error) => {
            format!(
                "{text}, failed: {}",
                error.as_deref().unwrap_or("no reason given")
            )
        }
    }
}

async fn lines(sources: &[SourceHandle]) {
    let mut ticks = tokio::time::interval(LINES_INTERVAL);
    // The first tick is at once, when there is nothing to say.
    ticks.tick().await;
    for source in sources {
        loop {
            tokio::select! {
                _ = source.finished() => break,
                _ = ticks.tick() => sources.iter().for_each(line),
            }
        }
    }
}

fn line(source: &SourceHandle) {
    let status = source.status();
    if status.state == SourceState::Reading {
        let percent = status.bytes_read.saturating_mul(100) / status.bytes_total.max(1);
        let (source, records, bad_rows) = (&status.name, status.records, status.bad_rows);
        tracing::info!(%source, records, bad_rows, percent, "reading");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;
    use parking_lot::Mutex;
    use wstream_record::TopicName;

    use super::*;

    /// Keeps everything that is drawn.
    #[derive(Debug, Clone, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            200
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn status(state: SourceState) -> SourceStatus {
        SourceStatus {
            name: "titles".into(),
            kind: "csv",
            path: "titles.csv".into(),
            topic: TopicName::new("t").unwrap(),
            state,
            records: 120,
            bad_rows: 3,
            bytes_read: 1 << 20,
            bytes_total: 2 << 20,
            error: Some("no such column".into()),
        }
    }

    #[test]
    fn bars_show_name_rows_bytes_and_what_is_wrong() {
        let rows = [
            (SourceState::Reading, "1.00 MiB of 2.00 MiB"),
            (SourceState::Reading, " left  120 rows, 3 dead letters"),
            (
                SourceState::Reading,
                "titles [==============>             ]",
            ),
            (SourceState::Waiting, "120 rows, 3 dead letters, following"),
            (
                SourceState::Failed,
                "120 rows, 3 dead letters, failed: no such column",
            ),
            (
                SourceState::Retrying,
                "dead letters, trying again: no such column",
            ),
        ];
        for (state, text) in rows {
            let paper = Paper::default();
            let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
            let bar = ProgressBar::with_draw_target(None, target);
            draw(&bar, &status(state));
            bar.force_draw();
            let drawn = paper.0.lock().clone();
            assert!(drawn.contains(text), "{text:?} in {drawn:?}");
        }
    }
}
