//! The data directory: of a format this version knows, and in use by one node only.
//!
//! `VERSION` holds the number of the format, `lock` the process id of the node that has it.
//! The lock goes with the process, however that ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::sled::real::write_whole;

/// The format that this version reads and writes.
pub const FORMAT: u32 = 2;

/// A data directory that this process has to itself until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another node has it.
    #[error("data directory {path} is in use by process {pid}")]
    Locked {
        /// Which.
        path: PathBuf,
        /// The other node, as far as it said.
        pid: String,
    },
    /// A newer version wrote it.
    #[error("data directory {path} has format {found}, this version knows up to {FORMAT}")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// An earlier version wrote it.
    #[error(
        "data directory {path} has format {found}, which is of an earlier version and cannot be read; nothing in it was \
         changed. Start with another --data directory, or remove it"
    )]
    Older {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// `VERSION` holds something else.
    #[error("{path} does not hold a format number: {found:?}")]
    NotAFormat {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The system refused.
    #[error("cannot use data directory {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Takes the directory, which is made if there is none.
    ///
    /// # Errors
    /// Another node has it, another version wrote it, or the system refused.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let lock = Self::lock(&path)?;
        let version = path.join("VERSION");
        match fs::read_to_string(&version) {
            Ok(text) => check_format(&path, &version, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_whole(&version, format!("{FORMAT}\n").as_bytes()).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        Ok(Self { path, _lock: lock })
    }

    /// Where it is: absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(path: &Path) -> Result<File, DataDirError> {
        let io = |source: io::Error| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(path.join("lock")).map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                drop(lock.read_to_string(&mut pid));
                return Err(DataDirError::Locked {
                    path: path.to_owned(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(error) => return Err(io(error.into())),
        }
        let mut say = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        match say() {
            // The lock holds all the same; only its number is not told.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            said => said.map_err(io)?,
        }
        Ok(lock)
    }
}

fn check_format(path: &Path, version: &Path, text: &str) -> Result<(), DataDirError> {
    match text.trim().parse::<u32>() {
        Ok(found) if found > FORMAT => Err(DataDirError::Newer {
            path: path.to_owned(),
            found,
        }),
        Ok(found) if found < FORMAT => Err(DataDirError::Older {
            path: path.to_owned(),
            found,
        }),
        Ok(_) => Ok(()),
        Err(_) => Err(DataDirError::NotAFormat {
            path: version.to_owned(),
            found: text.chars().take(40).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let second = DataDir::open(dir.path()).unwrap_err();
        let pid = std::process::id().to_string();
        assert!(matches!(&second, DataDirError::Locked { pid: p, .. } if *p == pid));
        assert!(second.to_string().contains(&pid), "{second}");
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn other_formats_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let version = dir.path().join("VERSION");
        // what VERSION holds -> what the refusal says
        let rows: [(&str, Option<&str>); 6] = [
            ("2\n", None),
            ("1\n", Some("an earlier version")),
            ("0\n", Some("an earlier version")),
            ("7\n", Some("this version knows up to 2")),
            ("", Some("does not hold a format number")),
            ("one", Some("does not hold a format number")),
        ];
        for (text, said) in rows {
            fs::write(&version, text).unwrap();
            let refused = DataDir::open(dir.path()).err().map(|e| e.to_string());
            assert_eq!(refused.is_some(), said.is_some(), "{text:?}: {refused:?}");
            assert!(
                refused
                    .unwrap_or_default()
                    .contains(said.unwrap_or_default())
            );
            assert_eq!(fs::read_to_string(&version).unwrap(), text);
        }
    }

    #[test]
    fn the_refusal_of_format_1_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("VERSION"), "1\n").unwrap();
        let older = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(older, DataDirError::Older { found: 1, .. }));
        for part in [
            "format 1",
            "nothing in it was changed",
            "--data",
            "remove it",
        ] {
            assert!(older.to_string().contains(part), "{older}");
        }
    }

    #[test]
    fn a_new_directory_gets_this_format() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let opened = DataDir::open(&path).unwrap();
        assert!(opened.path().is_absolute());
        assert_eq!(fs::read_to_string(path.join("VERSION")).unwrap(), "2\n");
    }
}
