//! Why the registry of schemas did not do something.

use wstream_log::DocumentError;
use wstream_record::ByteSize;

use super::{
    REFERENCES_MAX, SCHEMAS_BYTES_MAX, SCHEMAS_MAX, SUBJECT_BYTES_MAX, SUBJECTS_MAX,
    TEXT_BYTES_MAX, VERSIONS_MAX,
};
use crate::units::Size;

/// Why something was not done; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemasError {
    /// There is no such subject.
    #[error("subject {0:?} not found")]
    UnknownSubject(String),
    /// The subject has no such version.
    #[error("subject {subject:?} has no version {version}")]
    UnknownVersion {
        /// The subject.
        subject: String,
        /// `latest`, or the version's number.
        version: String,
    },
    /// No such schema: by its id, or under the subject.
    #[error("schema not found: {0}")]
    UnknownSchema(String),
    /// Already deleted, and not for good.
    #[error("subject {0:?} was soft deleted: set permanent=true to delete it permanently")]
    SubjectDeleted(String),
    /// Only what is deleted can be deleted for good.
    #[error("subject {0:?} was not deleted before being permanently deleted")]
    SubjectNotDeleted(String),
    /// Already deleted, and not for good.
    #[error(
        "subject {subject:?} version {version} was soft deleted: \
         set permanent=true to delete it permanently"
    )]
    VersionDeleted {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// Only what is deleted can be deleted for good.
    #[error(
        "subject {subject:?} version {version} was not deleted before being permanently deleted"
    )]
    VersionNotDeleted {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// Other schemas refer to it.
    #[error("one or more references exist to subject {subject:?} version {version}")]
    Referenced {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// The subject has no compatibility level of its own.
    #[error("subject {0:?} does not have subject-level compatibility configured")]
    NoLevel(String),
    /// It does not go with versions that are there.
    #[error("the schema is incompatible with an earlier one of subject {subject:?}: {}", problems.join("; "))]
    Incompatible {
        /// The subject.
        subject: String,
        /// What does not.
        problems: Vec<String>,
    },
    /// The text, or what it refers to, is no schema.
    #[error("invalid schema: {0}")]
    Invalid(String),
    /// No schema may have that name.
    #[error(
        "invalid subject {0:?}: a name has 1 to {SUBJECT_BYTES_MAX} bytes, no control characters, \
         and no context (\":.\")"
    )]
    Subject(String),
    /// The text is above the bound.
    #[error("the schema has {bytes} bytes, more than {TEXT_BYTES_MAX}")]
    TooLarge {
        /// Its bytes.
        bytes: ByteSize,
    },
    /// More references than a schema may have.
    #[error("the schema has {0} references, more than {REFERENCES_MAX}")]
    TooManyReferences(usize),
    /// More versions than a subject may have.
    #[error("subject {0:?} has {VERSIONS_MAX} versions: delete some permanently")]
    TooManyVersions(String),
    /// More subjects than there may be.
    #[error("there are {SUBJECTS_MAX} subjects: delete some permanently")]
    TooManySubjects,
    /// More schemas than there may be.
    #[error(
        "there are {SCHEMAS_MAX} schemas, or {} of them: delete some permanently",
        Size(SCHEMAS_BYTES_MAX)
    )]
    TooManySchemas,
    /// The store.
    #[error("could not store the schema: {0}")]
    Document(#[from] DocumentError),
    /// A document that is kept does not read.
    #[error("the document of {name} does not read: {reason}")]
    Broken {
        /// What it is of.
        name: String,
        /// Why.
        reason: String,
    },
    /// Nobody answers any more.
    #[error("the node is stopping")]
    Stopping,
}
