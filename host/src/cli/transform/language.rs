//! The languages that a transform can be written in: what a new one begins with, and how a folder
//! tells which it is.

use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;
use rust_embed::RustEmbed;

/// A language with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// Compiled by cargo.
    Rust,
    /// Compiled by the plain Go toolchain, 1.24 or newer.
    Go,
    /// TypeScript-like, compiled by asc from npm.
    #[value(name = "assemblyscript", alias = "as")]
    AssemblyScript,
    /// Compiled by `zig cc`, or by clang with wasi-libc.
    C,
    /// Compiled by zig.
    Zig,
    /// Made a component by componentize-js and esbuild from npm.
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    /// Made a component like JavaScript.
    #[value(name = "typescript", alias = "ts")]
    TypeScript,
    /// Made a component by componentize-py.
    #[value(alias = "py")]
    Python,
}

/// A file of a new transform; `{name}` and `{Name}` are filled in.
type Template = (&'static str, &'static str);

const RUST: [Template; 3] = [
    ("src/lib.rs", include_str!("template/rust/lib.rs.in")),
    ("Cargo.toml", include_str!("template/rust/Cargo.toml.in")),
    (
        "wstream-guest/Cargo.toml",
        include_str!("template/rust/Cargo.sdk.toml.in"),
    ),
];
const GO: [Template; 2] = [
    ("main.go", include_str!("template/go/main.go.in")),
    ("go.mod", include_str!("template/go/go.mod.in")),
];
const ASSEMBLYSCRIPT: [Template; 2] = [
    (
        "transform.ts",
        include_str!("template/assemblyscript/transform.ts.in"),
    ),
    (
        "package.json",
        include_str!("template/assemblyscript/package.json.in"),
    ),
];
const C: [Template; 1] = [("transform.c", include_str!("template/c/transform.c.in"))];
const ZIG: [Template; 1] = [(
    "transform.zig",
    include_str!("template/zig/transform.zig.in"),
)];
const JAVASCRIPT: [Template; 3] = [
    (
        "transform.js",
        include_str!("template/javascript/transform.js.in"),
    ),
    (
        "transform.test.js",
        include_str!("template/javascript/transform.test.js.in"),
    ),
    (
        "package.json",
        include_str!("template/javascript/package.json.in"),
    ),
];
const TYPESCRIPT: [Template; 3] = [
    (
        "src/transform.ts",
        include_str!("template/typescript/transform.ts.in"),
    ),
    (
        "package.json",
        include_str!("template/typescript/package.json.in"),
    ),
    (
        "tsconfig.json",
        include_str!("template/typescript/tsconfig.json.in"),
    ),
];
const PYTHON: [Template; 3] = [
    (
        "transform.py",
        include_str!("template/python/transform.py.in"),
    ),
    (
        "test_transform.py",
        include_str!("template/python/test_transform.py.in"),
    ),
    (
        "requirements.txt",
        include_str!("template/python/requirements.txt.in"),
    ),
];

/// The SDKs as they were when this program was built.
#[derive(RustEmbed)]
#[folder = "../guest-sdk/rust/src"]
struct RustSdk;

#[derive(RustEmbed)]
#[folder = "../guest-sdk/go"]
struct GoSdk;

#[derive(RustEmbed)]
#[folder = "../guest-sdk/assemblyscript/assembly"]
struct AssemblyScriptSdk;

#[derive(RustEmbed)]
#[folder = "../guest-sdk/javascript"]
struct JavaScriptSdk;

#[derive(RustEmbed)]
#[folder = "../guest-sdk/python/wstream_guest"]
struct PythonSdk;

const C_SDK: &str = include_str!("../../../../guest-sdk/c/wstream.h");
const ZIG_SDK: &str = include_str!("../../../../guest-sdk/zig/wstream.zig");
const WIT: &str = include_str!("../../../../guest-sdk/wit/transform.wit");

/// The files of an SDK under `folder`.
fn embedded<T: RustEmbed>(folder: &str) -> Vec<(String, Vec<u8>)> {
    let files = T::iter().filter_map(|path| {
        let data = T::get(&path)?.data.into_owned();
        Some((format!("{folder}/{path}"), data))
    });
    files.collect()
}

/// An SDK and the boundary that its components are made for.
fn with_wit(mut files: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    files.push(("wit/transform.wit".to_owned(), WIT.into()));
    files
}

impl Language {
    /// Which language the transform in a folder is written in.
    ///
    /// # Errors
    /// None of them.
    pub(super) fn of(folder: &Path) -> anyhow::Result<Self> {
        let found = Self::value_variants()
            .iter()
            .find(|language| folder.join(language.marker()).exists());
        let Some(language) = found else {
            let markers: Vec<_> = Self::value_variants().iter().map(|l| l.marker()).collect();
            bail!(
                "{} holds none of {}: for another language compile the module yourself and name \
                 it with --module",
                folder.display(),
                markers.join(", ")
            );
        };
        Ok(*language)
    }

    /// The file that only a transform in this language has.
    fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Go => "go.mod",
            Self::AssemblyScript => "transform.ts",
            Self::C => "transform.c",
            Self::Zig => "transform.zig",
            Self::JavaScript => "transform.js",
            Self::TypeScript => "src/transform.ts",
            Self::Python => "transform.py",
        }
    }

    /// The file that the transform is written in, and what to run first in a new folder.
    pub(super) fn start(self) -> (&'static str, &'static str) {
        let build = "wstream transform build";
        match self {
            Self::Rust => ("src/lib.rs", "cargo test && wstream transform build"),
            Self::Go => ("main.go", build),
            Self::AssemblyScript => ("transform.ts", "npm install && wstream transform build"),
            Self::C => ("transform.c", build),
            Self::Zig => ("transform.zig", build),
            Self::JavaScript => ("transform.js", "npm install && wstream transform build"),
            Self::TypeScript => ("src/transform.ts", "npm install && wstream transform build"),
            Self::Python => (
                "transform.py",
                "pip install -r requirements.txt && wstream transform build",
            ),
        }
    }

    /// The files of its own, before names are filled in.
    pub(super) fn templates(self) -> &'static [Template] {
        match self {
            Self::Rust => &RUST,
            Self::Go => &GO,
            Self::AssemblyScript => &ASSEMBLYSCRIPT,
            Self::C => &C,
            Self::Zig => &ZIG,
            Self::JavaScript => &JAVASCRIPT,
            Self::TypeScript => &TYPESCRIPT,
            Self::Python => &PYTHON,
        }
    }

    /// What a repository leaves out.
    pub(super) fn ignored(self) -> &'static str {
        match self {
            Self::Rust => "/target\n/dist\n",
            Self::AssemblyScript | Self::JavaScript | Self::TypeScript => "/node_modules\n/dist\n",
            Self::Python => "__pycache__\n/.venv\n/dist\n",
            Self::Go | Self::C | Self::Zig => "/dist\n",
        }
    }

    /// The SDK's files by the path they have in a transform's folder.
    pub(super) fn sdk(self) -> Vec<(String, Vec<u8>)> {
        match self {
            Self::Rust => embedded::<RustSdk>("wstream-guest/src"),
            Self::Go => {
                let mut files = embedded::<GoSdk>("wstream");
                files
                    .retain(|(path, _)| !path.contains("/samples/") && !path.ends_with("_test.go"));
                files
            }
            Self::AssemblyScript => embedded::<AssemblyScriptSdk>("wstream"),
            Self::C => vec![("wstream.h".to_owned(), C_SDK.into())],
            Self::Zig => vec![("wstream.zig".to_owned(), ZIG_SDK.into())],
            Self::JavaScript | Self::TypeScript => {
                let mut files = embedded::<JavaScriptSdk>("wstream");
                files.retain(|(path, _)| {
                    path.matches('/').count() == 1
                        && (path.ends_with(".js") || path.ends_with(".d.ts"))
                });
                with_wit(files)
            }
            Self::Python => {
                let mut files = embedded::<PythonSdk>("wstream_guest");
                files.retain(|(path, _)| !path.contains("__pycache__"));
                with_wit(files)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_code_its_sdk_and_is_found_again() {
        for language in Language::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let code = language.start().0;
            let names: Vec<_> = language.templates().iter().map(|(name, _)| *name).collect();
            assert!(names.contains(&code), "{language:?}: {names:?}");
            assert!(
                names.contains(&language.marker()),
                "{language:?}: {names:?}"
            );
            let marker = folder.path().join(language.marker());
            std::fs::create_dir_all(marker.parent().unwrap()).unwrap();
            std::fs::write(marker, "").unwrap();
            assert_eq!(Language::of(folder.path()).unwrap(), *language);
            let sdk = language.sdk();
            assert!(!sdk.is_empty(), "{language:?}");
            for (path, _) in sdk {
                let kept_out = ["/samples/", "/test/", "_test.go", "__pycache__"];
                let kept_out = kept_out.iter().any(|part| path.contains(part));
                assert!(!kept_out, "{path}");
            }
        }
        let empty = tempfile::tempdir().unwrap();
        let error = Language::of(empty.path()).unwrap_err().to_string();
        assert!(error.contains("--module"), "{error}");
    }
}
