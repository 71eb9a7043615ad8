//! All indices under one directory, by name and by pattern.
//!
//! Everything that touches files runs on blocking threads, searches at most a few at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing::warn;
use wstream_record::Clock;

use crate::config::SearchConfig;
use crate::error::{IndexError, OpenError, SearchError, WriteError};
use crate::index::{Index, Shared, Writers};
use crate::search::{self, Answer, DocumentAnswer, SearchOptions, Target};

/// Longest index name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Deleted indices keep a name like this until their files are gone.
const TRASH: &str = "_deleted-";

/// A handle to all indices. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Search(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    config: SearchConfig,
    clock: Clock,
    /// Indices that exist; those in use are open. Held while one opens, so on blocking threads.
    indices: Mutex<Indices>,
    /// Their names, for everyone else.
    names: Mutex<BTreeSet<String>>,
    writers: Arc<Writers>,
    searches: Semaphore,
}

#[derive(Debug, Default)]
struct Indices {
    by_name: BTreeMap<String, Option<Arc<Shared>>>,
    closed: bool,
    deleted: u64,
}

/// An index in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// Documents that a search finds.
    pub documents: u64,
    /// Documents that were replaced and still take room.
    pub deleted: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Documents since it was opened with a field beyond [`crate::COLUMN_PATHS_MAX`].
    pub beyond_columns: u64,
}

impl Search {
    /// Opens the indices under `dir`, which is made if need be.
    ///
    /// # Errors
    /// The directory cannot be read or made.
    pub fn open(
        dir: impl Into<PathBuf>,
        config: SearchConfig,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let dir = dir.into();
        let by_name = names_in(&dir).map_err(|error| OpenError::Directory {
            dir: dir.display().to_string(),
            error,
        })?;
        let names = by_name.iter().cloned().collect();
        let indices = Indices {
            by_name: by_name.into_iter().map(|name| (name, None)).collect(),
            ..Indices::default()
        };
        Ok(Self(Arc::new(Inner {
            dir,
            writers: Arc::new(Writers::new(config.writers_max)),
            searches: Semaphore::new(config.searches_max),
            config,
            clock,
            indices: Mutex::new(indices),
            names: Mutex::new(names),
        })))
    }

    /// The index of that name, made if there is none.
    ///
    /// # Errors
    /// The name breaks the rules, or the files are unreadable.
    pub async fn index(&self, name: &str) -> Result<Index, IndexError> {
        check_name(name)?;
        let (inner, name) = (Arc::clone(&self.0), name.to_owned());
        let opened = tokio::task::spawn_blocking(move || inner.open_index(&name, true)).await;
        let opened = opened.map_err(|_| IndexError::Closed)??;
        opened.map(Index).ok_or(IndexError::Closed)
    }

    /// Whether an index of exactly that name exists.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        self.0.names.lock().contains(name)
    }

    /// Names of indices, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.names.lock().iter().cloned().collect()
    }

    /// Answers a search over `target` (names and patterns with `*`, separated by commas; empty or
    /// `_all` means every index) as Elasticsearch does, for whoever reads the answer.
    ///
    /// # Errors
    /// The request is wrong, in Elasticsearch's words.
    pub async fn search(&self, target: &str, body: &Value) -> Result<Value, SearchError> {
        let answer = self.search_with(target, body, SearchOptions::default());
        Ok(answer.await?.into_value())
    }

    /// [`Search::search`] with what a client puts into the URL, for whoever passes the answer on:
    /// documents are the texts that were stored.
    ///
    /// # Errors
    /// As for [`Search::search`].
    pub async fn search_with(
        &self,
        target: &str,
        body: &Value,
        options: SearchOptions,
    ) -> Result<Answer, SearchError> {
        let (body, start) = (body.clone(), self.0.clock.monotonic());
        let mut answer = self
            .blocking(target, options.target, move |inner, indices| {
                search::search(&indices, &body, &options, inner.clock.now())
            })
            .await?;
        let took = self.0.clock.monotonic().saturating_sub(start).as_millis();
        answer.took = u64::try_from(took).unwrap_or(u64::MAX);
        Ok(answer)
    }

    /// Counts what a query matches, in Elasticsearch's shape.
    ///
    /// # Errors
    /// As for [`Search::search`].
    pub async fn count(
        &self,
        target: &str,
        body: &Value,
        options: SearchOptions,
    ) -> Result<Value, SearchError> {
        let body = body.clone();
        self.blocking(target, options.target, move |inner, indices| {
            search::count(&indices, &body, &options, inner.clock.now())
        })
        .await
    }

    /// One document by its id, or that there is none, in Elasticsearch's shape.
    ///
    /// # Errors
    /// There is no such index.
    pub async fn get_document(
        &self,
        index: &str,
        id: &str,
        options: SearchOptions,
    ) -> Result<DocumentAnswer, SearchError> {
        if index.contains(['*', ',']) {
            return Err(SearchError::no_index(index));
        }
        let (name, id) = (index.to_owned(), id.to_owned());
        self.blocking(
            index,
            Target::default(),
            move |inner, indices| match indices.first() {
                Some(index) => search::get(index, &id, &options, inner.clock.now()),
                None => Err(SearchError::no_index(&name)),
            },
        )
        .await
    }

    /// The indices that `target` names.
    ///
    /// # Errors
    /// A name without `*` does not exist.
    pub async fn list(&self, target: &str) -> Result<Vec<IndexInfo>, SearchError> {
        self.blocking(target, Target::default(), |_, indices| {
            let info = |shared: &Arc<Shared>| {
                let searcher = shared.reader.searcher();
                let deleted = searcher.segment_readers().iter();
                IndexInfo {
                    name: shared.name.clone(),
                    documents: searcher.num_docs(),
                    deleted: deleted.map(|s| u64::from(s.num_deleted_docs())).sum(),
                    bytes: shared.bytes_on_disk(),
                    beyond_columns: shared.paths.beyond(),
                }
            };
            Ok(indices.iter().map(info).collect())
        })
        .await
    }

    /// Deletes one index with its files. Takes no pattern.
    ///
    /// # Errors
    /// There is no such index, or `name` is a pattern.
    pub async fn delete_index(&self, name: &str) -> Result<(), SearchError> {
        if name.contains(['*', ',']) || name == "_all" {
            return Err(SearchError::argument(
                "Wildcard expressions or all indices are not allowed",
            ));
        }
        let (inner, name) = (Arc::clone(&self.0), name.to_owned());
        let deleted = tokio::task::spawn_blocking(move || inner.delete(&name)).await;
        deleted.map_err(|_| SearchError::internal("the deletion was stopped"))?
    }

    /// Commits everything and stops all writers. Idempotent.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        if let Err(error) = tokio::task::spawn_blocking(move || inner.close()).await {
            warn!(%error, "closing the indices was stopped");
        }
    }

    /// How many writers are open.
    #[must_use]
    pub fn writers_open(&self) -> usize {
        self.0.config.writers_max - self.0.writers.available()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        target: &str,
        options: Target,
        work: impl FnOnce(&Inner, Vec<Arc<Shared>>) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, SearchError> {
        let stopped = || SearchError::from(IndexError::Closed);
        let _permit = self.0.searches.acquire().await.map_err(|_| stopped())?;
        let (inner, target) = (Arc::clone(&self.0), target.to_owned());
        tokio::task::spawn_blocking(move || {
            let indices = inner.resolve(&target, options)?;
            work(&inner, indices)
        })
        .await
        .map_err(|error| SearchError::internal(error.to_string()))?
    }
}

impl Inner {
    fn open_index(&self, name: &str, create: bool) -> Result<Option<Arc<Shared>>, IndexError> {
        let mut indices = self.indices.lock();
        if indices.closed {
            return Err(IndexError::Closed);
        }
        match indices.by_name.get(name) {
            Some(Some(open)) if !open.is_dead() => return Ok(Some(Arc::clone(open))),
            None if !create => return Ok(None),
            _ => {}
        }
        let dir = self.dir.join(name);
        let opened = Shared::open(name, &dir, &self.config, &self.clock, &self.writers)?;
        indices
            .by_name
            .insert(name.to_owned(), Some(Arc::clone(&opened)));
        self.names.lock().insert(name.to_owned());
        Ok(Some(opened))
    }

    fn resolve(&self, target: &str, options: Target) -> Result<Vec<Arc<Shared>>, SearchError> {
        let known: Vec<String> = self.names.lock().iter().cloned().collect();
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: &String| {
            if !names.contains(name) {
                names.push(name.clone());
            }
        };
        let target = if target.is_empty() { "_all" } else { target };
        for part in target.split(',').filter(|part| !part.is_empty()) {
            let pattern = if part == "_all" { "*" } else { part };
            if pattern.contains('*') {
                let found: Vec<&String> = known.iter().filter(|n| matches(pattern, n)).collect();
                if found.is_empty() && !options.allow_no_indices {
                    return Err(SearchError::no_index(part));
                }
                found.into_iter().for_each(&mut add);
            } else if let Some(name) = known.iter().find(|name| *name == pattern) {
                add(name);
            } else if part.starts_with('_') {
                let reason = format!("Invalid index name [{part}], must not start with '_'.");
                let mut error = SearchError::new(400, "invalid_index_name_exception", reason);
                error.index = Some(part.to_owned());
                return Err(error);
            } else if !options.ignore_unavailable {
                return Err(SearchError::no_index(part));
            }
        }
        let mut open = Vec::with_capacity(names.len());
        for name in names {
            open.extend(self.open_index(&name, false)?);
        }
        Ok(open)
    }

    fn delete(&self, name: &str) -> Result<(), SearchError> {
        let (open, trash) = {
            let mut indices = self.indices.lock();
            let open = indices
                .by_name
                .remove(name)
                .ok_or_else(|| SearchError::no_index(name))?;
            let thread = open.as_ref().and_then(|shared| {
                shared.die(WriteError::Deleted {
                    index: name.to_owned(),
                })
            });
            if let Some(thread) = thread {
                thread.join().ok();
            }
            self.names.lock().remove(name);
            indices.deleted += 1;
            let trash = self.dir.join(format!("{TRASH}{}-{name}", indices.deleted));
            std::fs::rename(self.dir.join(name), &trash)?;
            (open, trash)
        };
        drop(open);
        std::fs::remove_dir_all(trash)?;
        Ok(())
    }

    fn close(&self) {
        let open: Vec<Arc<Shared>> = {
            let mut indices = self.indices.lock();
            indices.closed = true;
            indices.by_name.values().flatten().cloned().collect()
        };
        for shared in open {
            shared.finish();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for shared in self.indices.lock().by_name.values().flatten() {
            // Handles may live on; their writers end when idle, without anyone to wait for them.
            shared.request_close();
        }
    }
}

/// The names of indices in a directory; removes what a deletion left behind.
fn names_in(dir: &Path) -> std::io::Result<Vec<String>> {
    std::fs::create_dir_all(dir)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(TRASH) {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_type()?.is_dir() && check_name(&name).is_ok() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Elasticsearch's rules for the names of indices.
fn check_name(name: &str) -> Result<(), IndexError> {
    let reason = if name.is_empty() {
        "must not be empty"
    } else if name.len() > NAME_BYTES_MAX - TRASH.len() - 20 {
        "must not be longer than 225 bytes"
    } else if name.chars().any(char::is_uppercase) {
        "must be lowercase"
    } else if name.starts_with(['_', '-', '+', '.']) {
        "must not start with '_', '-', '+', or '.'"
    } else if name.contains([
        '\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':', '\0',
    ]) {
        "must not contain the following characters ['\\','/','*','?','\"','<','>','|',' ',',','#',':']"
    } else {
        return Ok(());
    };
    Err(IndexError::Name {
        name: name.to_owned(),
        reason,
    })
}

/// Whether a name fits a pattern with `*`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_elasticsearchs_rules() {
        for good in ["a", "netflix-titles", "twitter-2026.11.21", "x_y+z"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "_x",
            "-x",
            ".x",
            "..",
            "a/b",
            "a b",
            "a,b",
            "a*",
            &"x".repeat(256),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        let rows = [
            ("*", "x", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
