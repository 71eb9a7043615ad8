//! The registry in the node's metadata: a document for each schema, each subject and each level.
//!
//! A subject's versions are one document, so that a version is there whole or not at all. A
//! schema is written before the subject that names it, and removed after it; one that nobody names
//! is what a cut-off change left. It stays, and is the schema of its id as before.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wstream_log::Metadata;

use super::level::Level;
use super::state::{State, Subject, Version};
use super::text::digest;
use super::{Reference, Schema, SchemaId, SchemaKind, SchemasError, SubjectSchema};
use crate::documents::OwnDocuments;

/// Schemas by id: a line of JSON, and after it the text as it came.
const SCHEMAS: &str = "schema";
/// Subjects by name.
const SUBJECTS: &str = "schema-subject";
/// Levels of subjects by name.
const LEVELS: &str = "schema-level";
/// What there is one of: `LEVEL` and `LAST`.
const SETTINGS: &str = "schema-setting";
const LEVEL: &str = "level";
/// The last id that was given, written before a schema is removed.
const LAST: &str = "last";

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    kind: SchemaKind,
    references: Vec<Reference>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    version: u32,
    id: SchemaId,
    deleted: bool,
}

/// Writes changes.
#[derive(Debug)]
pub(super) struct Documents(OwnDocuments);

impl Documents {
    /// Everything that was answered before.
    pub(super) fn open(metadata: Metadata) -> Result<(Self, State), SchemasError> {
        let documents = OwnDocuments::new(metadata);
        let mut state = State::default();
        for (name, body) in documents.all(SCHEMAS) {
            let broken = |reason: String| broken(&format!("schema {name}"), reason);
            let id = name
                .parse()
                .map(SchemaId)
                .map_err(|e| broken(e.to_string()))?;
            let schema = read_schema(&body).map_err(broken)?;
            let digest = digest(&schema).map_err(broken)?;
            state.insert_schema(id, Arc::new(schema), digest);
        }
        for (name, body) in documents.all(SUBJECTS) {
            let subject = read_subject(&state, &name, &body);
            let subject = subject.map_err(|reason| broken(&format!("subject {name}"), reason))?;
            state.subjects.insert(name, subject);
        }
        for (name, body) in documents.all(LEVELS) {
            state.levels.insert(name, read(&body, "a level")?);
        }
        if let Some(body) = documents.one(SETTINGS, LEVEL) {
            state.level = read(&body, "the level")?;
        }
        if let Some(body) = documents.one(SETTINGS, LAST) {
            state.last = state.last.max(read(&body, "the last id")?);
        }
        Ok((Self(documents), state))
    }

    pub(super) async fn put_schema(
        &self,
        id: SchemaId,
        schema: &Schema,
    ) -> Result<(), SchemasError> {
        let head = Head {
            kind: schema.kind,
            references: schema.references.clone(),
        };
        let mut body = json(&head);
        body.push(b'\n');
        body.extend_from_slice(schema.text.as_bytes());
        let name = id.0.to_string();
        Ok(self.0.put(SCHEMAS, &name, body.into()).await?)
    }

    /// Removes a schema; `last` keeps its id from being given again.
    pub(super) async fn remove_schema(&self, id: SchemaId, last: u32) -> Result<(), SchemasError> {
        let body = json(&last).into();
        self.0.put(SETTINGS, LAST, body).await?;
        self.0.delete(SCHEMAS, &id.0.to_string()).await?;
        Ok(())
    }

    /// Writes the versions of a subject; none removes it.
    pub(super) async fn put_subject(
        &self,
        name: &str,
        subject: &Subject,
    ) -> Result<(), SchemasError> {
        if subject.0.is_empty() {
            self.0.delete(SUBJECTS, name).await?;
            return Ok(());
        }
        let versions = subject.0.values().map(|version| Listed {
            version: version.held.version,
            id: version.held.id,
            deleted: version.deleted,
        });
        let body = json(&versions.collect::<Vec<_>>()).into();
        Ok(self.0.put(SUBJECTS, name, body).await?)
    }

    /// Writes the level of a subject, or of all others.
    pub(super) async fn put_level(
        &self,
        subject: Option<&str>,
        level: Level,
    ) -> Result<(), SchemasError> {
        let (kind, name) = place(subject);
        Ok(self.0.put(kind, name, json(&level).into()).await?)
    }

    pub(super) async fn remove_level(&self, subject: Option<&str>) -> Result<(), SchemasError> {
        let (kind, name) = place(subject);
        self.0.delete(kind, name).await?;
        Ok(())
    }
}

fn place(subject: Option<&str>) -> (&'static str, &str) {
    subject.map_or((SETTINGS, LEVEL), |name| (LEVELS, name))
}

fn broken(name: &str, reason: String) -> SchemasError {
    let name = name.to_owned();
    SchemasError::Broken { name, reason }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs are JSON")
}

fn read<T: for<'de> Deserialize<'de>>(body: &Bytes, name: &str) -> Result<T, SchemasError> {
    serde_json::from_slice(body).map_err(|error| broken(name, error.to_string()))
}

fn read_schema(body: &Bytes) -> Result<Schema, String> {
    let end = body
        .iter()
        .position(|b| *b == b'\n')
        .ok_or("it has no end of line")?;
    let head: Head = serde_json::from_slice(&body[..end]).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&body[end + 1..]).map_err(|e| e.to_string())?;
    Ok(Schema {
        kind: head.kind,
        text: text.to_owned(),
        references: head.references,
    })
}

fn read_subject(state: &State, name: &str, body: &Bytes) -> Result<Subject, String> {
    let listed: Vec<Listed> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let mut subject = Subject::default();
    for Listed {
        version,
        id,
        deleted,
    } in listed
    {
        let kept = state.schemas.get(&id);
        let kept = kept.ok_or_else(|| format!("schema {} of version {version} is gone", id.0))?;
        let held = Arc::new(SubjectSchema {
            subject: name.to_owned(),
            version,
            id,
            schema: Arc::clone(&kept.schema),
        });
        subject.0.insert(version, Version { held, deleted });
    }
    Ok(subject)
}
