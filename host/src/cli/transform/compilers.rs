//! Compiles transforms that are not written in Rust: finds the compiler, or says what to install.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::language::Language;

/// Where Debian's wasi-libc puts its headers.
const WASI_HEADERS: &str = "/usr/include/wasm32-wasi";

/// Compiles the transform in a folder to `out`, a core module without its description.
pub(super) fn compile(language: Language, folder: &Path, out: &Path) -> anyhow::Result<()> {
    let mut command = match language {
        Language::Rust => bail!("cargo compiles Rust"),
        Language::Go => go(out)?,
        Language::AssemblyScript => assemblyscript(folder, out)?,
        Language::C => c(out)?,
        Language::Zig => zig_module(out)?,
    };
    let program = Path::new(command.get_program()).display().to_string();
    let status = command.current_dir(folder).status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} could not compile {}", folder.display());
    }
    Ok(())
}

fn go(out: &Path) -> anyhow::Result<Command> {
    let go = named("WSTREAM_GO").unwrap_or_else(|| vec!["go".into()]);
    if !runs(&go, &["version"]) {
        bail!(
            "there is no go\n  hint: install Go 1.24 or newer (https://go.dev), or set WSTREAM_GO"
        );
    }
    let mut command = start(&go);
    command
        .args(["build", "-buildmode=c-shared", "-trimpath"])
        .args(["-ldflags", "-s -w", "-o"])
        .arg(out)
        .arg(".")
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm");
    Ok(command)
}

fn assemblyscript(folder: &Path, out: &Path) -> anyhow::Result<Command> {
    let own = std::path::absolute(folder)?.join("node_modules/.bin/asc");
    let mut found = [
        named("WSTREAM_ASC"),
        Some(vec![own.into()]),
        Some(vec!["asc".into()]),
    ]
    .into_iter()
    .flatten();
    let Some(asc) = found.find(|asc| runs(asc, &["--version"])) else {
        bail!(
            "there is no asc\n  hint: run `npm install` in {}, or set WSTREAM_ASC",
            folder.display()
        );
    };
    let mut command = start(&asc);
    command
        .args(["transform.ts", "-O3", "--runtime", "minimal"])
        .args(["--enable", "simd", "--enable", "bulk-memory", "-o"])
        .arg(out);
    Ok(command)
}

fn c(out: &Path) -> anyhow::Result<Command> {
    let mut command = if let Some(zig) = zig() {
        let mut command = start(&zig);
        command.args([
            "cc",
            "-target",
            "wasm32-wasi",
            "-mcpu=generic+bulk_memory+simd128",
        ]);
        command
    } else if Path::new(WASI_HEADERS).is_dir() && runs(&["clang".into()], &["--version"]) {
        let mut command = Command::new("clang");
        command.args(["--target=wasm32-wasi", "-mbulk-memory", "-msimd128"]);
        command
    } else {
        bail!(
            "there is no C compiler for WebAssembly\n  hint: install zig (https://ziglang.org, or \
             the Python package ziglang), or Debian's clang, lld, wasi-libc and libclang-rt-dev-wasm32; \
             WSTREAM_ZIG names a zig"
        );
    };
    command
        .args(["-mexec-model=reactor", "-O2", "-s", "-o"])
        .arg(out)
        .arg("transform.c");
    Ok(command)
}

fn zig_module(out: &Path) -> anyhow::Result<Command> {
    let Some(zig) = zig() else {
        bail!(
            "there is no zig\n  hint: install it (https://ziglang.org, or the Python package \
             ziglang), or set WSTREAM_ZIG"
        );
    };
    let mut emit = OsString::from("-femit-bin=");
    emit.push(out);
    let mut command = start(&zig);
    command
        .args(["build-exe", "-target", "wasm32-freestanding"])
        .args(["-mcpu=generic+simd128+bulk_memory", "-O", "ReleaseFast"])
        .args(["-fno-entry", "-rdynamic", "-fstrip"])
        .args([
            "--dep",
            "wstream",
            "-Mroot=transform.zig",
            "-Mwstream=wstream.zig",
        ])
        .arg(emit);
    Ok(command)
}

/// A zig that runs: the one that is named, that of the path, or that of the Python package.
fn zig() -> Option<Vec<OsString>> {
    let python = ["python3", "-m", "ziglang"].map(OsString::from).to_vec();
    [named("WSTREAM_ZIG"), Some(vec!["zig".into()]), Some(python)]
        .into_iter()
        .flatten()
        .find(|zig| runs(zig, &["version"]))
}

/// A command that the environment names, its words parted by spaces.
fn named(variable: &str) -> Option<Vec<OsString>> {
    let words = std::env::var(variable).ok()?;
    let words: Vec<_> = words.split_whitespace().map(OsString::from).collect();
    (!words.is_empty()).then_some(words)
}

fn start(words: &[OsString]) -> Command {
    let (program, args) = words.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn runs(words: &[OsString], args: &[&str]) -> bool {
    let mut command = start(words);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where the compiler writes before the description is added.
pub(super) fn unfinished(dist: &Path, name: &str) -> PathBuf {
    dist.join(format!("{name}.core.wasm"))
}
