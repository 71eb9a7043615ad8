//! What is done to files and directories. A file is replaced whole or not at all, and is on the
//! device when `write_whole` returns; what is removed never looks whole in between.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::sled::FileSum;

/// Marks what is being removed.
const REMOVED_SUFFIX: &str = ".removed";
/// Marks what is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";
/// Bytes that are read of a file at one time.
const PIECE_BYTES: usize = 1 << 20;
/// How deep directories are walked; databases have two levels.
const DEPTH_MAX: usize = 8;

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file: after `Ok` a power cut finds the new one, after an error or a cut in between
/// the old or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let temporary = with_suffix(path, TEMPORARY_SUFFIX);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_dir(path.parent().unwrap_or(path))
}

/// Makes the names on the way from `root` (with it) to what is in `dir` durable.
pub(super) fn sync_up(dir: &Path, root: &Path) -> io::Result<()> {
    for dir in dir.ancestors().take_while(|dir| dir.starts_with(root)) {
        sync_dir(dir)?;
    }
    Ok(())
}

/// Makes a directory that is there after a power cut.
pub(super) fn create_dir(dir: &Path, root: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    sync_up(dir, root)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(REMOVED_SUFFIX) || name.ends_with(TEMPORARY_SUFFIX)
}

/// What is in a directory, which may be absent, by name.
pub(super) fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// Names in a directory, without leftovers.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let paths = entries(dir)?;
    let whole = paths.iter().filter(|path| !is_leftover(path));
    Ok(whole
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect())
}

/// Removes a file or a directory. None there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = with_suffix(path, REMOVED_SUFFIX);
    remove_at_once(&removed)?;
    match fs::rename(path, &removed) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    sync_dir(path.parent().unwrap_or(path))?;
    remove_at_once(&removed)
}

/// Removes what kills cut off.
pub(super) fn remove_leftovers(dir: &Path) -> io::Result<()> {
    entries(dir)?
        .iter()
        .filter(|path| is_leftover(path))
        .try_for_each(|path| remove_at_once(path))
}

pub(super) fn remove_at_once(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The files below a directory, by name relative to it; `None` if it is not there.
pub(super) fn files_below(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(dir, "", DEPTH_MAX, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("directories are nested too deep"));
    }
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            walk(&path, &format!("{name}/"), depth - 1, found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

/// Length and checksum of a file.
pub(super) fn sum(dir: &Path, name: &str) -> io::Result<FileSum> {
    let mut file = File::open(dir.join(name))?;
    let mut piece = vec![0; PIECE_BYTES];
    let (mut bytes, mut crc) = (0_u64, 0);
    loop {
        let got = file.read(&mut piece)?;
        let Some(read) = piece.get(..got).filter(|read| !read.is_empty()) else {
            break;
        };
        crc = crc32c::crc32c_append(crc, read);
        bytes = bytes.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
    }
    let name = name.to_owned();
    Ok(FileSum { name, bytes, crc })
}

/// Makes files and their names durable.
pub(super) fn sync_files(dir: &Path, names: &[String]) -> io::Result<()> {
    for name in names {
        File::open(dir.join(name))?.sync_all()?;
    }
    let mut dirs: Vec<PathBuf> = names
        .iter()
        .filter_map(|name| Some(dir.join(name).parent()?.to_owned()))
        .collect();
    dirs.push(dir.to_owned());
    dirs.sort();
    dirs.dedup();
    dirs.iter().try_for_each(|dir| sync_dir(dir))
}

/// Copies a file, which need not survive a power cut.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = with_suffix(to, TEMPORARY_SUFFIX);
    fs::copy(from, &temporary)?;
    fs::rename(&temporary, to)
}

/// Copies a file, or a directory with what it holds, so that it is whole and durable under `to`, or
/// not there.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = with_suffix(to, TEMPORARY_SUFFIX);
    remove_at_once(&temporary)?;
    if from.is_dir() {
        fs::create_dir_all(&temporary)?;
        let names = files_below(from)?;
        for name in &names {
            let target = temporary.join(name);
            fs::create_dir_all(target.parent().unwrap_or(&temporary))?;
            fs::copy(from.join(name), target)?;
        }
        sync_files(&temporary, &names)?;
    } else {
        fs::copy(from, &temporary)?;
        File::open(&temporary)?.sync_all()?;
    }
    fs::rename(&temporary, to)?;
    sync_dir(to.parent().unwrap_or(to))
}
