//! Core modules: the `wstream_v1` ABI, and programs made with a Redpanda transform SDK.

use wasmparser::{ExternalKind, MemoryType, Parser, Payload, TypeRef};

use super::{
    Inspection, Kind, ModuleError, NAME_CHARS_MAX, NAMES_MAX, Problems, cut, invalid, letters,
    nearest, nearest_is, shown,
};
use crate::imports::{
    IMPORTS, KEYED_STATE, REDPANDA, REDPANDA_MARKERS, SCHEMA_REGISTRY, Signature, WASI,
};

/// The marker of the ABI.
const MARKER: &str = "wstream_abi_v1";

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
pub(super) struct Found<'a> {
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
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ModuleError> {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(invalid)?;
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

    /// What it is, or all that does not fit.
    pub(super) fn judge(self) -> Result<Inspection, ModuleError> {
        let mut problems = Problems::default();
        let kind = self.kind(&mut problems)?;
        self.check_memory(&mut problems);
        match kind {
            Kind::Redpanda => self.check_redpanda(&mut problems),
            _ => self.check_exports(&mut problems),
        }
        self.check_imports(kind, &mut problems);
        let metadata = super::metadata(self.metadata, &mut problems);
        problems.end(kind)?;
        let has_cursor = self.exports.iter().any(|e| e.name == "wstream_cursor");
        Ok(Inspection {
            kind,
            cursor: kind == Kind::Redpanda || has_cursor,
            keyed_state: self.imports(KEYED_STATE),
            exports: self.export_names,
            imports: self.import_names,
            metadata,
        })
    }

    fn imports(&self, module: &str) -> bool {
        self.imports.iter().any(|i| i.module == module)
    }

    /// Recognizes modules made for something else.
    fn kind(&self, problems: &mut Problems) -> Result<Kind, ModuleError> {
        if self.exports.iter().any(|e| e.name == MARKER) {
            return Ok(Kind::WstreamV1);
        }
        if self.imports(REDPANDA) {
            return Ok(Kind::Redpanda);
        }
        if self.imports("extism:host/env") {
            return Err(ModuleError::NotYet("Extism plug-ins"));
        }
        if self.imports.iter().any(|i| i.name == "copy_records") {
            return Err(ModuleError::NotYet("Fluvio SmartModules"));
        }
        let proxy = |e: &Export<'_>| e.name.starts_with("proxy_abi_version_");
        if self.exports.iter().any(proxy) {
            problems.add(|| "it is a proxy-wasm filter".to_owned());
        }
        Ok(Kind::WstreamV1)
    }

    fn check_memory(&self, problems: &mut Problems) {
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
    }

    fn check_exports(&self, problems: &mut Problems) {
        for (name, wanted, needed) in EXPORTS {
            self.check_function(name, wanted, needed, problems);
        }
        if self.exports.iter().any(|e| e.name == "_start") {
            let hint = "build a library (a reactor), not a program";
            problems.add(|| format!("export `_start`: {hint}"));
        }
    }

    /// An export that must be a function of this type, if it is there.
    fn check_function(
        &self,
        name: &str,
        wanted: Signature<'static>,
        needed: bool,
        problems: &mut Problems,
    ) {
        let Some(export) = self.exports.iter().find(|e| e.name == name) else {
            if needed {
                problems.add(|| {
                    let near = nearest_is(name, self.exports.iter().map(|e| e.name));
                    format!("no export `{name}` of type {wanted}{near}")
                });
            }
            return;
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

    /// A WASI program that pulls its records.
    fn check_redpanda(&self, problems: &mut Problems) {
        self.check_function("_start", signature("", ""), true, problems);
        let marker = |i: &Import<'_>| i.module == REDPANDA && REDPANDA_MARKERS.contains(&i.name);
        if !self.imports.iter().any(marker) {
            let [one, two] = REDPANDA_MARKERS;
            problems.add(|| format!("no import `{REDPANDA}.{one}` or `{REDPANDA}.{two}`"));
        }
    }

    fn check_imports(&self, kind: Kind, problems: &mut Problems) {
        for import in &self.imports {
            let name = || shown(import.module, import.name);
            let of_redpanda = import.module == REDPANDA || import.module == SCHEMA_REGISTRY;
            if of_redpanda && kind != Kind::Redpanda {
                problems.add(|| format!("import `{}` beside export `{MARKER}`", name()));
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
