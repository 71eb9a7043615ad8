//! The house stays livable: what a machine can see of STYLE's rules, checked on every file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::project;

const FILE_LINES_MAX: usize = 600;
const FILE_BYTES_MAX: u64 = 256 << 10;

/// The files git knows, relative to the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .arg("ls-files")
        .current_dir(project())
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = names
        .lines()
        .map(PathBuf::from)
        .filter(|f| project().join(f).exists())
        .collect();
    assert!(files.len() > 10, "git ls-files gives {} files", files.len());
    files
}

fn ends(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| extensions.contains(&e))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_default()
}

#[track_caller]
fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn no_source_file_is_long() {
    let long = files()
        .iter()
        .filter(|f| ends(f, &["rs", "js", "mjs", "css", "py", "sh"]))
        .map(|f| (f, read(f).lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(f, lines)| format!("{}: {lines} lines", f.display()))
        .collect::<Vec<_>>();
    none("files above 600 lines", &long);
}

#[test]
fn no_file_is_large() {
    let large = files()
        .iter()
        .filter(|f| f.as_path() != Path::new("Cargo.lock"))
        .filter(|f| !ends(f, &["png"]))
        .filter(|f| std::fs::metadata(project().join(f)).is_ok_and(|m| m.len() > FILE_BYTES_MAX))
        .map(|f| f.display().to_string())
        .collect::<Vec<_>>();
    none("files above 256 KiB", &large);
}

#[test]
fn sources_are_ascii_and_hold_no_leftovers() {
    let marks = [
        "FIXM",
        "// XX",
        "dbg!",
        "#[ignor",
        "todo!",
        "unimplemented!",
    ];
    let ends_of = ["E", "X", "(", "e", "(", "("];
    let mut found = Vec::new();
    for file in files().iter().filter(|f| ends(f, &["rs", "toml"])) {
        for (number, line) in read(file).lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            if !line.is_ascii() {
                found.push(format!("{place}: not ASCII"));
            }
            for (mark, end) in marks.iter().zip(ends_of) {
                if line.contains(&format!("{mark}{end}")) {
                    found.push(format!("{place}: {mark}{end}"));
                }
            }
        }
    }
    none("leftovers", &found);
}

#[test]
fn every_module_says_what_it_guarantees() {
    let silent = files()
        .iter()
        .filter(|f| ends(f, &["rs"]))
        .filter(|f| {
            let name = f.file_name().unwrap();
            let text = read(f);
            let needs = name == "lib.rs" || name == "mod.rs" || text.lines().count() > 100;
            needs && name != "tests.rs" && !text.trim_start().starts_with("//!")
        })
        .map(|f| f.display().to_string())
        .collect::<Vec<_>>();
    none("modules without a first sentence", &silent);
}

#[test]
fn heavy_dependencies_stay_behind_their_fence() {
    let fences = [
        ("sled", "host/crates/log"),
        ("wasmtime", "host/crates/transform"),
        ("tantivy", "host/crates/search"),
    ];
    let mut found = Vec::new();
    for file in files()
        .iter()
        .filter(|f| ends(f, &["rs"]) && f.starts_with("host"))
    {
        for (name, home) in fences {
            let uses = read(file)
                .lines()
                .any(|l| l.trim_start().starts_with(&format!("use {name}::")));
            if uses && !file.starts_with(home) {
                found.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    none("dependencies outside their crate", &found);
}

/// (folder of `host/src`, what it may take from the crate besides itself and the leaves)
const IMPORTS: &[(&str, &[&str])] = &[
    ("sources", &[]),
    ("groups", &[]),
    ("pipeline", &["sinks", "groups"]),
    ("sinks", &[]),
    ("dashboard", &["sinks", "http"]),
    ("elastic", &["http", "http_guard"]),
    (
        "api",
        &[
            "running",
            "http",
            "http_guard",
            "dashboard",
            "groups",
            "sources",
            "sinks",
            "pipeline",
            "registry",
            "schemas",
            "cases",
        ],
    ),
    ("registry", &[]),
    ("schemas", &[]),
];
const LEAVES: &[&str] = &[
    "metrics",
    "shutdown",
    "dead_letter",
    "documents",
    "http",
    "units",
];

#[test]
fn modules_import_only_what_stands_before_them() {
    let mut found = Vec::new();
    for file in files().iter().filter(|f| ends(f, &["rs"])) {
        let Ok(inside) = file.strip_prefix("host/src") else {
            continue;
        };
        let module = inside
            .iter()
            .next()
            .and_then(|m| m.to_str())
            .unwrap_or_default();
        let Some((_, allowed)) = IMPORTS.iter().find(|(m, _)| *m == module) else {
            continue;
        };
        for line in read(file).lines() {
            let Some(rest) = line.trim_start().split("crate::").nth(1) else {
                continue;
            };
            let other: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let fine = other == module
                || other.is_empty()
                || allowed.contains(&other.as_str())
                || LEAVES.contains(&other.as_str());
            if !fine && !line.trim_start().starts_with("//") {
                found.push(format!("{}: {other}", file.display()));
            }
        }
    }
    found.dedup();
    none("arrows against the data flow", &found);
}

#[test]
fn paths_that_the_architecture_names_exist() {
    let text = read(Path::new("ARCHITECTURE.md"));
    let mut missing = BTreeSet::new();
    for word in text.split('`').skip(1).step_by(2) {
        let path = word.split("::").next().unwrap_or_default();
        let looks = path.contains('/') && (path.ends_with(".rs") || path.ends_with('/'));
        let inside = [
            "host/",
            "guest-sdk/",
            "transforms/",
            "tests/",
            "examples/",
            "scripts/",
        ];
        if looks && inside.iter().any(|p| path.starts_with(p)) && !project().join(path).exists() {
            missing.insert(path.to_owned());
        }
    }
    none(
        "paths in ARCHITECTURE.md that are not there",
        &missing.into_iter().collect::<Vec<_>>(),
    );
}

#[test]
fn every_function_that_the_architecture_names_is_there() {
    let text = read(Path::new("ARCHITECTURE.md"));
    let mut missing = Vec::new();
    for word in text.split('`').skip(1).step_by(2) {
        let Some((path, name)) = word.split_once("::") else {
            continue;
        };
        if !path.ends_with(".rs") {
            continue;
        }
        let name = name.rsplit("::").next().unwrap_or(name);
        if !read(Path::new(path)).contains(&format!("fn {name}")) {
            missing.push(word.to_owned());
        }
    }
    none("functions in ARCHITECTURE.md that are not there", &missing);
}

#[test]
fn every_transform_has_cases_and_every_example_says_what_it_is() {
    let mut found = Vec::new();
    let folders = |name: &str| {
        let dirs = std::fs::read_dir(project().join(name)).unwrap();
        dirs.map(|d| d.unwrap().path())
            .filter(|p| p.is_dir())
            .collect::<Vec<_>>()
    };
    for dir in folders("transforms")
        .iter()
        .filter(|d| d.join("Cargo.toml").exists())
    {
        let cases = std::fs::read_to_string(dir.join("cases.jsonl")).unwrap_or_default();
        if cases.trim().is_empty() {
            found.push(format!("{}: no cases", dir.display()));
        }
    }
    for dir in folders("examples") {
        for name in ["README.md", "wstream.toml"] {
            if !dir.join(name).exists() {
                found.push(format!("{}: no {name}", dir.display()));
            }
        }
    }
    none("incomplete folders", &found);
}
