//! Components: the worlds of `wstream:transform`, and what of WASI 0.2 links. Types are the
//! linker's to check; here it is names.

use wasmparser::{Parser, Payload};

use super::{
    Inspection, Kind, ModuleError, NAME_CHARS_MAX, NAMES_MAX, Problems, cut, invalid, nearest_is,
};

/// What a transform exports, one of the two.
const GUEST: &str = "wstream:transform/guest@1.0.0";
const GUEST_FRAMES: &str = "wstream:transform/guest-frames@1.0.0";
const STATE: &str = "wstream:transform/state@1.0.0";
/// What it may import of ours.
const OURS: [&str; 3] = [
    "wstream:transform/types@1.0.0",
    "wstream:transform/host@1.0.0",
    STATE,
];
/// Packages of WASI 0.2 that link; files and sockets answer that there are none.
const WASI: [&str; 6] = [
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
];

/// Reads a component.
pub(super) fn inspect(bytes: &[u8]) -> Result<Inspection, ModuleError> {
    let mut problems = Problems::default();
    let mut imports: Vec<&str> = Vec::new();
    let mut exports: Vec<&str> = Vec::new();
    let mut section = None;
    // Modules and components within are the linker's.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ComponentImportSection(reader) => {
                for import in reader {
                    imports.push(import.map_err(invalid)?.name.name);
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader {
                    exports.push(export.map_err(invalid)?.name.name);
                }
            }
            Payload::CustomSection(custom) if custom.name() == "wstream" => {
                section = Some(custom.data());
            }
            _ => {}
        }
    }
    if !exports.contains(&GUEST) && !exports.contains(&GUEST_FRAMES) {
        problems.add(|| {
            let near = nearest_is(GUEST, exports.iter().copied());
            format!("no export `{GUEST}`{near}")
        });
    }
    for import in &imports {
        let is_wasi = WASI.iter().any(|package| import.starts_with(package));
        if OURS.contains(import) || (is_wasi && import.contains("@0.2.")) {
            continue;
        }
        problems.add(|| {
            let name = cut(import, NAME_CHARS_MAX);
            let near = nearest_is(import, OURS.into_iter());
            format!("unknown import `{name}`{near}")
        });
    }
    let metadata = super::metadata(section, &mut problems);
    problems.end(Kind::Component)?;
    let shown = |names: &[&str]| {
        let names = names.iter().take(NAMES_MAX);
        names.map(|name| cut(name, NAME_CHARS_MAX)).collect()
    };
    Ok(Inspection {
        kind: Kind::Component,
        cursor: false,
        keyed_state: imports.contains(&STATE),
        exports: shown(&exports),
        imports: shown(&imports),
        metadata,
    })
}
