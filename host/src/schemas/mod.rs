//! The schemas of records' values: subjects with numbered versions, and ids that serializers put
//! in front of what they write. What was answered survives a restart, and an id never means
//! another schema.
//!
//! It keeps to the model of Confluent's registry, so that its clients work unchanged. Schemas are
//! documents of the node's metadata, all held in memory: look-ups never wait. Changes go one after
//! another; what costs time (parsing, comparing) runs on the blocking pool, within a bound.
//!
//! AVRO is parsed and compared here; JSON and PROTOBUF are only looked at, and never compared.
//! It knows no contexts, modes, metadata and rules, and never looks at records.

mod avro;
mod change;
mod documents;
mod error;
mod guest;
mod level;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use wstream_log::Metadata;
use wstream_record::ByteSize;

use documents::Documents;
pub use error::SchemasError;
pub use guest::GuestSchemas;
pub use level::{Level, Verdict};
use state::State;

/// Bytes of the largest schema.
pub const TEXT_BYTES_MAX: ByteSize = ByteSize::mib(1);
/// References of one schema.
pub const REFERENCES_MAX: usize = 100;
/// Bytes of the name of a reference: a path or address that the schema's text uses.
const REFERENCE_NAME_BYTES_MAX: usize = 1_024;
/// Bytes of a subject's name.
pub const SUBJECT_BYTES_MAX: usize = 255;
/// Versions of one subject, deleted ones included.
pub const VERSIONS_MAX: usize = 1_000;
/// Subjects, and levels of subjects.
pub const SUBJECTS_MAX: usize = 10_000;
/// All schemas.
const SCHEMAS_MAX: usize = 100_000;
/// Bytes of all schemas, which are held in memory.
const SCHEMAS_BYTES_MAX: ByteSize = ByteSize::mib(128);
/// Schemas that are parsed and compared at a time; more wait with their callers.
const CHECKS_MAX: usize = 2;

/// The id of a schema, from 1: what serializers write before a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u32);

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol buffers: the source of a file, or its descriptor in base64.
    Protobuf,
}

/// A schema that another one uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What the text calls it.
    pub name: String,
    /// The subject it is registered under.
    pub subject: String,
    /// The version there.
    pub version: u32,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text, as it was first registered.
    pub text: String,
    /// What it uses.
    pub references: Vec<Reference>,
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectSchema {
    /// The subject.
    pub subject: String,
    /// The version, from 1.
    pub version: u32,
    /// The id of its schema.
    pub id: SchemaId,
    /// Its schema.
    pub schema: Arc<Schema>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The id of the schema.
    pub id: SchemaId,
    /// Its version under the subject.
    pub version: u32,
}

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest.
    Latest,
    /// The one of that number.
    Version(u32),
}

/// Which versions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Those that are not deleted.
    Live,
    /// Softly deleted ones too.
    All,
    /// Only softly deleted ones.
    DeletedOnly,
}

impl SchemaKind {
    /// The name clients use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let kinds = [Self::Avro, Self::Json, Self::Protobuf];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Version(number) => number.fmt(f),
        }
    }
}

/// The registry of schemas; clones share it.
#[derive(Debug, Clone)]
pub struct Schemas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    documents: Documents,
    state: RwLock<State>,
    /// Held by changes.
    changes: Mutex<()>,
    checks: Semaphore,
}

impl Schemas {
    /// Opens the registry that `metadata` holds.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn open(metadata: Metadata) -> Result<Self, SchemasError> {
        let (documents, state) = Documents::open(metadata)?;
        Ok(Self(Arc::new(Inner {
            documents,
            state: RwLock::new(state),
            changes: Mutex::new(()),
            checks: Semaphore::new(CHECKS_MAX),
        })))
    }

    /// The schema of an id, also where its versions are softly deleted.
    #[must_use]
    pub fn by_id(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let state = self.0.state.read();
        state.schemas.get(&id).map(|kept| Arc::clone(&kept.schema))
    }

    /// A version of a subject that is not deleted; without a number the latest.
    #[must_use]
    pub fn by_subject(&self, subject: &str, version: Option<u32>) -> Option<Arc<SubjectSchema>> {
        let at = version.map_or(At::Latest, At::Version);
        self.version(subject, at, Filter::Live).ok()
    }

    /// A version of a subject.
    ///
    /// # Errors
    /// There is no such subject or version that the filter shows.
    pub fn version(
        &self,
        subject: &str,
        at: At,
        filter: Filter,
    ) -> Result<Arc<SubjectSchema>, SchemasError> {
        let state = self.0.state.read();
        Ok(Arc::clone(&state.version(subject, at, filter)?.held))
    }

    /// Subjects whose name begins with `prefix`.
    #[must_use]
    pub fn subjects(&self, prefix: &str, filter: Filter) -> Vec<String> {
        self.0.state.read().subjects(prefix, filter)
    }

    /// The versions of a subject.
    ///
    /// # Errors
    /// There is no such subject.
    pub fn versions(&self, subject: &str, filter: Filter) -> Result<Vec<u32>, SchemasError> {
        self.0.state.read().versions(subject, filter)
    }

    /// The subjects and versions that have a schema.
    ///
    /// # Errors
    /// There is no such schema.
    pub fn uses(
        &self,
        id: SchemaId,
        filter: Filter,
    ) -> Result<Vec<Arc<SubjectSchema>>, SchemasError> {
        let state = self.0.state.read();
        if !state.schemas.contains_key(&id) {
            return Err(SchemasError::UnknownSchema(format!("id {}", id.0)));
        }
        Ok(state.uses(id, filter))
    }

    /// The schemas in use that refer to a version.
    ///
    /// # Errors
    /// There is no such subject or version.
    pub fn referring(&self, subject: &str, at: At) -> Result<Vec<SchemaId>, SchemasError> {
        let state = self.0.state.read();
        let version = state.version(subject, at, Filter::All)?.held.version;
        Ok(state.referring(subject, version))
    }

    /// The compatibility level of a subject's own, or the one of all others.
    #[must_use]
    pub fn level(&self, subject: Option<&str>) -> Option<Level> {
        let state = self.0.state.read();
        subject.map_or(Some(state.level), |name| state.levels.get(name).copied())
    }
}
