//! Small files beside the databases, and what is done to directories. A file is replaced whole
//! or not at all, and is on the device when `write_whole` returns.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wstream_record::Offset;

use crate::errors::StoreError;

/// Marks a directory that is being removed.
const REMOVED_SUFFIX: &str = ".removed";

/// What went wrong with a file, as a store error.
pub(crate) fn failed(doing: &'static str, path: &Path, reason: &dyn ToString) -> StoreError {
    StoreError::Failed {
        doing,
        path: path.to_owned(),
        reason: reason.to_string().into(),
    }
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_dir(path.parent().unwrap_or(path))
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|e| failed("write", path, &e))?;
    write_whole(path, &bytes).map_err(|e| failed("write", path, &e))
}

/// A file that may be absent.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(failed("read", path, &error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Removes a directory with all it holds, such that a kill in between leaves nothing that looks
/// whole. None there is fine.
pub(super) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    let mut name = dir.as_os_str().to_owned();
    name.push(REMOVED_SUFFIX);
    let removed = PathBuf::from(name);
    let run = || -> io::Result<()> {
        if removed.exists() {
            fs::remove_dir_all(&removed)?;
        }
        match fs::rename(dir, &removed) {
            Ok(()) => fs::remove_dir_all(&removed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    run().map_err(|e| failed("remove", dir, &e))
}

/// Finishes removals that a kill cut off.
pub(super) fn finish_removals(dir: &Path) -> Result<(), StoreError> {
    for path in entries(dir)? {
        if path.as_os_str().to_string_lossy().ends_with(REMOVED_SUFFIX) {
            fs::remove_dir_all(&path).map_err(|e| failed("remove", &path, &e))?;
        }
    }
    Ok(())
}

/// What is in a directory, which may be absent, by name.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    list().map_err(|e| failed("list", dir, &e))
}

/// The directory of the segment that begins at `base`.
pub(super) fn segment_dir(partition: &Path, base: Offset) -> PathBuf {
    partition.join(format!("{:020}", base.0))
}

/// The first offset of the segment in `dir`, if it is one.
pub(super) fn segment_base(dir: &Path) -> Option<Offset> {
    let name = dir.file_name()?.to_str()?;
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| name.parse().ok().map(Offset))
        .flatten()
        .filter(|_| dir.is_dir())
}
