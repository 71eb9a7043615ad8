//! Each shipped transform's cases through wasmtime, by the command that a user runs.

use std::path::PathBuf;

use super::harness::{Output, project, wstream};

/// The shipped transforms.
fn transforms() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(project().join("transforms")).unwrap();
    let mut found: Vec<_> = folders.map(|d| d.unwrap().path()).collect();
    found.retain(|p| p.join("cases.jsonl").exists());
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

#[test]
fn every_shipped_transform_passes_its_cases_as_wasm() {
    for folder in transforms() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let module = project().join(format!("transforms/dist/{name}.wasm"));
        assert!(
            module.exists(),
            "{} is missing: run scripts/guests.sh",
            module.display()
        );
        let mut command = wstream(["transform", "test"]);
        command
            .arg(&module)
            .arg("--cases")
            .arg(folder.join("cases.jsonl"));
        let output = Output::of(&mut command);
        assert_eq!(
            output.code, 0,
            "{name}:\n{}{}",
            output.stdout, output.stderr
        );
    }
}

#[test]
fn show_tells_a_modules_abi_and_metadata() {
    let module = project().join("transforms/dist/netflix-titles.wasm");
    let mut command = wstream(["transform", "show"]);
    let output = Output::of(command.arg(module));
    assert_eq!(output.code, 0, "{}", output.stderr);
    for word in ["wstream_v1", "netflix-titles", "min_year"] {
        assert!(
            output.stdout.contains(word),
            "no {word} in {}",
            output.stdout
        );
    }
}
