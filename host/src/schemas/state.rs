//! What the registry holds, in memory: schemas by id, subjects with their versions, levels.
//!
//! It only answers; what may be changed is decided by its callers, one change at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::level::Level;
use super::text::Digest;
use super::{At, Filter, Reference, Schema, SchemaId, SchemasError, SubjectSchema};

/// Texts that a schema may refer to, directly or through others.
const RESOLVED_MAX: usize = 1_000;
/// Bytes of those texts together.
const RESOLVED_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) schemas: BTreeMap<SchemaId, Kept>,
    pub(super) by_digest: HashMap<Digest, SchemaId>,
    pub(super) subjects: BTreeMap<String, Subject>,
    pub(super) level: Level,
    pub(super) levels: BTreeMap<String, Level>,
    /// The last id that was given, also of a schema that is gone.
    pub(super) last: u32,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) schema: Arc<Schema>,
    pub(super) digest: Digest,
}

/// The versions of a subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject(pub(super) BTreeMap<u32, Version>);

#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) held: Arc<SubjectSchema>,
    /// Softly: it is still found by those who ask for deleted ones.
    pub(super) deleted: bool,
}

impl Subject {
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<SubjectSchema>> {
        let live = self.0.values().filter(|version| !version.deleted);
        live.map(|version| &version.held)
    }

    pub(super) fn is_live(&self) -> bool {
        self.live().next().is_some()
    }

    /// The number after the last one, deleted or not.
    pub(super) fn next(&self) -> u32 {
        self.0.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    fn shown(&self, filter: Filter) -> impl Iterator<Item = &Version> {
        self.0
            .values()
            .filter(move |version| filter.shows(version.deleted))
    }
}

impl Filter {
    fn shows(self, deleted: bool) -> bool {
        match self {
            Self::Live => !deleted,
            Self::All => true,
            Self::DeletedOnly => deleted,
        }
    }
}

impl State {
    pub(super) fn insert_schema(&mut self, id: SchemaId, schema: Arc<Schema>, digest: Digest) {
        self.last = self.last.max(id.0);
        self.bytes += schema.text.len() as u64;
        self.by_digest.insert(digest, id);
        self.schemas.insert(id, Kept { schema, digest });
    }

    pub(super) fn remove_schema(&mut self, id: SchemaId) {
        if let Some(kept) = self.schemas.remove(&id) {
            self.bytes -= kept.schema.text.len() as u64;
            self.by_digest.remove(&kept.digest);
        }
    }

    /// A subject that has a version the filter shows.
    pub(super) fn subject(&self, name: &str, filter: Filter) -> Result<&Subject, SchemasError> {
        let subject = self.subjects.get(name);
        let shown = subject.filter(|subject| subject.shown(filter).next().is_some());
        shown.ok_or_else(|| SchemasError::UnknownSubject(name.to_owned()))
    }

    pub(super) fn version(
        &self,
        name: &str,
        at: At,
        filter: Filter,
    ) -> Result<&Version, SchemasError> {
        let subject = self.subject(name, filter)?;
        let found = match at {
            At::Version(number) => subject.0.get(&number),
            At::Latest => {
                let mut versions = subject.0.values().rev();
                versions.find(|version| filter.shows(version.deleted))
            }
        };
        let shown = found.filter(|version| filter.shows(version.deleted));
        shown.ok_or_else(|| SchemasError::UnknownVersion {
            subject: name.to_owned(),
            version: at.to_string(),
        })
    }

    pub(super) fn subjects(&self, prefix: &str, filter: Filter) -> Vec<String> {
        let all = self.subjects.iter();
        all.filter(|(name, subject)| {
            // A subject is deleted once all its versions are.
            let shown = match filter {
                Filter::DeletedOnly => !subject.is_live(),
                Filter::Live | Filter::All => subject.shown(filter).next().is_some(),
            };
            name.starts_with(prefix) && shown
        })
        .map(|(name, _)| name.clone())
        .collect()
    }

    pub(super) fn versions(&self, name: &str, filter: Filter) -> Result<Vec<u32>, SchemasError> {
        let wider = match filter {
            Filter::Live => Filter::Live,
            Filter::All | Filter::DeletedOnly => Filter::All,
        };
        let subject = self.subject(name, wider)?;
        Ok(subject
            .shown(filter)
            .map(|version| version.held.version)
            .collect())
    }

    /// Where a schema is registered.
    pub(super) fn uses(&self, id: SchemaId, filter: Filter) -> Vec<Arc<SubjectSchema>> {
        let versions = self.subjects.values().flat_map(|s| s.shown(filter));
        let uses = versions.filter(|version| version.held.id == id);
        uses.map(|version| Arc::clone(&version.held)).collect()
    }

    /// The schemas that refer to a version and are in use themselves.
    pub(super) fn referring(&self, subject: &str, version: u32) -> Vec<SchemaId> {
        let live = self.subjects.values().flat_map(Subject::live);
        let referring = live.filter(|held| {
            let mut references = held.schema.references.iter();
            references.any(|r| r.version == version && r.subject == subject)
        });
        let mut ids: Vec<_> = referring.map(|held| held.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The versions of a subject that schemas in use refer to.
    pub(super) fn referred(&self, subject: &str) -> HashSet<u32> {
        let live = self.subjects.values().flat_map(Subject::live);
        let references = live.flat_map(|held| &held.schema.references);
        let of_subject = references.filter(|reference| reference.subject == subject);
        of_subject.map(|reference| reference.version).collect()
    }

    /// The schemas that some version has, deleted or not.
    pub(super) fn used(&self) -> HashSet<SchemaId> {
        let versions = self
            .subjects
            .values()
            .flat_map(|subject| subject.0.values());
        versions.map(|version| version.held.id).collect()
    }

    pub(super) fn find(
        &self,
        subject: &Subject,
        digest: &Digest,
        filter: Filter,
    ) -> Option<Arc<SubjectSchema>> {
        let id = self.by_digest.get(digest)?;
        let same = subject
            .shown(filter)
            .filter(|version| version.held.id == *id);
        // The newest: older ones of the same schema are deleted.
        same.last().map(|version| Arc::clone(&version.held))
    }

    pub(super) fn level_of(&self, subject: &str) -> Level {
        self.levels.get(subject).copied().unwrap_or(self.level)
    }

    /// The schemas that `references` name, each after those it needs itself. Those of a new schema
    /// must be in use.
    pub(super) fn resolve(
        &self,
        references: &[Reference],
        filter: Filter,
    ) -> Result<Vec<Arc<Schema>>, SchemasError> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        // What is left to do: schemas to be entered, and schemas whose own references are done.
        let mut work: Vec<Step<'_>> = references.iter().rev().map(Step::Enter).collect();
        let mut bytes = 0;
        while let Some(step) = work.pop() {
            let reference = match step {
                Step::Leave(schema) => {
                    found.push(Arc::clone(schema));
                    continue;
                }
                Step::Enter(reference) => reference,
            };
            let is_direct = references
                .iter()
                .any(|direct| std::ptr::eq(direct, reference));
            let filter = if is_direct { filter } else { Filter::All };
            let at = At::Version(reference.version);
            let version = self
                .version(&reference.subject, at, filter)
                .map_err(|error| {
                    let name = &reference.name;
                    SchemasError::Invalid(format!("reference {name:?} does not resolve: {error}"))
                })?;
            if !seen.insert((&reference.subject, reference.version)) {
                continue;
            }
            let schema = &version.held.schema;
            bytes += schema.text.len();
            if seen.len() > RESOLVED_MAX || bytes > RESOLVED_BYTES_MAX {
                let what = "its references lead to more than 1,000 schemas or 16 MiB";
                return Err(SchemasError::Invalid(what.to_owned()));
            }
            work.push(Step::Leave(schema));
            work.extend(schema.references.iter().rev().map(Step::Enter));
        }
        Ok(found)
    }
}

enum Step<'a> {
    Enter(&'a Reference),
    Leave(&'a Arc<Schema>),
}
