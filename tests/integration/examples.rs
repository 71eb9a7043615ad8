//! Every folder of `examples/` runs as its README says, and gives what stands beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{NodeBuilder, project};

/// A node for an example, with the transforms compiled.
fn example(name: &str, data: &Path) -> NodeBuilder {
    NodeBuilder::new(data).file(&project().join("examples").join(name).join("wstream.toml"))
}

fn expected(name: &str) -> String {
    let path = project().join("examples").join(name).join("expected.jsonl");
    std::fs::read_to_string(path).unwrap()
}

/// The lines of all files of a folder.
fn lines(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap());
    texts.collect()
}

#[test]
fn jsonl_file_filters_and_redacts_into_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let node = example("jsonl-file", &dir.path().join("data")).env("OUT", out.to_str().unwrap());
    // A second run finds nothing new and writes nothing again.
    for _ in 0..2 {
        let output = node.clone().arg("--fail-on-dead-letter").once();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(lines(&out), expected("jsonl-file"));
    }
}

#[test]
fn stdout_prints_every_record_and_counts_the_bad_row() {
    let dir = tempfile::tempdir().unwrap();
    let node = example("stdout", &dir.path().join("data"));
    let output = node.once();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let records: Vec<_> = output
        .stdout
        .lines()
        .filter(|l| l.starts_with('{'))
        .collect();
    let want = expected("stdout");
    assert_eq!(records, want.lines().collect::<Vec<_>>());
    let again = example("stdout", &dir.path().join("other")).arg("--fail-on-dead-letter");
    assert_eq!(again.once().code, 1);
}

fn make_catalogue(folder: &Path) {
    let script = project().join("examples/netflix/make_catalogue.py");
    let made = Command::new("python3")
        .arg(script)
        .arg(folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{stderr}");
}

/// The rows of a CSV file as another reader sees them.
fn rows(path: &Path) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.records().map(Result::unwrap).collect()
}

#[test]
fn netflix_indexes_the_made_catalogue_whole() {
    let dir = tempfile::tempdir().unwrap();
    make_catalogue(dir.path());
    let (titles, credits) = (
        dir.path().join("titles.csv"),
        dir.path().join("credits.csv"),
    );
    let node = example("netflix", &dir.path().join("data"))
        .env("TITLES", titles.to_str().unwrap())
        .env("CREDITS", credits.to_str().unwrap());
    let output = node.clone().arg("--fail-on-dead-letter").once();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let node = node.start();
    assert_eq!(node.count("netflix-titles"), 600);
    assert_eq!(node.count("netflix-credits"), 6_000);
}

#[test]
fn the_made_catalogue_is_the_same_every_time_and_has_the_quirks_of_the_real_one() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_catalogue(one.path());
    make_catalogue(two.path());
    for name in ["titles.csv", "credits.csv"] {
        let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
        assert_eq!(read(one.path()), read(two.path()), "{name}");
    }
    let titles = rows(&one.path().join("titles.csv"));
    assert_eq!(
        (titles.len(), rows(&one.path().join("credits.csv")).len()),
        (600, 6_000)
    );
    let with = |column: usize, has: &dyn Fn(&str) -> bool| {
        titles.iter().filter(|row| has(&row[column])).count()
    };
    assert_eq!(with(1, &str::is_empty), 1, "titles without a title");
    assert!(
        with(3, &|text| text.contains('\n')) > 10,
        "descriptions with line breaks"
    );
    assert!(
        with(7, &|list| list.starts_with('{')) > 300,
        "lists written as sets"
    );
    assert!(
        with(7, &|list| list.starts_with('[')) > 100,
        "lists written as lists"
    );
    assert!(
        with(7, &|list| list.contains('"')) > 3,
        "apostrophes in double quotes"
    );
    assert!(with(8, &|list| list == "{}") > 3, "empty lists");
    assert!(with(11, &str::is_empty) > 20, "titles without a score");
    for country in ["'KR'", "'US'"] {
        let lively = titles.iter().filter(|row| {
            row[8].contains(country) && (2017..=2022).contains(&row[4].parse::<u32>().unwrap())
        });
        assert!(lively.count() > 60, "{country} from 2017 to 2022");
    }
}
