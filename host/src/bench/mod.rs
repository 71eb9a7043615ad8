//! Measurements of the parts of a node, for `wstream bench`.
//!
//! Each measurement has its options, which are arguments of the command, and a report, which is
//! text or JSON. CPU time is that of the whole process: the command measures one thing and ends.

pub mod log;
pub mod pipeline;
pub mod search;
pub mod transform;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

/// Attempts to remove a directory into which something still writes.
const REMOVALS_MAX: usize = 10;

/// Begins the name of a scratch directory; the id of its process ends it.
const SCRATCH: &str = "wstream-bench-";

/// A directory that goes with the measurement.
struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in `parent`, and removes those that killed measurements left there.
    fn new(parent: &Path) -> anyhow::Result<Self> {
        let dir = parent.join(format!("{SCRATCH}{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for entry in fs::read_dir(parent)?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let pid = name.strip_prefix(SCRATCH).and_then(|pid| pid.parse().ok());
            if pid.is_some_and(|pid: u32| !Path::new(&format!("/proc/{pid}")).exists()) {
                fs::remove_dir_all(entry.path()).ok();
            }
        }
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A writer that is being stopped may still add a file while this removes them.
        for _ in 0..REMOVALS_MAX {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(dir = %self.0.display(), %error, "could not remove");
                    return;
                }
                _ => return,
            }
        }
    }
}

/// Where measurements work unless they are told otherwise: on a disk, as the temporary directory
/// of many systems is not, and not where the user happens to stand.
fn scratch_parent() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.map_or_else(std::env::temp_dir, |cache| cache.join("wstream"))
}

/// CPU time that the process has used, all its threads together.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
