//! What all modules of a node log, in one place: a reader gets what was logged lately and follows
//! from there, across upgrades of the module.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tracing::Level;
use wstream_record::Timestamp;

/// Lines a slow reader may fall behind.
const LINES_BEHIND_MAX: usize = 1024;
/// Lines that are kept for those who come later, of all modules together.
const LINES_KEPT_MAX: usize = 1000;

/// A line a module logged, or wrote to stdout or stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The name of the module in service.
    pub transform: Arc<str>,
    /// The version in service.
    pub version: Option<Arc<str>>,
    /// When.
    pub timestamp: Timestamp,
    /// How important; stdout is info, stderr is warn.
    pub level: Level,
    /// At most 4 KiB.
    pub text: String,
}

/// Lines that were logged lately, and the ones to come.
#[derive(Debug)]
pub struct LogReader {
    /// The oldest first.
    pub kept: Vec<LogLine>,
    /// A reader that falls more than 1,024 lines behind misses some and is told so.
    pub coming: broadcast::Receiver<LogLine>,
}

#[derive(Debug)]
pub(crate) struct LogHub {
    kept: Mutex<VecDeque<LogLine>>,
    coming: broadcast::Sender<LogLine>,
}

impl Default for LogHub {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            coming: broadcast::channel(LINES_BEHIND_MAX).0,
        }
    }
}

impl LogHub {
    pub(crate) fn send(&self, line: LogLine) {
        let mut kept = self.kept.lock();
        if kept.len() >= LINES_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        // Nobody may be listening.
        drop(self.coming.send(line));
    }

    /// No line is missed or given twice.
    pub(crate) fn read(&self) -> LogReader {
        let kept = self.kept.lock();
        LogReader {
            coming: self.coming.subscribe(),
            kept: kept.iter().cloned().collect(),
        }
    }
}
