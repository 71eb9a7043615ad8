//! What a change of a module asks of the node that runs: only the node knows who uses it, and
//! whether those who do can go on with another version.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wstream_record::{Offset, Timestamp, TopicName};

use super::RegistryError;

/// Changes that wait for the node; more wait with their callers.
const WAITING_MAX: usize = 16;

/// A change of a module in use.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Make a version the active one; pipelines that name no version go on with it.
    Activate {
        /// The module's name.
        name: String,
        /// The version.
        version: u64,
        /// Bring the version before back if it does badly; `None` keeps it whatever it does.
        trial: Option<TrialTerms>,
    },
    /// Run a version beside a pipeline that uses the module.
    Rehearse {
        /// The module's name.
        name: String,
        /// The version.
        version: u64,
        /// On what.
        terms: RehearsalTerms,
    },
    /// Delete a name with its versions.
    Delete {
        /// The module's name.
        name: String,
    },
}

/// When a version on trial is brought back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialTerms {
    /// Records that decide.
    pub records: u64,
    /// Most failures, in percent.
    pub failed_percent: f64,
    /// Longest time from the first record to the verdict.
    pub time: Duration,
}

/// What a version is run on beside a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsalTerms {
    /// The pipeline; `None` is the only one that uses the module.
    pub pipeline: Option<String>,
    /// Where it begins; `None` compares it with the version in service on live records.
    pub from: Option<From>,
    /// Where outputs go.
    pub into: Option<TopicName>,
    /// It ends after so many records.
    pub records_max: u64,
    /// It ends after so long.
    pub time_max: Duration,
}

/// Where a range of a topic begins, in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At an offset.
    Offset(Offset),
    /// With the first record at or after a time.
    Time(Timestamp),
}

/// Why the node did not make a change; everything is as before.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such module or version, or it cannot be read or written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Pipelines use it.
    #[error("module {name:?} is used by {}", pipelines.join(", "))]
    InUse {
        /// The module.
        name: String,
        /// Their names.
        pipelines: Vec<String>,
    },
    /// A pipeline cannot go on with it; the text says which and why.
    #[error("{0}")]
    Unfit(String),
    /// Nobody answers any more.
    #[error("the node is stopping")]
    Stopping,
}

/// A change and who waits for it.
#[derive(Debug)]
pub struct Ask {
    /// What to do.
    pub change: Change,
    /// Where the answer goes; nobody may wait any more.
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Asks the node for changes. Clones ask the same node.
#[derive(Debug, Clone)]
pub struct Switch(mpsc::Sender<Ask>);

/// The node's end.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<Ask>);

/// A switch and the node's end of it.
#[must_use]
pub fn switch() -> (Switch, Asked) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Switch(sender), Asked(receiver))
}

impl Switch {
    /// Asks for a change and waits until it is made: pipelines run the new version then.
    ///
    /// # Errors
    /// The node did not make it.
    pub async fn ask(&self, change: Change) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Ask { change, answer }).await;
        sent.map_err(|_| Refusal::Stopping)?;
        answered.await.map_err(|_| Refusal::Stopping)?
    }
}

impl Asked {
    /// The next change that is asked for. Cancel-safe; pending for ever once nobody can ask.
    pub async fn next(&mut self) -> Ask {
        match self.0.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }
}
