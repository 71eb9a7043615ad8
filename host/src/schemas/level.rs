//! Compatibility levels: which earlier versions a new schema is compared with, and which way.
//!
//! Only AVRO is compared. JSON and PROTOBUF schemas are taken as they are, whatever the level, and
//! `Verdict::note` says so; a change of the kind is refused at every level but NONE.

use serde::{Deserialize, Serialize};

use super::avro;
use super::text::{Checked, cut};

/// What a new version of a subject must be able to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Anything goes.
    None,
    /// Read what the latest version wrote.
    #[default]
    Backward,
    /// Read what any version wrote.
    BackwardTransitive,
    /// Be read by the latest version.
    Forward,
    /// Be read by any version.
    ForwardTransitive,
    /// Both, with the latest version.
    Full,
    /// Both, with any version.
    FullTransitive,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is not compatible; nothing where all is.
    pub problems: Vec<String>,
    /// What was not looked at.
    pub note: Option<String>,
}

impl Level {
    /// The level of a name such as `FULL_TRANSITIVE`, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = serde_json::Value::String(name.to_ascii_uppercase());
        serde_json::from_value(name).ok()
    }

    /// Whether all versions count, not only the latest.
    pub(super) fn is_transitive(self) -> bool {
        match self {
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive => true,
            Self::None | Self::Backward | Self::Forward | Self::Full => false,
        }
    }

    fn is_backward(self) -> bool {
        match self {
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive => true,
            Self::None | Self::Forward | Self::ForwardTransitive => false,
        }
    }

    fn is_forward(self) -> bool {
        match self {
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive => true,
            Self::None | Self::Backward | Self::BackwardTransitive => false,
        }
    }
}

/// Compares a schema with one version.
pub(super) fn compare(level: Level, new: &Checked, version: u32, old: &Checked) -> Vec<String> {
    if level == Level::None {
        return Vec::new();
    }
    let (Checked::Avro(new_avro), Checked::Avro(old_avro)) = (new, old) else {
        let (new, old) = (new.kind(), old.kind());
        if new == old {
            return Vec::new();
        }
        let (new, old) = (new.name(), old.name());
        return vec![format!(
            "version {version}: TYPE_CHANGED from {old} to {new}"
        )];
    };
    let mut problems = Vec::new();
    let mut told = |reading: &str, found: Result<(), Vec<String>>| {
        let found = found.err().into_iter().flatten();
        problems.extend(found.map(|text| cut(format!("version {version}: {text} ({reading})"))));
    };
    if level.is_backward() {
        told(
            "the new schema reads the old",
            avro::can_read(new_avro, old_avro),
        );
    }
    if level.is_forward() {
        told(
            "the old schema reads the new",
            avro::can_read(old_avro, new_avro),
        );
    }
    problems
}

/// What is said of kinds that are not compared.
pub(super) fn note(level: Level, new: &Checked) -> Option<String> {
    let kind = new.kind().name();
    match new {
        Checked::Avro(_) => None,
        Checked::Json | Checked::Protobuf if level == Level::None => None,
        Checked::Json | Checked::Protobuf => Some(format!(
            "{kind} schemas are not compared by this registry: any {kind} schema is taken"
        )),
    }
}
