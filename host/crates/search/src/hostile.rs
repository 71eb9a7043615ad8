//! The decoders that read bytes of strangers, for the fuzz targets alone: an answer or a reason,
//! whatever the bytes are.

use crate::document::{Tape, parse as parse_document};
use crate::query::parse_text;

/// Reads a document as the writer does; how many elements it has.
///
/// # Errors
/// Why it is refused.
pub fn document(text: &str) -> Result<usize, String> {
    let mut tape = Tape::default();
    parse_document(text, 0, &mut tape).map_err(|error| error.to_string())?;
    Ok(tape.nodes.len())
}

/// Reads a `query_string`.
///
/// # Errors
/// Why it is refused.
pub fn query_text(text: &str) -> Result<(), String> {
    parse_text(text, true).map(drop)
}
