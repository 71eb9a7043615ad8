//! How many bytes a file system has left, or what a test says of it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use wstream_record::ByteSize;

/// Asks how many bytes a file system has left.
#[derive(Clone)]
pub struct FreeSpace(Arc<Probe>);

type Probe = dyn Fn(&Path) -> io::Result<ByteSize> + Send + Sync;

impl FreeSpace {
    /// What the operating system says an unprivileged process may still write.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|path| {
            let stat = rustix::fs::statvfs(path)?;
            Ok(ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)))
        })
    }

    /// What `probe` says.
    pub fn from_fn(probe: impl Fn(&Path) -> io::Result<ByteSize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(probe))
    }

    /// Bytes left on the file system of `path`.
    ///
    /// # Errors
    /// The path cannot be asked about.
    pub fn of(&self, path: &Path) -> io::Result<ByteSize> {
        (self.0)(path)
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreeSpace")
    }
}
