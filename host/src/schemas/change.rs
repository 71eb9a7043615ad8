//! Changes: registrations, deletions, levels; and the same checks without a change.
//!
//! Each holds the lock of changes from its first look to its last write, so that what it saw is
//! still so. Documents are written first, memory after them: readers see what is stored. A change
//! runs to its end also where nobody waits for it any more.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use wstream_record::ByteSize;

use super::level::{self, Level, Verdict};
use super::state::{State, Subject, Version};
use super::text::{self, Checked, Digest, cut};
use super::{
    At, Filter, REFERENCE_NAME_BYTES_MAX, REFERENCES_MAX, Registered, SCHEMAS_BYTES_MAX,
    SCHEMAS_MAX, SUBJECT_BYTES_MAX, SUBJECTS_MAX, Schema, SchemaId, Schemas, SchemasError,
    SubjectSchema, TEXT_BYTES_MAX, VERSIONS_MAX,
};

/// Problems of a comparison with many versions that are told.
const VERDICT_PROBLEMS_MAX: usize = 100;
/// Bytes of the texts that one schema is compared with.
const COMPARED_BYTES_MAX: usize = 64 << 20;

/// A schema and the texts it needs, to be checked off the runtime.
struct Whole {
    schema: Arc<Schema>,
    referenced: Vec<Arc<Schema>>,
}

impl Whole {
    fn check(&self) -> Result<Checked, String> {
        let texts: Vec<_> = self.referenced.iter().map(|s| s.text.as_str()).collect();
        text::check(&self.schema, &texts)
    }
}

impl Schemas {
    /// Registers a schema under a subject. The same schema under the same subject is the same
    /// version, and under another subject the same id.
    ///
    /// # Errors
    /// It is no schema, does not go with the versions before it, or there is no room.
    pub async fn register(
        &self,
        subject: &str,
        schema: Schema,
    ) -> Result<Registered, SchemasError> {
        let (this, subject) = (self.clone(), subject.to_owned());
        uncut(async move { this.add(&subject, Arc::new(schema)).await }).await
    }

    async fn add(&self, subject: &str, schema: Arc<Schema>) -> Result<Registered, SchemasError> {
        check_subject(subject)?;
        let digest = self.digest(&schema).await?;
        let _changes = self.0.changes.lock().await;
        if let Some(same) = self.find(subject, &digest, Filter::Live) {
            return Ok(Registered {
                id: same.id,
                version: same.version,
            });
        }
        let level = self.0.state.read().level_of(subject);
        let verdict = self
            .judge(subject, None, Arc::clone(&schema), level)
            .await?;
        if !verdict.problems.is_empty() {
            return Err(SchemasError::Incompatible {
                subject: subject.to_owned(),
                problems: verdict.problems,
            });
        }
        let (id, is_new, mut versions) = {
            let mut state = self.0.state.write();
            has_room(&state, subject, &digest, &schema)?;
            let known = state.by_digest.get(&digest).copied();
            // An id is given once, also where the store fails after that.
            let id = known.unwrap_or(SchemaId(state.last + 1));
            state.last = state.last.max(id.0);
            let versions = state.subjects.get(subject).cloned().unwrap_or_default();
            (id, known.is_none(), versions)
        };
        if is_new {
            self.0.documents.put_schema(id, &schema).await?;
        }
        let version = versions.next();
        let schema = self.by_id(id).unwrap_or(schema);
        let held = Arc::new(SubjectSchema {
            subject: subject.to_owned(),
            version,
            id,
            schema: Arc::clone(&schema),
        });
        let deleted = false;
        versions.0.insert(version, Version { held, deleted });
        self.0.documents.put_subject(subject, &versions).await?;
        let mut state = self.0.state.write();
        if is_new {
            state.insert_schema(id, schema, digest);
        }
        state.subjects.insert(subject.to_owned(), versions);
        Ok(Registered { id, version })
    }

    /// The version of a subject that has this schema.
    ///
    /// # Errors
    /// There is no such subject, or it never had the schema.
    pub async fn look_up(
        &self,
        subject: &str,
        schema: Schema,
        filter: Filter,
    ) -> Result<Arc<SubjectSchema>, SchemasError> {
        self.0.state.read().subject(subject, filter)?;
        let digest = self.digest(&Arc::new(schema)).await?;
        let found = self.find(subject, &digest, filter);
        found.ok_or_else(|| SchemasError::UnknownSchema(format!("not under subject {subject:?}")))
    }

    /// Whether a schema could become the next version: compared with one version or, without,
    /// with those that the subject's level asks for.
    ///
    /// # Errors
    /// It is no schema, or there is no such version.
    pub async fn compare(
        &self,
        subject: &str,
        with: Option<At>,
        schema: Schema,
    ) -> Result<Verdict, SchemasError> {
        let schema = Arc::new(schema);
        check_bounds(&schema)?;
        let level = self.0.state.read().level_of(subject);
        self.judge(subject, with, schema, level).await
    }

    fn find(&self, name: &str, digest: &Digest, filter: Filter) -> Option<Arc<SubjectSchema>> {
        let state = self.0.state.read();
        let subject = state.subjects.get(name)?;
        state.find(subject, digest, filter)
    }

    async fn digest(&self, schema: &Arc<Schema>) -> Result<Digest, SchemasError> {
        check_bounds(schema)?;
        let schema = Arc::clone(schema);
        self.checked(move || text::digest(&schema).map_err(invalid))
            .await
    }

    /// Runs what takes time off the runtime.
    async fn checked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SchemasError> + Send + 'static,
    ) -> Result<T, SchemasError> {
        let permit = self.0.checks.acquire().await;
        let _permit = permit.map_err(|_| SchemasError::Stopping)?;
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(SchemasError::Stopping))
    }

    /// Checks a schema, and compares it with what is there.
    async fn judge(
        &self,
        subject: &str,
        with: Option<At>,
        schema: Arc<Schema>,
        level: Level,
    ) -> Result<Verdict, SchemasError> {
        let (new, olds) = {
            let state = self.0.state.read();
            let referenced = state.resolve(&schema.references, Filter::Live)?;
            let olds = match with {
                Some(at) => vec![Arc::clone(&state.version(subject, at, Filter::Live)?.held)],
                None => compared(&state, subject, level),
            };
            let mut bytes = 0;
            let mut whole = |held: Arc<SubjectSchema>| -> Result<_, SchemasError> {
                let schema = Arc::clone(&held.schema);
                let referenced = state.resolve(&schema.references, Filter::All)?;
                let texts = referenced.iter().chain([&schema]);
                bytes += texts.map(|schema| schema.text.len()).sum::<usize>();
                if bytes > COMPARED_BYTES_MAX {
                    let what = "the versions it must go with have more than 64 MiB together";
                    return Err(SchemasError::Invalid(what.to_owned()));
                }
                Ok((held.version, Whole { schema, referenced }))
            };
            let olds: Result<Vec<_>, _> = olds.into_iter().map(&mut whole).collect();
            (Whole { schema, referenced }, olds?)
        };
        let work = move || {
            let new = new.check().map_err(invalid)?;
            let mut problems = Vec::new();
            for (version, old) in olds {
                let old = old.check().map_err(invalid)?;
                problems.extend(level::compare(level, &new, version, &old));
                if problems.len() >= VERDICT_PROBLEMS_MAX {
                    break;
                }
            }
            let note = level::note(level, &new);
            Ok(Verdict { problems, note })
        };
        self.checked(work).await
    }

    /// Deletes a subject: softly, or for good once it is softly deleted. Its versions are told.
    ///
    /// # Errors
    /// There is no such subject, other schemas refer to it, or it is not its turn.
    pub async fn delete_subject(
        &self,
        name: &str,
        is_permanent: bool,
    ) -> Result<Vec<u32>, SchemasError> {
        let (this, name) = (self.clone(), name.to_owned());
        uncut(async move { this.remove_subject(&name, is_permanent).await }).await
    }

    async fn remove_subject(
        &self,
        name: &str,
        is_permanent: bool,
    ) -> Result<Vec<u32>, SchemasError> {
        let _changes = self.0.changes.lock().await;
        let subject = self.0.state.read().subject(name, Filter::All)?.clone();
        let numbers = if is_permanent {
            if subject.is_live() {
                return Err(SchemasError::SubjectNotDeleted(name.to_owned()));
            }
            subject.0.keys().copied().collect()
        } else {
            if !subject.is_live() {
                return Err(SchemasError::SubjectDeleted(name.to_owned()));
            }
            let live = subject.live().map(|held| held.version);
            live.collect::<Vec<_>>()
        };
        self.delete(name, subject, &numbers, is_permanent).await?;
        if !is_permanent && self.level(Some(name)).is_some() {
            self.0.documents.remove_level(Some(name)).await?;
            self.0.state.write().levels.remove(name);
        }
        Ok(numbers)
    }

    /// Deletes one version: softly, or for good once it is softly deleted. Its number is told.
    ///
    /// # Errors
    /// There is no such version, other schemas refer to it, or it is not its turn.
    pub async fn delete_version(
        &self,
        name: &str,
        at: At,
        is_permanent: bool,
    ) -> Result<u32, SchemasError> {
        let (this, name) = (self.clone(), name.to_owned());
        uncut(async move { this.remove_version(&name, at, is_permanent).await }).await
    }

    async fn remove_version(
        &self,
        name: &str,
        at: At,
        is_permanent: bool,
    ) -> Result<u32, SchemasError> {
        let _changes = self.0.changes.lock().await;
        let (subject, number, deleted) = {
            let state = self.0.state.read();
            let filter = match at {
                At::Latest => Filter::Live,
                At::Version(_) => Filter::All,
            };
            let found = state.version(name, at, filter)?;
            let subject = state.subject(name, Filter::All)?.clone();
            (subject, found.held.version, found.deleted)
        };
        let (subject_name, version) = (name.to_owned(), number);
        match (is_permanent, deleted) {
            (true, false) => Err(SchemasError::VersionNotDeleted {
                subject: subject_name,
                version,
            }),
            (false, true) => Err(SchemasError::VersionDeleted {
                subject: subject_name,
                version,
            }),
            _ => Ok(()),
        }?;
        self.delete(name, subject, &[number], is_permanent).await?;
        Ok(number)
    }

    async fn delete(
        &self,
        name: &str,
        mut subject: Subject,
        numbers: &[u32],
        is_permanent: bool,
    ) -> Result<(), SchemasError> {
        let referred = self.0.state.read().referred(name);
        if let Some(version) = numbers.iter().find(|number| referred.contains(number)) {
            return Err(SchemasError::Referenced {
                subject: name.to_owned(),
                version: *version,
            });
        }
        let mut ids = BTreeSet::new();
        for number in numbers {
            if is_permanent {
                ids.extend(subject.0.remove(number).map(|version| version.held.id));
            } else if let Some(version) = subject.0.get_mut(number) {
                version.deleted = true;
            }
        }
        self.0.documents.put_subject(name, &subject).await?;
        let (gone, last) = {
            let mut state = self.0.state.write();
            if subject.0.is_empty() {
                state.subjects.remove(name);
            } else {
                state.subjects.insert(name.to_owned(), subject);
            }
            if !ids.is_empty() {
                let used = state.used();
                ids.retain(|id| !used.contains(id));
            }
            (ids, state.last)
        };
        for id in gone {
            self.0.documents.remove_schema(id, last).await?;
            self.0.state.write().remove_schema(id);
        }
        Ok(())
    }

    /// Sets the compatibility level of a subject, or of all others.
    ///
    /// # Errors
    /// The name is none, or there is no room.
    pub async fn set_level(&self, subject: Option<&str>, level: Level) -> Result<(), SchemasError> {
        let (this, subject) = (self.clone(), subject.map(str::to_owned));
        uncut(async move { this.put_level(subject.as_deref(), level).await }).await
    }

    async fn put_level(&self, subject: Option<&str>, level: Level) -> Result<(), SchemasError> {
        let _changes = self.0.changes.lock().await;
        if let Some(name) = subject {
            check_subject(name)?;
            let state = self.0.state.read();
            if state.levels.len() >= SUBJECTS_MAX && !state.levels.contains_key(name) {
                return Err(SchemasError::TooManySubjects);
            }
        }
        self.0.documents.put_level(subject, level).await?;
        let mut state = self.0.state.write();
        match subject {
            Some(name) => drop(state.levels.insert(name.to_owned(), level)),
            None => state.level = level,
        }
        Ok(())
    }

    /// Forgets the level of a subject, or puts the one of all others back. The old one is told.
    ///
    /// # Errors
    /// The subject has none.
    pub async fn reset_level(&self, subject: Option<&str>) -> Result<Level, SchemasError> {
        let (this, subject) = (self.clone(), subject.map(str::to_owned));
        uncut(async move { this.forget_level(subject.as_deref()).await }).await
    }

    async fn forget_level(&self, subject: Option<&str>) -> Result<Level, SchemasError> {
        let _changes = self.0.changes.lock().await;
        let unknown = || SchemasError::NoLevel(subject.unwrap_or_default().to_owned());
        let old = self.level(subject).ok_or_else(unknown)?;
        self.0.documents.remove_level(subject).await?;
        let mut state = self.0.state.write();
        match subject {
            Some(name) => drop(state.levels.remove(name)),
            None => state.level = Level::default(),
        }
        Ok(old)
    }
}

/// Runs a change to its end, also where its caller goes.
async fn uncut<T: Send + 'static>(
    change: impl Future<Output = Result<T, SchemasError>> + Send + 'static,
) -> Result<T, SchemasError> {
    let done = tokio::spawn(change).await;
    done.unwrap_or(Err(SchemasError::Stopping))
}

/// The versions that a level compares with, the newest first.
fn compared(state: &State, subject: &str, level: Level) -> Vec<Arc<SubjectSchema>> {
    let versions = state.subjects.get(subject);
    let live = versions
        .into_iter()
        .flat_map(|versions| versions.live().rev());
    let count = match level {
        Level::None => 0,
        level if level.is_transitive() => usize::MAX,
        _ => 1,
    };
    live.take(count).cloned().collect()
}

fn invalid(reason: String) -> SchemasError {
    SchemasError::Invalid(cut(reason))
}

fn check_subject(name: &str) -> Result<(), SchemasError> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if fits && !name.starts_with(":.") {
        Ok(())
    } else {
        Err(SchemasError::Subject(cut(name.to_owned())))
    }
}

fn check_bounds(schema: &Schema) -> Result<(), SchemasError> {
    let bytes = ByteSize(schema.text.len() as u64);
    if bytes > TEXT_BYTES_MAX {
        return Err(SchemasError::TooLarge { bytes });
    }
    if schema.references.len() > REFERENCES_MAX {
        return Err(SchemasError::TooManyReferences(schema.references.len()));
    }
    for reference in &schema.references {
        check_subject(&reference.subject)?;
        if reference.name.is_empty() || reference.name.len() > REFERENCE_NAME_BYTES_MAX {
            let what = format!("a reference's name has 1 to {REFERENCE_NAME_BYTES_MAX} bytes");
            return Err(SchemasError::Invalid(what));
        }
    }
    Ok(())
}

fn has_room(
    state: &State,
    subject: &str,
    digest: &Digest,
    schema: &Schema,
) -> Result<(), SchemasError> {
    match state.subjects.get(subject) {
        Some(versions) if versions.0.len() >= VERSIONS_MAX => {
            return Err(SchemasError::TooManyVersions(subject.to_owned()));
        }
        None if state.subjects.len() >= SUBJECTS_MAX => return Err(SchemasError::TooManySubjects),
        _ => {}
    }
    let bytes = state.bytes + schema.text.len() as u64;
    let is_full = state.schemas.len() >= SCHEMAS_MAX || bytes > SCHEMAS_BYTES_MAX.0;
    if is_full && !state.by_digest.contains_key(digest) {
        return Err(SchemasError::TooManySchemas);
    }
    Ok(())
}
