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
    #[value(name = "assemblyscript", alias = "as", alias = "ts")]
    AssemblyScript,
    /// Compiled by `zig cc`, or by clang with wasi-libc.
    C,
    /// Compiled by zig.
    Zig,
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

const C_SDK: &str = include_str!("../../../../guest-sdk/c/wstream.h");
const ZIG_SDK: &str = include_str!("../../../../guest-sdk/zig/wstream.zig");

/// The files of an SDK under `folder`.
fn embedded<T: RustEmbed>(folder: &str) -> Vec<(String, Vec<u8>)> {
    let files = T::iter().filter_map(|path| {
        let data = T::get(&path)?.data.into_owned();
        Some((format!("{folder}/{path}"), data))
    });
    files.collect()
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
        }
    }

    /// What a repository leaves out.
    pub(super) fn ignored(self) -> &'static str {
        match self {
            Self::Rust => "/target\n/dist\n",
            Self::AssemblyScript => "/node_modules\n/dist\n",
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
            std::fs::write(folder.path().join(language.marker()), "").unwrap();
            assert_eq!(Language::of(folder.path()).unwrap(), *language);
            let sdk = language.sdk();
            assert!(!sdk.is_empty(), "{language:?}");
            for (path, _) in sdk {
                assert!(
                    !path.contains("/samples/") && !path.ends_with("_test.go"),
                    "{path}"
                );
            }
        }
        let empty = tempfile::tempdir().unwrap();
        let error = Language::of(empty.path()).unwrap_err().to_string();
        assert!(error.contains("--module"), "{error}");
    }
}
