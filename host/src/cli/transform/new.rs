//! `wstream transform new`: a transform in Rust that compiles and passes its cases at once.
//!
//! Inside the project's `transforms` folder it becomes a member of the workspace; anywhere else it
//! carries a copy of the SDK, so that it needs nothing but Rust.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use rust_embed::RustEmbed;

use crate::cli::output::Output;

const NAME_BYTES_MAX: usize = 64;
const MANIFEST: &str = include_str!("template/transform.toml.in");
const CODE: &str = include_str!("template/lib.rs.in");
const CASES: &str = include_str!("template/cases.jsonl.in");
const PACKAGE: &str = include_str!("template/Cargo.toml.in");
const PACKAGE_IN_PROJECT: &str = include_str!("template/Cargo.project.toml.in");
const SDK_PACKAGE: &str = include_str!("template/Cargo.sdk.toml.in");

const EXAMPLES: &str = "\
Examples:
  wstream transform new shout
  cd shout && cargo test && wstream transform build
  wstream transform test dist/shout.wasm --cases cases.jsonl";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArgs {
    /// The transform's name: lower-case letters, digits and `-`.
    name: String,
    /// Where it goes [default: ./NAME].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// The SDK as it was when this program was built.
#[derive(RustEmbed)]
#[folder = "../guest-sdk/rust/src"]
struct Sdk;

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
    for (path, text) in files(name, project_around(&folder).is_some()) {
        let path = folder.join(path);
        let named = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(named)?;
        }
        std::fs::write(&path, text).with_context(named)?;
    }
    let shown = folder.display();
    output.line(&format!(
        "{shown}/src/lib.rs      the transform: a function from a record to outputs"
    ))?;
    output.line(&format!(
        "{shown}/cases.jsonl     what goes in and what comes out"
    ))?;
    output.line(&format!(
        "{shown}/transform.toml  name, version, outputs and configuration"
    ))?;
    Ok(output.line(&format!(
        "next: cd {shown} && cargo test && wstream transform build"
    ))?)
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
fn files(name: &str, in_project: bool) -> Vec<(String, Vec<u8>)> {
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
            .into_bytes()
    };
    let mut files = vec![
        ("src/lib.rs".to_owned(), filled(CODE)),
        ("cases.jsonl".to_owned(), filled(CASES)),
        ("transform.toml".to_owned(), filled(MANIFEST)),
    ];
    if in_project {
        files.push(("Cargo.toml".to_owned(), filled(PACKAGE_IN_PROJECT)));
        return files;
    }
    files.push(("Cargo.toml".to_owned(), filled(PACKAGE)));
    files.push((".gitignore".to_owned(), b"/target\n/dist\n".to_vec()));
    files.push((
        "wstream-guest/Cargo.toml".to_owned(),
        SDK_PACKAGE
            .replace("{version}", env!("CARGO_PKG_VERSION"))
            .into_bytes(),
    ));
    for path in Sdk::iter() {
        if let Some(file) = Sdk::get(&path) {
            files.push((format!("wstream-guest/src/{path}"), file.data.into_owned()));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_of_its_own_carries_the_sdk_and_one_of_the_project_does_not() {
        let paths = |in_project| -> Vec<String> {
            files("my-shout", in_project)
                .into_iter()
                .map(|(path, _)| path)
                .collect()
        };
        assert!(paths(false).contains(&"wstream-guest/src/lib.rs".to_owned()));
        assert_eq!(
            paths(true),
            ["src/lib.rs", "cases.jsonl", "transform.toml", "Cargo.toml"]
        );
        let code = String::from_utf8(files("my-shout", true).swap_remove(0).1).unwrap();
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
        assert_eq!(
            names(SDK_PACKAGE),
            names(&std::fs::read_to_string(project).unwrap())
        );
    }
}
