//! The modules that were uploaded: every version of every name, kept until it is deleted. What was
//! answered survives a restart.
//!
//! Bytes are files named by their digest; which versions a name has, and which of them is active,
//! are two kinds of documents of the node's metadata. The same bytes under the same name are one
//! version. A module is checked and compiled before it is kept, on the compiler's own thread.
//! Changes go one after another, so that uploads of one name at the same time get versions of
//! their own; reads never wait for them.
//!
//! It does not know pipelines: who uses a module is asked of the caller.

mod asks;
mod files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::warn;
use wstream_log::{DocumentError, Metadata};
use wstream_record::{ByteSize, Clock};
use wstream_transform::{LogReader, Module, ModuleError, Runtime};

pub use asks::{Ask, Asked, Change, From, Refusal, RehearsalTerms, Switch, TrialTerms, switch};
use files::Files;
pub use files::{Folders, Upload};

use crate::documents::OwnDocuments;
use crate::units::Size;

/// Bytes of the largest module that is taken.
pub const MODULE_BYTES_MAX: ByteSize = ByteSize::mib(64);
/// Versions of all modules together.
const VERSIONS_MAX: usize = 100_000;
const NAME_BYTES_MAX: usize = 100;
/// Documents of versions, named `NAME@VERSION`.
const VERSIONS: &str = "module-version";
/// Documents of names: which version is active, and which was the last.
const NAMES: &str = "module";

/// One version of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number, from 1.
    pub version: u64,
    /// The digest of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// What kind of module it is, such as `wstream_v1`.
    pub abi: String,
    /// What it says it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was uploaded, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A name with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The version that pipelines get who name none.
    pub active: u64,
    /// The active version after a restart: the one before, while another is on trial.
    #[serde(skip)]
    pub settled: u64,
    /// Every version, the oldest first.
    pub versions: Vec<Version>,
    /// The number of the last version, also of one that is gone.
    #[serde(skip)]
    last: u64,
}

/// What is kept of a name.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Name {
    active: u64,
    last: u64,
    /// The version that is active until the node stops, or its trial is passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<u64>,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The module's name.
    pub name: String,
    /// The version that holds these bytes.
    #[serde(flatten)]
    pub version: Version,
    /// Whether these bytes were there before, under this name.
    #[serde(skip)]
    pub existed: bool,
}

/// What a pipeline names: `NAME`, the active version, or `NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The version; `None` is the active one.
    pub version: Option<u64>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name cannot be one.
    #[error("{0:?} cannot name a module: use letters, digits, '-', '_' and '.', at most 100")]
    Name(String),
    /// Above the bound.
    #[error("the module is larger than {max}")]
    TooLarge {
        /// The bound.
        max: Size,
    },
    /// The bytes are no module that runs here.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// There is no such name.
    #[error("there is no module {0:?}")]
    Unknown(String),
    /// The name has no such version.
    #[error("module {name:?} has no version {version}")]
    NoVersion {
        /// The name.
        name: String,
        /// The version.
        version: u64,
    },
    /// The version is known, and its file is not there.
    #[error("the file of {name}@{version} is gone: upload the module again")]
    Gone {
        /// The name.
        name: String,
        /// The version.
        version: u64,
    },
    /// There is no room for another.
    #[error("there are {VERSIONS_MAX} versions of modules: delete some")]
    TooMany,
    /// The disk.
    #[error("could not store the module: {0}")]
    Io(#[from] io::Error),
    /// The metadata.
    #[error("could not store the module: {0}")]
    Document(#[from] DocumentError),
}

/// The registry; clones share it.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    documents: OwnDocuments,
    runtime: Arc<Runtime>,
    clock: Clock,
    uploads: AtomicU64,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Held by changes.
    changes: Mutex<()>,
}

impl Reference {
    /// Reads `NAME` or `NAME@VERSION`.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let number = version.parse().ok().filter(|n| *n > 0);
                let number = number.ok_or_else(|| RegistryError::Name(text.to_owned()))?;
                (name, Some(number))
            }
        };
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }
}

fn check_name(name: &str) -> Result<(), RegistryError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
    if fits && !name.starts_with(['.', '-']) {
        Ok(())
    } else {
        Err(RegistryError::Name(name.to_owned()))
    }
}

impl Registry {
    /// Opens the registry. Files that no document names are moved aside.
    ///
    /// # Errors
    /// A folder or a document cannot be read.
    pub async fn open(
        folders: Folders,
        metadata: Metadata,
        runtime: Arc<Runtime>,
        clock: Clock,
    ) -> Result<Self, RegistryError> {
        let files = Files::open(folders, MODULE_BYTES_MAX).await?;
        let documents = OwnDocuments::new(metadata);
        let entries = read_entries(&documents)?;
        let versions = entries.values().flat_map(|entry: &Entry| &entry.versions);
        let used: BTreeSet<&str> = versions.map(|version| version.sha256.as_str()).collect();
        files.keep_only(|sha256| used.contains(sha256)).await?;
        Ok(Self(Arc::new(Inner {
            files,
            documents,
            runtime,
            clock,
            uploads: AtomicU64::new(0),
            entries: RwLock::new(entries),
            changes: Mutex::new(()),
        })))
    }

    /// Every name.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        self.0.entries.read().values().cloned().collect()
    }

    /// One name.
    ///
    /// # Errors
    /// There is no such name.
    pub fn get(&self, name: &str) -> Result<Entry, RegistryError> {
        let entries = self.0.entries.read();
        let entry = entries.get(name).cloned();
        entry.ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    /// Begins an upload: `write` its bytes, then `put` it.
    ///
    /// # Errors
    /// The disk refuses it.
    pub async fn begin(&self) -> Result<Upload, RegistryError> {
        let number = self.0.uploads.fetch_add(1, Ordering::Relaxed);
        self.0.files.begin(number).await
    }

    /// Checks, compiles and keeps a module whose bytes all came. The first version of a name is the
    /// active one; others are once they are activated.
    ///
    /// # Errors
    /// It is no module that runs here, there are too many, or it cannot be stored; nothing is kept.
    pub async fn put(&self, name: &str, mut upload: Upload) -> Result<Stored, RegistryError> {
        check_name(name)?;
        let module = self.0.runtime.compile(upload.finish().await?).await?;
        let sha256 = module.sha256_hex();
        let _changes = self.0.changes.lock().await;
        let known = self.get(name).ok();
        let same = known.as_ref().and_then(|entry| {
            let mut versions = entry.versions.iter();
            versions.find(|version| version.sha256 == sha256).cloned()
        });
        // The bytes are stored even if they should be there: the file may have gone.
        self.0.files.keep(&mut upload, &sha256).await?;
        let existed = same.is_some();
        let version = match same {
            Some(version) => version,
            None => {
                let last = known.as_ref().map_or(0, |entry| entry.last);
                self.add(name, last + 1, &module).await?
            }
        };
        Ok(Stored {
            name: name.to_owned(),
            version,
            existed,
        })
    }

    async fn add(
        &self,
        name: &str,
        number: u64,
        module: &Module,
    ) -> Result<Version, RegistryError> {
        let count: usize = {
            let entries = self.0.entries.read();
            entries.values().map(|entry| entry.versions.len()).sum()
        };
        if count >= VERSIONS_MAX {
            return Err(RegistryError::TooMany);
        }
        let version = Version {
            version: number,
            sha256: module.sha256_hex(),
            size: module.size().0,
            abi: module.kind().name().to_owned(),
            description: module.metadata().description.clone().unwrap_or_default(),
            created_ms: self.0.clock.now().0,
        };
        let known = self.get(name).ok();
        let settled = known.as_ref().map_or(number, |entry| entry.settled);
        let active = known.as_ref().map_or(number, |entry| entry.active);
        let document = format!("{name}@{number}");
        let documents = &self.0.documents;
        documents.put(VERSIONS, &document, json(&version)).await?;
        self.write_name(name, settled, number, active).await?;
        let mut entries = self.0.entries.write();
        let entry = entries.entry(name.to_owned()).or_insert_with(|| Entry {
            name: name.to_owned(),
            active,
            settled,
            versions: Vec::new(),
            last: 0,
        });
        entry.last = number;
        entry.versions.push(version.clone());
        Ok(version)
    }

    async fn write_name(
        &self,
        name: &str,
        settled: u64,
        last: u64,
        active: u64,
    ) -> Result<(), RegistryError> {
        let body = json(&Name {
            active: settled,
            last,
            trial: (active != settled).then_some(active),
        });
        Ok(self.0.documents.put(NAMES, name, body).await?)
    }

    /// Makes a version the active one.
    ///
    /// # Errors
    /// There is no such version, or its file is gone.
    pub async fn activate(&self, name: &str, version: u64) -> Result<Entry, RegistryError> {
        self.set_active(name, version, |_| Some(version)).await
    }

    /// Makes a version the active one until the node stops; `settle` makes it last.
    ///
    /// # Errors
    /// There is no such version, or its file is gone.
    pub async fn put_on_trial(&self, name: &str, version: u64) -> Result<Entry, RegistryError> {
        self.set_active(name, version, |entry| Some(entry.settled))
            .await
    }

    /// A version has passed its trial: it is active after a restart too, if it still is now.
    ///
    /// # Errors
    /// There is no such name, or the store failed.
    pub async fn settle(&self, name: &str, version: u64) -> Result<(), RegistryError> {
        let passed = |entry: &Entry| (entry.active == version).then_some(version);
        self.set_active(name, version, passed).await?;
        Ok(())
    }

    /// Takes a change of the active version back.
    ///
    /// # Errors
    /// As `activate`.
    pub async fn restore(&self, before: &Entry) -> Result<(), RegistryError> {
        let settled = |_: &Entry| Some(before.settled);
        self.set_active(&before.name, before.active, settled)
            .await?;
        Ok(())
    }

    async fn set_active(
        &self,
        name: &str,
        version: u64,
        settled: impl Fn(&Entry) -> Option<u64>,
    ) -> Result<Entry, RegistryError> {
        let _changes = self.0.changes.lock().await;
        let entry = self.get(name)?;
        let found = entry.versions.iter().find(|v| v.version == version);
        let found = found.ok_or_else(|| RegistryError::NoVersion {
            name: name.to_owned(),
            version,
        })?;
        if !self.0.files.path(&found.sha256).exists() {
            let name = name.to_owned();
            return Err(RegistryError::Gone { name, version });
        }
        let Some(settled) = settled(&entry) else {
            return Ok(entry);
        };
        self.write_name(name, settled, entry.last, version).await?;
        if let Some(entry) = self.0.entries.write().get_mut(name) {
            entry.active = version;
            entry.settled = settled;
        }
        self.get(name)
    }

    /// Deletes a name with all its versions. The caller has seen to it that nobody uses it.
    ///
    /// # Errors
    /// There is no such name, or the store failed.
    pub async fn delete(&self, name: &str) -> Result<(), RegistryError> {
        let _changes = self.0.changes.lock().await;
        let entry = self.get(name)?;
        let documents = &self.0.documents;
        documents.delete(NAMES, name).await?;
        for version in &entry.versions {
            let document = format!("{name}@{}", version.version);
            documents.delete(VERSIONS, &document).await?;
        }
        let unused: Vec<_> = {
            let mut entries = self.0.entries.write();
            entries.remove(name);
            let used = |sha256: &str| {
                let versions = entries.values().flat_map(|entry| &entry.versions);
                versions.into_iter().any(|version| version.sha256 == sha256)
            };
            let digests = entry.versions.iter().map(|version| &version.sha256);
            digests.filter(|sha256| !used(sha256)).cloned().collect()
        };
        for sha256 in unused {
            self.0.files.remove(&sha256).await?;
        }
        Ok(())
    }

    /// The bytes of what a pipeline names, and their version.
    ///
    /// # Errors
    /// There is no such module or version, or its file is gone.
    pub async fn bytes(&self, reference: &Reference) -> Result<(u64, Bytes), RegistryError> {
        let entry = self.get(&reference.name)?;
        let version = reference.version.unwrap_or(entry.active);
        let found = entry.versions.iter().find(|v| v.version == version);
        let name = reference.name.clone();
        let Some(found) = found else {
            return Err(RegistryError::NoVersion { name, version });
        };
        match self.0.files.read(&found.sha256).await {
            Ok(bytes) => Ok((version, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(RegistryError::Gone { name, version })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Registry {
    /// The module of a reference, compiled, and its version.
    ///
    /// # Errors
    /// As `bytes`, or it does not compile any more.
    pub async fn module(&self, reference: &Reference) -> Result<(u64, Module), RegistryError> {
        let (version, bytes) = self.bytes(reference).await?;
        Ok((version, self.0.runtime.compile(bytes).await?))
    }

    /// What modules logged lately, and what they log from now on.
    #[must_use]
    pub fn logs(&self) -> LogReader {
        self.0.runtime.logs()
    }
}

fn json(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("plain structs are JSON"))
}

/// What the documents say. A version without its name is one whose upload was cut off before it
/// was answered, or a deletion that was: it does not count.
fn read_entries(documents: &OwnDocuments) -> Result<BTreeMap<String, Entry>, RegistryError> {
    let broken = |name: &str, error: serde_json::Error| {
        let message = format!("the document of module {name} does not read: {error}");
        RegistryError::Io(io::Error::new(io::ErrorKind::InvalidData, message))
    };
    let mut entries = BTreeMap::new();
    for (name, body) in documents.all(NAMES) {
        let told: Name = serde_json::from_slice(&body).map_err(|e| broken(&name, e))?;
        if let Some(version) = told.trial {
            let serves = told.active;
            warn!(
                module = name,
                version,
                serves,
                "the node ended while the version was on trial: the one before serves"
            );
        }
        let entry = Entry {
            name: name.clone(),
            active: told.active,
            settled: told.active,
            versions: Vec::new(),
            last: told.last,
        };
        entries.insert(name, entry);
    }
    for (document, body) in documents.all(VERSIONS) {
        let version: Version = serde_json::from_slice(&body).map_err(|e| broken(&document, e))?;
        let name = document.rsplit_once('@').map_or("", |(name, _)| name);
        if let Some(entry) = entries.get_mut(name)
            && version.version <= entry.last
        {
            entry.versions.push(version);
        }
    }
    for entry in entries.values_mut() {
        entry.versions.sort_by_key(|version| version.version);
    }
    Ok(entries)
}
