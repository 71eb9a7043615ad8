//! Finds a way to compile Rust to WebAssembly: the toolchain's own standard library for it, else
//! the standard library's source, else it says what to install.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// Fixed-width SIMD: every engine has it, and JSON is scanned with it.
const FLAGS: &str = "-C target-feature=+simd128";
const PROFILE: [&str; 6] = [
    "profile.wstream.inherits='release'",
    "profile.wstream.opt-level=3",
    "profile.wstream.lto=true",
    "profile.wstream.codegen-units=1",
    "profile.wstream.panic='abort'",
    "profile.wstream.strip=true",
];

/// How to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The standard library is there.
    Ready,
    /// It is compiled from its source.
    Source,
}

/// The command that compiles the library of the package in `folder` to a module.
pub(super) fn cargo(folder: &Path) -> anyhow::Result<Command> {
    let way = find_way()?;
    let mut cargo = Command::new(variable("CARGO", "cargo"));
    cargo.current_dir(folder).args([
        "rustc",
        "--lib",
        "--crate-type",
        "cdylib",
        "--target",
        TARGET,
    ]);
    cargo.args([
        "--profile",
        "wstream",
        "--message-format",
        "json-render-diagnostics",
    ]);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    cargo
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if way == Way::Source {
        cargo
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1");
    }
    Ok(cargo)
}

fn find_way() -> anyhow::Result<Way> {
    let rustc = variable("RUSTC", "rustc");
    let output = Command::new(&rustc)
        .args(["--print", "sysroot"])
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| {
        format!(
            "cannot run {}: install Rust from https://rustup.rs",
            Path::new(&rustc).display()
        )
    })?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    way_in(&sysroot)
}

fn way_in(sysroot: &Path) -> anyhow::Result<Way> {
    let libraries = sysroot.join("lib/rustlib");
    if libraries.join(TARGET).join("lib").is_dir() {
        return Ok(Way::Ready);
    }
    if libraries.join("src/rust/library/std").is_dir() {
        return Ok(Way::Source);
    }
    bail!(
        "this Rust cannot compile to WebAssembly\n  hint: rustup target add {TARGET}, or rustup component add rust-src"
    )
}

fn variable(name: &str, default: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| default.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_follows_from_what_is_installed() {
        let sysroot = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            std::fs::create_dir_all(sysroot.path().join("lib/rustlib").join(path)).unwrap()
        };
        let error = way_in(sysroot.path()).unwrap_err().to_string();
        assert!(
            error.contains("rustup target add wasm32-unknown-unknown"),
            "{error}"
        );
        make("src/rust/library/std");
        assert_eq!(way_in(sysroot.path()).unwrap(), Way::Source);
        make("wasm32-unknown-unknown/lib");
        assert_eq!(way_in(sysroot.path()).unwrap(), Way::Ready);
    }
}
