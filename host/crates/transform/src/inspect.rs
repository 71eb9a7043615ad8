//! Tells from the bytes alone whether a module is a `wstream_v1` transform, and if not, everything
//! that does not fit, with the nearest thing that would.
//!
//! It reads sections and trusts no count in them; it does not validate code: the compiler does.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasmparser::{Encoding, ExternalKind, MemoryType, Parser, Payload, TypeRef, ValType};
use wstream_record::ByteSize;

use crate::imports::{IMPORTS, KEYED_STATE, Signature, WASI, WSTREAM};

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

/// The marker of the ABI.
const MARKER: &str = "wstream_abi_v1";

/// What a module's bytes say.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// `wstream_v1`, the one kind so far.
    pub kind: &'static str,
    /// Names of the exports, the first 200.
    pub exports: Vec<String>,
    /// Names of the imports as `module.name`, the first 200.
    pub imports: Vec<String>,
    /// Whether it exports `wstream_cursor`: a failure is blamed on its record at once.
    pub cursor: bool,
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
    #[error("not a wstream_v1 transform: {}", .0.join("; "))]
    Unsuitable(Vec<String>),
}

/// Reads a module.
///
/// # Errors
/// The bytes are not a module, or one of another kind, or do not fit the ABI.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ModuleError> {
    if bytes.get(..4) != Some(b"\0asm") {
        return Err(ModuleError::NotWasm(beginning(bytes)));
    }
    let found = Found::read(bytes)?;
    let mut problems = Problems::default();
    found.check_kind(&mut problems)?;
    found.check_exports(&mut problems);
    found.check_imports(&mut problems);
    let metadata = found.metadata(&mut problems);
    if !problems.listed.is_empty() {
        return Err(ModuleError::Unsuitable(problems.into_list()));
    }
    Ok(Inspection {
        kind: WSTREAM,
        cursor: found.exports.iter().any(|e| e.name == "wstream_cursor"),
        exports: found.export_names,
        imports: found.import_names,
        metadata,
    })
}

fn beginning(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let hex: Vec<_> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
    hex.join(" ")
}

/// An export that matters, or may be a misspelt one.
struct Export<'a> {
    name: &'a str,
    kind: ExternalKind,
    index: u32,
}

/// An import; `signature` is that of a function.
struct Import<'a> {
    module: &'a str,
    name: &'a str,
    type_index: Option<u32>,
}

/// What was read of a module, before judging it.
#[derive(Default)]
struct Found<'a> {
    component: bool,
    /// Parameters and results of each type, as letters.
    types: Vec<(Box<str>, Box<str>)>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    memories: Vec<MemoryType>,
    exports: Vec<Export<'a>>,
    export_names: Vec<String>,
    imports: Vec<Import<'a>>,
    import_names: Vec<String>,
    metadata: Option<&'a [u8]>,
}

/// The exports the ABI knows: name, type, whether it must be there.
const EXPORTS: [(&str, Signature<'static>, bool); 6] = [
    (MARKER, signature("", ""), true),
    ("wstream_alloc", signature("i", "i"), true),
    ("wstream_process", signature("ii", "I"), true),
    ("wstream_init", signature("ii", "i"), false),
    ("wstream_cursor", signature("", "i"), false),
    ("_initialize", signature("", ""), false),
];

const fn signature(params: &'static str, results: &'static str) -> Signature<'static> {
    Signature { params, results }
}

impl<'a> Found<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModuleError> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(invalid)?;
            if let Payload::Version { encoding, .. } = payload {
                found.component = encoding == Encoding::Component;
            }
            if found.component {
                break;
            }
            found.section(payload).map_err(invalid)?;
        }
        Ok(found)
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<(), wasmparser::Error> {
        match payload {
            Payload::TypeSection(reader) => {
                for ty in reader.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    self.types
                        .push((letters(ty.params()), letters(ty.results())));
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(reader) => {
                for index in reader {
                    self.functions.push(index?);
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    self.memories.push(memory?);
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    self.export(export?);
                }
            }
            Payload::CustomSection(section) if section.name() == "wstream" => {
                self.metadata = Some(section.data());
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'a>) {
        let type_index = match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                Some(index)
            }
            TypeRef::Memory(memory) => {
                self.memories.push(memory);
                None
            }
            TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => None,
        };
        let (module, name) = (import.module, import.name);
        if self.import_names.len() < NAMES_MAX {
            self.import_names.push(shown(module, name));
        }
        self.imports.push(Import {
            module,
            name,
            type_index,
        });
    }

    fn export(&mut self, export: wasmparser::Export<'a>) {
        if self.export_names.len() < NAMES_MAX {
            self.export_names.push(cut(export.name, NAME_CHARS_MAX));
        }
        self.exports.push(Export {
            name: export.name,
            kind: export.kind,
            index: export.index,
        });
    }

    fn signature(&self, type_index: Option<u32>) -> Option<Signature<'_>> {
        let (params, results) = self.types.get(usize::try_from(type_index?).ok()?)?;
        Some(Signature { params, results })
    }

    /// Recognizes modules made for something else.
    fn check_kind(&self, problems: &mut Problems) -> Result<(), ModuleError> {
        if self.component {
            return Err(ModuleError::NotYet("components"));
        }
        if self.exports.iter().any(|e| e.name == MARKER) {
            return Ok(());
        }
        let imports = |module: &str| self.imports.iter().any(|i| i.module == module);
        if imports("redpanda_transform") {
            return Err(ModuleError::NotYet("Redpanda transforms"));
        }
        if imports("extism:host/env") {
            return Err(ModuleError::NotYet("Extism plug-ins"));
        }
        if self.imports.iter().any(|i| i.name == "copy_records") {
            return Err(ModuleError::NotYet("Fluvio SmartModules"));
        }
        let proxy = |e: &Export<'_>| e.name.starts_with("proxy_abi_version_");
        if self.exports.iter().any(proxy) {
            problems.add(|| "it is a proxy-wasm filter".to_owned());
        }
        Ok(())
    }

    fn check_exports(&self, problems: &mut Problems) {
        let memory = self.exports.iter().find(|e| e.name == "memory");
        match memory.map(|e| (e.kind, self.memories.get(e.index as usize))) {
            Some((ExternalKind::Memory, Some(memory))) if memory.memory64 => {
                problems
                    .add(|| "export `memory` is a 64-bit memory, a 32-bit one is needed".into());
            }
            Some((ExternalKind::Memory, Some(memory))) if memory.shared => {
                problems.add(|| "export `memory` is shared, threads are not supported".into());
            }
            Some((ExternalKind::Memory, Some(_))) => {}
            Some(_) => problems.add(|| "export `memory` is not a memory".to_owned()),
            None => problems.add(|| "no export `memory`".to_owned()),
        }
        for (name, wanted, needed) in EXPORTS {
            let Some(export) = self.exports.iter().find(|e| e.name == name) else {
                if needed {
                    problems.add(|| {
                        let near = nearest(name, self.exports.iter().map(|e| e.name));
                        let near = near.map_or(String::new(), |n| format!(", nearest is `{n}`"));
                        format!("no export `{name}` of type {wanted}{near}")
                    });
                }
                continue;
            };
            let function = (export.kind == ExternalKind::Func)
                .then(|| self.functions.get(export.index as usize).copied());
            match self.signature(function.flatten()) {
                Some(found) if found == wanted => {}
                Some(found) => {
                    problems.add(|| format!("export `{name}` is {found}, {wanted} is needed"));
                }
                None => problems.add(|| format!("export `{name}` is not a function {wanted}")),
            }
        }
        if self.exports.iter().any(|e| e.name == "_start") {
            let hint = "build a library (a reactor), not a program";
            problems.add(|| format!("export `_start`: {hint}"));
        }
    }

    fn check_imports(&self, problems: &mut Problems) {
        for import in &self.imports {
            let name = || shown(import.module, import.name);
            if import.module == KEYED_STATE {
                problems.add(|| format!("import `{}`: keyed state is not supported yet", name()));
                continue;
            }
            let known = IMPORTS
                .iter()
                .find(|i| i.module == import.module && i.name == import.name);
            let Some(known) = known else {
                problems.add(|| format!("unknown import `{}`{}", name(), hint(import)));
                continue;
            };
            let wanted = known.signature;
            match self.signature(import.type_index) {
                Some(found) if found == wanted => {}
                Some(found) => {
                    problems.add(|| format!("import `{}` is {found}, {wanted} is given", name()));
                }
                None => problems.add(|| format!("import `{}` is not a function", name())),
            }
        }
    }

    fn metadata(&self, problems: &mut Problems) -> Metadata {
        let Some(section) = self.metadata else {
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
}

/// What a module that imports this probably wanted.
fn hint(import: &Import<'_>) -> String {
    let same_module = IMPORTS.iter().filter(|i| i.module == import.module);
    if let Some(near) = nearest(import.name, same_module.map(|i| i.name)) {
        return format!(", nearest is `{}.{near}`", import.module);
    }
    let elsewhere = IMPORTS.iter().find(|i| i.name == import.name);
    if let Some(known) = elsewhere {
        return format!(", nearest is `{}.{}`", known.module, known.name);
    }
    if import.module == "wasi_unstable" || import.module.starts_with("wasi:") {
        return format!(", of WASI only `{WASI}` is there");
    }
    String::new()
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

    fn into_list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
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
