//! Whether a file is the one that was read before, and whether it is text at all.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes at the start and before the position that a fingerprint covers.
const COVERED_BYTES: u64 = 1 << 10;
/// Entries of a folder looked at for a file that was renamed.
const ENTRIES_MAX: usize = 10_000;

/// The file behind a name: it stays the same when the file is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What was read: a file that grew still has it, one that was replaced, cut or edited before the
/// position does not. A hash of the first KiB and of the last KiB before the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    position: u64,
    head: u64,
    tail: u64,
}

impl Fingerprint {
    /// Of a file that was read up to `position`.
    pub(super) fn of(file: &File, position: u64) -> io::Result<Self> {
        let covered = usize::try_from(position.min(COVERED_BYTES)).expect("a KiB");
        let mut bytes = vec![0; covered];
        file.read_exact_at(&mut bytes, 0)?;
        let head = fnv1a(&bytes);
        let from = position.saturating_sub(COVERED_BYTES);
        file.read_exact_at(&mut bytes, from)?;
        Ok(Self {
            position,
            head,
            tail: fnv1a(&bytes),
        })
    }
}

/// FNV-1a, 64 bits: tells versions of a file apart, and guards against nobody.
fn fnv1a(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A file that is the one that was read.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) id: FileId,
    pub(super) size: u64,
}

/// Opens the file that was read: under its path, else with `renamed` under another name of the same
/// folder. The inner error says why it is not there.
pub(super) fn find(
    path: &Path,
    id: FileId,
    fingerprint: &Fingerprint,
    renamed: bool,
) -> io::Result<Result<Found, String>> {
    let reason = match open_same(path, fingerprint) {
        Ok(Some(found)) => return Ok(Ok(found)),
        Ok(None) => format!("{} is not the file that was read before", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("{} was removed", path.display())
        }
        Err(error) => return Err(error),
    };
    let folder = path.parent().filter(|_| renamed);
    let Some(folder) = folder else {
        return Ok(Err(reason));
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = folder.read_dir() else {
        return Ok(Err(reason));
    };
    for entry in entries.take(ENTRIES_MAX).filter_map(Result::ok) {
        let same = entry
            .metadata()
            .is_ok_and(|m| m.is_file() && FileId::of(&m) == id);
        if same && let Ok(Some(found)) = open_same(&entry.path(), fingerprint) {
            return Ok(Ok(found));
        }
    }
    Ok(Err(reason))
}

fn open_same(path: &Path, fingerprint: &Fingerprint) -> io::Result<Option<Found>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.len() < fingerprint.position {
        return Ok(None);
    }
    let same = match Fingerprint::of(&file, fingerprint.position) {
        Ok(now) => now == *fingerprint,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    Ok(same.then(|| Found {
        id: FileId::of(&metadata),
        size: metadata.len(),
        file,
    }))
}

/// What the first bytes of a file show it to be, other than UTF-8, and what to do about it.
pub(super) fn not_utf8(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str = "convert it with `iconv -f UTF-16 -t UTF-8 FILE`";
    match bytes {
        [0xff, 0xfe, ..] => Some(("is UTF-16 (it begins with FF FE), not UTF-8", CONVERT)),
        [0xfe, 0xff, ..] => Some(("is UTF-16 (it begins with FE FF), not UTF-8", CONVERT)),
        [_, 0, _, 0, ..] | [0, _, 0, _, ..] => Some((
            "is UTF-16 or binary (every second byte is 0), not UTF-8",
            CONVERT,
        )),
        [0x1f, 0x8b, ..] => Some(("is gzip data", "decompress it with `gzip -d FILE`")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("is zstd data", "decompress it with `zstd -d FILE`")),
        [b'P', b'K', 3, 4, ..] => Some((
            "is a zip archive, perhaps a spreadsheet",
            "unpack it, or save the spreadsheet as CSV UTF-8",
        )),
        _ => None,
    }
}
