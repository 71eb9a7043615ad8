//! Where things are: the repository, the shared data beside it, and scratch files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The repository's root.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A file of the shared folder: `$WSTREAM_SHARED`, else `shared` beside the repository.
/// `None`, said aloud, where there is no such folder.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WSTREAM_SHARED")
        .map_or_else(|| project().parent().unwrap().join("shared"), PathBuf::from);
    let file = root.join(path);
    if !file.exists() {
        let root = root.display();
        skipped(&format!("{path} is not in the shared folder {root}"));
        return None;
    }
    Some(file)
}

/// Says aloud, past the capture of a test's output, that something was not tested; the test script
/// counts these lines.
pub fn skipped(why: &str) {
    let line = format!("skipped: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Writes `text` to `dir/name` and returns the path.
pub fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}
