//! Replaces strings anywhere in a JSON text; keys are left alone.

use super::error::Error;
use super::scan::{self, Text};
use super::text;

/// Appends `json` to `out`, each string value, at any depth, replaced by what `replace` makes of
/// its text; `None` keeps it as it is written.
///
/// # Errors
/// `json` is not one JSON value; nothing is appended then.
pub fn map_strings(
    json: &[u8],
    out: &mut Vec<u8>,
    mut replace: impl FnMut(&str) -> Option<String>,
) -> Result<(), Error> {
    scan::check(json)?;
    let mut copied = 0;
    let mut at = 0;
    while let Some(quote) = json
        .get(at..)
        .and_then(|b| b.iter().position(|&b| b == b'"'))
    {
        let start = at + quote;
        let mut text = Text::new(json);
        let end = text.string(start + 1).ok_or_else(|| text.error())?.get();
        at = end;
        if json.get(scan::space(json, end)) == Some(&b':') {
            continue;
        }
        let literal = json.get(start..end).unwrap_or_default();
        if let Some(text) = replace(&text::decode(text::inner(literal))) {
            out.extend_from_slice(json.get(copied..start).unwrap_or_default());
            text::encode(&text, out);
            copied = end;
        }
    }
    out.extend_from_slice(json.get(copied..).unwrap_or_default());
    Ok(())
}
