//! The bytes of modules: one file for each content, named by its SHA-256, there whole or not at all.
//!
//! An upload goes to a temporary file, which is synced, renamed and its folder synced; so a module
//! that was answered survives a power cut. What uploads left that were cut off goes at the next
//! start; a whole file that nothing names is moved aside then, and never deleted.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use wstream_record::ByteSize;

use super::RegistryError;
use crate::units::Size;

const UPLOAD: &str = "part";

/// Files of one digest that are kept aside.
const ASIDE_MAX: u32 = 1_000;

/// Where modules are kept.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Those that are named.
    pub modules: PathBuf,
    /// Those that are not any more.
    pub aside: PathBuf,
}

/// The folder of module files.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    aside: PathBuf,
    module_bytes_max: ByteSize,
}

/// A module on its way in. Dropped before it is kept, it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: ByteSize,
}

impl Files {
    /// Opens the folder and removes what cut-off uploads left.
    pub(super) async fn open(folders: Folders, module_bytes_max: ByteSize) -> io::Result<Self> {
        let dir = folders.modules;
        fs::create_dir_all(&dir).await?;
        let mut entries = fs::read_dir(&dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path().extension().is_some_and(|e| e == UPLOAD) {
                fs::remove_file(entry.path()).await?;
            }
        }
        Ok(Self {
            dir,
            aside: folders.aside,
            module_bytes_max,
        })
    }

    /// Moves the files aside that nothing names: an upload or a deletion left them that was cut off,
    /// or the metadata has lost what named them.
    pub(super) async fn keep_only(&self, used: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut entries = fs::read_dir(&self.dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let is_module = path.extension().is_some_and(|e| e == "wasm");
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(digest) = digest.filter(|digest| is_module && !used(digest)) {
                self.move_aside(digest).await?;
            }
        }
        Ok(())
    }

    async fn move_aside(&self, sha256: &str) -> io::Result<()> {
        fs::create_dir_all(&self.aside).await?;
        let mut to = self.aside.join(format!("{sha256}.wasm"));
        let mut number = 0;
        // What is kept there may be another file: one that is damaged, say.
        while fs::try_exists(&to).await? {
            number += 1;
            if number > ASIDE_MAX {
                tracing::warn!(
                    sha256,
                    "nothing names a module's file, and too many are kept aside"
                );
                return Ok(());
            }
            to = self.aside.join(format!("{sha256}.{number}.wasm"));
        }
        fs::rename(self.path(sha256), &to).await?;
        File::open(&self.aside).await?.sync_all().await?;
        tracing::warn!(kept_at = %to.display(), "nothing names a module's file: it is kept aside");
        Ok(())
    }

    pub(super) fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{sha256}.wasm"))
    }

    /// Begins an upload; `number` tells it from others at the same time.
    pub(super) async fn begin(&self, number: u64) -> Result<Upload, RegistryError> {
        let path = self.dir.join(format!("{number}.{UPLOAD}"));
        let file = File::create(&path).await?;
        Ok(Upload {
            path,
            file: Some(file),
            bytes: 0,
            bytes_max: self.module_bytes_max,
        })
    }

    /// Keeps an upload under its digest, durably.
    pub(super) async fn keep(&self, upload: &mut Upload, sha256: &str) -> io::Result<()> {
        if let Some(file) = upload.file.take() {
            file.sync_all().await?;
        }
        fs::rename(&upload.path, self.path(sha256)).await?;
        File::open(&self.dir).await?.sync_all().await
    }

    /// The bytes of a module.
    pub(super) async fn read(&self, sha256: &str) -> io::Result<Bytes> {
        fs::read(self.path(sha256)).await.map(Bytes::from)
    }

    /// Removes a module's file; it may be gone already.
    pub(super) async fn remove(&self, sha256: &str) -> io::Result<()> {
        match fs::remove_file(self.path(sha256)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The module is above the bound, or the disk refused them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max.0 {
            let max = self.bytes_max;
            return Err(RegistryError::TooLarge { max: Size(max) });
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes).await?;
        }
        Ok(())
    }

    /// Everything came: its bytes as the disk has them.
    pub(super) async fn finish(&mut self) -> Result<Bytes, RegistryError> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
        }
        Ok(Bytes::from(fs::read(&self.path).await?))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        remove_quietly(&self.path);
    }
}

/// After `keep` there is nothing to remove; what stays behind goes at the next start.
fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove an upload");
    }
}
