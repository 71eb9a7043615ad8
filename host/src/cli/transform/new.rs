//! `wstream transform new`: a transform that compiles and passes its cases at once.
//!
//! It carries a copy of its language's SDK, so that it needs nothing but the language's compiler.
//! In Rust, inside the project's `transforms` folder, it becomes a member of the workspace instead.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::language::Language;
use crate::cli::output::Output;

const NAME_BYTES_MAX: usize = 64;
const MANIFEST: &str = include_str!("template/transform.toml.in");
const CASES: &str = include_str!("template/cases.jsonl.in");
const PACKAGE_IN_PROJECT: &str = include_str!("template/rust/Cargo.project.toml.in");

const EXAMPLES: &str = "\
Examples:
  wstream transform new shout
  cd shout && cargo test && wstream transform build
  wstream transform new shout --lang go
  wstream transform test dist/shout.wasm --cases cases.jsonl";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArgs {
    /// The transform's name: lower-case letters, digits and `-`.
    name: String,
    /// Where it goes [default: ./NAME].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The language it is written in.
    #[arg(long = "lang", value_name = "LANGUAGE", default_value = "rust")]
    language: Language,
}

pub(super) fn execute(args: &NewArgs, output: &mut Output) -> anyhow::Result<()> {
    let name = &args.name;
    check_name(name)?;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        bail!(
            "{} exists already: choose another name, or --folder",
            folder.display()
        );
    }
    let in_project = args.language == Language::Rust && project_around(&folder).is_some();
    for (path, text) in files(name, args.language, in_project) {
        let path = folder.join(path);
        let named = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(named)?;
        }
        std::fs::write(&path, text).with_context(named)?;
    }
    let shown = folder.display();
    let (code, first) = args.language.start();
    let rows = [
        (code, "the transform: a function from a record to outputs"),
        ("cases.jsonl", "what goes in and what comes out"),
        ("transform.toml", "name, version, outputs and configuration"),
    ];
    for (file, what) in rows {
        output.line(&format!("{shown}/{file:<15} {what}"))?;
    }
    Ok(output.line(&format!("next: cd {shown} && {first}"))?)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
    if !fits || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name == "test" {
        bail!(
            "{name:?} cannot name a transform: use lower-case letters, digits and '-', a letter first"
        );
    }
    Ok(())
}

/// The project's root, if `folder` is one of its transforms.
pub(super) fn project_around(folder: &Path) -> Option<PathBuf> {
    let transforms = std::path::absolute(folder).ok()?.parent()?.to_owned();
    let project = transforms.parent()?;
    let ours =
        transforms.ends_with("transforms") && project.join("guest-sdk/rust/Cargo.toml").exists();
    ours.then(|| project.to_owned())
}

/// Every file by its path.
fn files(name: &str, language: Language, in_project: bool) -> Vec<(String, Vec<u8>)> {
    let type_name: String = name
        .split('-')
        .flat_map(|word| {
            word.chars()
                .take(1)
                .map(|c| c.to_ascii_uppercase())
                .chain(word.chars().skip(1))
        })
        .collect();
    let filled = |text: &str| {
        text.replace("{name}", name)
            .replace("{Name}", &type_name)
            .replace("{version}", env!("CARGO_PKG_VERSION"))
            .into_bytes()
    };
    let mut files = vec![
        ("cases.jsonl".to_owned(), filled(CASES)),
        ("transform.toml".to_owned(), filled(MANIFEST)),
    ];
    if in_project {
        let code = language.templates().iter().take(1);
        let package = [("Cargo.toml", PACKAGE_IN_PROJECT)];
        files.extend(
            code.chain(&package)
                .map(|(path, text)| ((*path).to_owned(), filled(text))),
        );
        return files;
    }
    for (path, text) in language.templates() {
        files.push(((*path).to_owned(), filled(text)));
    }
    files.push((".gitignore".to_owned(), language.ignored().into()));
    files.extend(language.sdk());
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_of_its_own_carries_the_sdk_and_one_of_the_project_does_not() {
        let paths = |in_project| -> Vec<String> {
            files("my-shout", Language::Rust, in_project)
                .into_iter()
                .map(|(path, _)| path)
                .collect()
        };
        assert!(paths(false).contains(&"wstream-guest/src/lib.rs".to_owned()));
        assert_eq!(
            paths(true),
            ["cases.jsonl", "transform.toml", "src/lib.rs", "Cargo.toml"]
        );
        let code = String::from_utf8(files("my-shout", Language::Rust, true).swap_remove(2).1);
        let code = code.unwrap();
        assert!(code.contains("export!(MyShout);"), "{code}");
    }

    #[test]
    fn names_become_package_names() {
        for good in ["a", "netflix-titles", "v2"] {
            check_name(good).unwrap();
        }
        for bad in ["", "A", "a_b", "2a", "a/b", "-a", "test"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    /// The copy of the SDK has a manifest of its own, which must name what the SDK uses.
    #[test]
    fn the_copied_sdk_names_the_sdks_dependencies() {
        let names = |text: &str| -> Vec<String> {
            let table: toml::Table = text.parse().unwrap();
            table["dependencies"]
                .as_table()
                .unwrap()
                .keys()
                .cloned()
                .collect()
        };
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/rust/Cargo.toml");
        let copied = Language::Rust.templates().iter();
        let copied = copied
            .clone()
            .find(|(path, _)| *path == "wstream-guest/Cargo.toml");
        assert_eq!(
            names(copied.unwrap().1),
            names(&std::fs::read_to_string(project).unwrap())
        );
    }
}
