//! Tells from the bytes alone which kind of transform a module is, and if it is none, everything
//! that does not fit, with the nearest thing that would.
//!
//! It reads sections and trusts no count in them; it does not validate code: the compiler does.

mod component;
mod core;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasmparser::{Encoding, Parser, Payload, ValType};
use wstream_record::ByteSize;

use self::core::Found;

/// Largest metadata section.
const METADATA_BYTES_MAX: usize = 1 << 20;
/// Problems that are listed; the rest is counted.
const PROBLEMS_MAX: usize = 20;
/// Names of exports and imports that are kept.
const NAMES_MAX: usize = 200;
/// Characters of a name that are shown.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a problem: what a JSON parser says may quote what it met.
const PROBLEM_CHARS_MAX: usize = 400;
/// A name is near another one up to so many edits, and a third of its length.
const EDITS_MAX: usize = 3;
/// Exports among which a misspelt one is looked for.
const NAMES_COMPARED_MAX: usize = 10_000;

/// What a module was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Kind {
    /// A core module with the ABI of `guest-sdk/ABI.md`.
    #[serde(rename = "wstream_v1")]
    WstreamV1,
    /// A WASI program made with a Redpanda transform SDK, ABI version 1 or 2.
    #[serde(rename = "redpanda_transform")]
    Redpanda,
    /// A component with the world of `guest-sdk/wit`.
    #[serde(rename = "component")]
    Component,
}

impl Kind {
    /// As `show` and the API write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WstreamV1 => "wstream_v1",
            Self::Redpanda => "redpanda_transform",
            Self::Component => "component",
        }
    }

    /// What a module that does not fit is not.
    fn article(self) -> &'static str {
        match self {
            Self::WstreamV1 => "a wstream_v1 transform",
            Self::Redpanda => "a Redpanda transform",
            Self::Component => "a transform component",
        }
    }
}

/// What a module's bytes say.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// What it was made for.
    pub kind: Kind,
    /// Names of the exports, the first 200.
    pub exports: Vec<String>,
    /// Names of the imports as `module.name`, the first 200.
    pub imports: Vec<String>,
    /// Whether a failure is blamed on its record at once: it exports `wstream_cursor`, or the host
    /// sees each record being read.
    pub cursor: bool,
    /// Whether it uses keyed state.
    pub keyed_state: bool,
    /// The custom section `wstream`.
    pub metadata: Metadata,
}

/// The custom section `wstream`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// The transform's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names of the outputs; index 0 is the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// JSON Schema of the configuration.
    #[serde(default, rename = "config", skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<Box<RawValue>>,
}

/// Why bytes are not a transform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// No WebAssembly at all.
    #[error("not a WebAssembly module: it begins with {0}, a module with the bytes 00 61 73 6d")]
    NotWasm(String),
    /// Above the bound.
    #[error("the module has {size} bytes, at most {max} are taken")]
    TooLarge {
        /// Its size.
        size: ByteSize,
        /// The bound.
        max: ByteSize,
    },
    /// Broken, cut off, or uses a feature that is switched off.
    #[error("not a valid module: {0}")]
    Invalid(String),
    /// A kind of module that this version does not run.
    #[error("{0} are not supported yet; build a wstream_v1 module: see guest-sdk/ABI.md")]
    NotYet(&'static str),
    /// A module, but not a transform.
    #[error("not {}: {}", kind.article(), problems.join("; "))]
    Unsuitable {
        /// What it seems to be made for.
        kind: Kind,
        /// What does not fit, at most 20 and how many more.
        problems: Vec<String>,
    },
}

/// Reads a module.
///
/// # Errors
/// The bytes are not a module, or one of another kind, or do not fit the ABI.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ModuleError> {
    if bytes.get(..4) != Some(b"\0asm") {
        return Err(ModuleError::NotWasm(beginning(bytes)));
    }
    let is_component = Parser::new(0)
        .parse_all(bytes)
        .next()
        .transpose()
        .map_err(invalid)?
        .is_some_and(|payload| {
            matches!(payload, Payload::Version { encoding, .. } if encoding == Encoding::Component)
        });
    if is_component {
        component::inspect(bytes)
    } else {
        Found::read(bytes)?.judge()
    }
}

/// The custom section `wstream`.
fn metadata(section: Option<&[u8]>, problems: &mut Problems) -> Metadata {
    let Some(section) = section else {
        return Metadata::default();
    };
    if section.len() > METADATA_BYTES_MAX {
        let max = METADATA_BYTES_MAX;
        problems.add(|| format!("the custom section `wstream` is above {max} bytes"));
        return Metadata::default();
    }
    serde_json::from_slice(section).unwrap_or_else(|error| {
        problems.add(|| format!("the custom section `wstream` is not its JSON: {error}"));
        Metadata::default()
    })
}

fn beginning(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let hex: Vec<_> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
    hex.join(" ")
}

/// Problems, bounded.
#[derive(Default)]
struct Problems {
    listed: Vec<String>,
    more: usize,
}

impl Problems {
    /// The text is only made if it is listed: there may be a million of them.
    fn add(&mut self, problem: impl FnOnce() -> String) {
        if self.listed.len() < PROBLEMS_MAX {
            self.listed.push(cut(&problem(), PROBLEM_CHARS_MAX));
        } else {
            self.more += 1;
        }
    }

    /// An error if there is any.
    fn end(mut self, kind: Kind) -> Result<(), ModuleError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        let problems = self.listed;
        Err(ModuleError::Unsuitable { kind, problems })
    }
}

fn invalid(error: wasmparser::Error) -> ModuleError {
    // Some of the messages are laid out over several lines.
    let message = error.to_string();
    let words: Vec<_> = message.split_whitespace().collect();
    ModuleError::Invalid(words.join(" "))
}

fn letters(types: &[ValType]) -> Box<str> {
    let letter = |ty: &ValType| match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        ValType::V128 => 'v',
        ValType::Ref(_) => 'r',
    };
    types.iter().map(letter).collect::<String>().into()
}

fn shown(module: &str, name: &str) -> String {
    let cut = |name| cut(name, NAME_CHARS_MAX);
    format!("{}.{}", cut(module), cut(name))
}

fn cut(text: &str, chars_max: usize) -> String {
    let mut cut: String = text.chars().take(chars_max).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut
}

/// The name that differs least, as the end of a problem's text.
fn nearest_is<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> String {
    nearest(wanted, names).map_or(String::new(), |name| format!(", nearest is `{name}`"))
}

/// The name that differs least, if it differs little.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let edits_max = EDITS_MAX.min(wanted.len() / 3);
    names
        .take(NAMES_COMPARED_MAX)
        .filter(|n| n.len().abs_diff(wanted.len()) <= edits_max)
        .map(|n| (edits(wanted, n), n))
        .filter(|&(edits, _)| edits <= edits_max)
        .min()
        .map(|(_, n)| n)
}

/// Single-byte insertions, deletions and replacements from one text to the other.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
