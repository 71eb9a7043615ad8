//! Documents on their way into the index: JSON text parsed once into a flat tape that tantivy
//! reads in place, without a tree and without copying strings.

mod batch;
mod paths;
mod tape;

pub(crate) use batch::{BatchBuilder, Incoming, TapeBatch, TapeDocument};
pub use paths::COLUMN_PATHS_MAX;
pub(crate) use paths::ColumnPaths;
pub use tape::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DOCUMENT_KEYS_MAX, KEY_BYTES_MAX};
pub(crate) use tape::{PATH_SEPARATOR, Tape, parse};
