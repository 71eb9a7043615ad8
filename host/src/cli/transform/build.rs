//! `wstream transform build`: compiles a transform and gives the module its description.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use wstream_guest_package::{Manifest, package};
use wstream_transform::inspect;

use super::compilers::{self, unfinished};
use super::language::Language;
use super::{read, toolchain};
use crate::cli::output::{Output, bytes, to_stderr};

const EXAMPLES: &str = "\
Examples:
  wstream transform build                          the transform in this folder
  wstream transform build shout --out modules/shout.wasm
  wstream transform build . --module main.wasm     only add the description of transform.toml

The module goes to dist/NAME.wasm in the folder; of the project's own transforms to transforms/dist.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BuildArgs {
    /// The folder with transform.toml.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where the module goes.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A module that is compiled already, in any language.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

pub(super) fn execute(args: &BuildArgs, output: &mut Output) -> anyhow::Result<()> {
    let file = args.folder.join("transform.toml");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read {}: make a transform with `wstream transform new NAME`",
            file.display()
        )
    })?;
    let manifest = Manifest::parse(&text).with_context(|| file.display().to_string())?;
    let compiled = match &args.module {
        Some(module) => module.clone(),
        None => compile(&args.folder, &manifest.name)?,
    };
    let module = package(&read(&compiled)?, &manifest)?;
    if compiled == unfinished(&args.folder.join("dist"), &manifest.name) {
        std::fs::remove_file(&compiled)?;
    }
    inspect(&module).with_context(|| compiled.display().to_string())?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| dist(&args.folder).join(format!("{}.wasm", manifest.name)));
    write(&out, &module)?;
    Ok(output.line(&format!(
        "{}: {} {}, {}",
        out.display(),
        manifest.name,
        manifest.version,
        bytes(module.len() as u64)
    ))?)
}

/// Where modules of a transform in `folder` go.
fn dist(folder: &Path) -> PathBuf {
    super::new::project_around(folder).map_or_else(
        || folder.join("dist"),
        |project| project.join("transforms/dist"),
    )
}

/// Compiles the transform in a folder; its compiler's errors go to standard error.
fn compile(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let language = Language::of(folder)?;
    if language == Language::Rust {
        return compile_rust(folder);
    }
    let dist = folder.join("dist");
    std::fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
    let out = unfinished(&dist, name);
    compilers::compile(language, folder, &std::path::absolute(&out)?)?;
    Ok(out)
}

fn compile_rust(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut cargo = toolchain::cargo(folder)?;
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo: install Rust from https://rustup.rs")?;
    let messages = child
        .stdout
        .take()
        .context("cargo has no standard output")?;
    let mut module = None;
    for line in BufReader::new(messages).lines() {
        let line = line?;
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => module = wasm_of(&message).or(module),
            Err(_) => to_stderr(&line),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo could not compile {}", folder.display());
    }
    module.context(
        "cargo made no module: Cargo.toml needs [lib] with crate-type = [\"cdylib\", \"rlib\"]",
    )
}

/// The module of a message that names one. The package itself is the last to be compiled.
fn wasm_of(message: &Value) -> Option<PathBuf> {
    let files = message.get("filenames")?.as_array()?;
    let mut names = files.iter().filter_map(Value::as_str);
    names
        .find(|name| name.ends_with(".wasm"))
        .map(PathBuf::from)
}

/// Renamed into place: a node that loads the module never sees half of it.
fn write(out: &Path, module: &[u8]) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", out.display());
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).with_context(named)?;
    }
    let part = out.with_extension("wasm.part");
    std::fs::write(&part, module).with_context(named)?;
    std::fs::rename(&part, out).with_context(named)
}
