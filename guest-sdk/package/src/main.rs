//! `wstream-guest-package MODULE MANIFEST OUT`: writes OUT, unless it holds the same bytes already.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use wstream_guest_package::{Manifest, package};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, manifest, out] = arguments.as_slice() else {
        return fail("usage: wstream-guest-package MODULE MANIFEST OUT");
    };
    match run(module.as_ref(), manifest.as_ref(), out.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn run(module: &Path, manifest: &Path, out: &Path) -> Result<(), String> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let code = fs::read(module).map_err(|error| named(module, &error))?;
    let text = fs::read_to_string(manifest).map_err(|error| named(manifest, &error))?;
    let manifest = Manifest::parse(&text).map_err(|error| named(manifest, &error))?;
    let packaged = package(&code, &manifest).map_err(|error| named(module, &error))?;
    if fs::read(out).is_ok_and(|existing| existing == packaged) {
        return Ok(());
    }
    // Renamed into place: a node that loads the module never sees half of it.
    let part = out.with_extension("wasm.part");
    fs::write(&part, &packaged).map_err(|error| named(&part, &error))?;
    fs::rename(&part, out).map_err(|error| named(out, &error))
}

#[expect(clippy::print_stderr, reason = "a program's way to say why it stops")]
fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
