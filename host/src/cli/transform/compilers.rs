//! Compiles transforms that are not written in Rust: finds the compiler, or says what to install.
//!
//! JavaScript and Python become components of the world in `wit/`, with nothing of WASI: the engine's
//! own calls are cut off when they are made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::language::Language;

/// Where Debian's wasi-libc puts its headers.
const WASI_HEADERS: &str = "/usr/include/wasm32-wasi";

/// The worlds of transforms that are components, beside their code.
const WIT: &str = "wit";

/// The world of the SDKs that make components: they read and write a batch's bytes themselves.
const WORLD: &str = "transform-frames";

/// What of an SDK gives the transform's own module the world's names.
const JAVASCRIPT_COMPONENT: &str = "wstream/component.js";
const PYTHON_COMPONENT: &str = "wstream_guest._component";

/// Compiles the transform in a folder to `out`, a module or component without its description.
pub(super) fn compile(language: Language, folder: &Path, out: &Path) -> anyhow::Result<()> {
    match language {
        Language::Rust => bail!("cargo compiles Rust"),
        Language::Go => run(folder, go(out)?),
        Language::AssemblyScript => run(folder, assemblyscript(folder, out)?),
        Language::C => run(folder, c(out)?),
        Language::Zig => run(folder, zig_module(out)?),
        Language::JavaScript => javascript(folder, "transform.js", out),
        Language::TypeScript => javascript(folder, "src/transform.ts", out),
        Language::Python => run(folder, python(folder, out)?),
    }
}

fn run(folder: &Path, mut command: Command) -> anyhow::Result<()> {
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
    let asc = npm_tool(folder, "asc", "WSTREAM_ASC")?;
    let mut command = start(&asc);
    command
        .args(["transform.ts", "-O3", "--runtime", "minimal"])
        .args(["--enable", "simd", "--enable", "bulk-memory", "-o"])
        .arg(out);
    Ok(command)
}

/// Bundles the code and what it imports, without types, and makes a component of the bundle: what
/// the SDK exports of it.
fn javascript(folder: &Path, code: &str, out: &Path) -> anyhow::Result<()> {
    let esbuild = npm_tool(folder, "esbuild", "WSTREAM_ESBUILD")?;
    let componentize = npm_tool(folder, "componentize-js", "WSTREAM_COMPONENTIZE_JS")?;
    let bundle = out.with_extension("js");
    let mut outfile = OsString::from("--outfile=");
    outfile.push(&bundle);
    let mut bundled = start(&esbuild);
    bundled
        .args([JAVASCRIPT_COMPONENT, "--bundle", "--format=esm"])
        .arg("--platform=neutral")
        .arg(format!("--alias:transform=./{code}"))
        .args(["--external:wstream:*", "--log-level=warning"])
        .arg(outfile);
    let mut component = start(&componentize);
    component
        .arg(&bundle)
        .args(["--wit", WIT, "--world-name", WORLD, "--disable"])
        .args(["stdio", "random", "clocks", "http", "fetch-event", "--out"])
        .arg(out);
    run(folder, bundled)?;
    let made = run(folder, component);
    std::fs::remove_file(&bundle).with_context(|| format!("cannot remove {}", bundle.display()))?;
    made
}

fn python(folder: &Path, out: &Path) -> anyhow::Result<Command> {
    let own = std::path::absolute(folder)?.join(".venv/bin/componentize-py");
    let found = [
        named("WSTREAM_COMPONENTIZE_PY"),
        Some(vec![own.into()]),
        Some(vec!["componentize-py".into()]),
    ];
    let mut found = found.into_iter().flatten();
    let Some(componentize) = found.find(|program| runs(program, &["--version"])) else {
        bail!(
            "there is no componentize-py\n  hint: run `pip install -r requirements.txt` in {}, or \
             set WSTREAM_COMPONENTIZE_PY",
            folder.display()
        );
    };
    let mut command = start(&componentize);
    command
        .args(["--quiet", "--wit-path", WIT])
        .args(["--world", &format!("wstream:transform/{WORLD}")])
        .args(["componentize", "--stub-wasi", PYTHON_COMPONENT])
        .arg("--output")
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

/// A program of npm: the one that is named, that of the folder, or that of the path.
fn npm_tool(folder: &Path, program: &str, variable: &str) -> anyhow::Result<Vec<OsString>> {
    let own = std::path::absolute(folder)?.join("node_modules/.bin");
    let own = own.join(program);
    let found = [
        named(variable),
        Some(vec![own.into()]),
        Some(vec![program.into()]),
    ];
    let mut found = found.into_iter().flatten();
    let Some(words) = found.find(|words| runs(words, &["--version"])) else {
        bail!(
            "there is no {program}\n  hint: run `npm install` in {}, or set {variable}",
            folder.display()
        );
    };
    Ok(words)
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
