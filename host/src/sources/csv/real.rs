//! The reader against others: Python's csv module on the real catalogue, the `csv` crate on rows
//! that it wrote itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use wstream_record::TopicName;

use crate::sources::conformance::read_all;
use crate::sources::{CsvConfig, SourceConfig, file};

fn shared(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared =
        std::env::var_os("WSTREAM_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let path = shared.join("data/netflix").join(name);
    if !path.exists() {
        // Past the capture of a test's output: the test script counts these lines.
        writeln!(
            std::io::stderr(),
            "skipped: {} is not there",
            path.display()
        )
        .unwrap();
    }
    path.exists().then_some(path)
}

/// Values of all records, in order.
fn values(path: &Path) -> Vec<String> {
    let config = CsvConfig::new(path.to_owned(), TopicName::new("t").unwrap());
    let mut source = file::open(&SourceConfig::Csv(config), None).unwrap().source;
    let given = read_all(source.as_mut(), usize::MAX);
    assert!(
        given.iter().all(|g| !g.0),
        "dead letters: {:?}",
        given.iter().find(|g| g.0)
    );
    given.into_iter().map(|g| g.2).collect()
}

const PYTHON: &str = r#"
import csv, json, sys
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8", newline="")):
    print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
"#;

#[test]
fn the_real_catalogue_reads_as_python_reads_it() {
    for (name, count) in [("titles.csv", 5_850), ("credits.csv", 77_801)] {
        let Some(path) = shared(name) else { return };
        let output = Command::new("python3")
            .env("PYTHONIOENCODING", "utf-8")
            .args(["-c", PYTHON, path.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let want: Vec<_> = text.lines().collect();
        assert_eq!(want.len(), count);
        let got = values(&path);
        assert_eq!(got.len(), count);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for (n, (got, want)) in got.iter().zip(want).enumerate() {
            // The bytes are the same but for how control characters are written.
            assert!(
                got == want || parse(got) == parse(want),
                "row {n}: {got}\n{want}"
            );
        }
    }
}

proptest! {
    #[test]
    fn what_the_csv_crate_writes_is_read_back(
        rows in prop::collection::vec(prop::array::uniform3("[ a-c\",\r\n\u{e4}\u{1f600}]{0,6}"), 1..20),
        crlf: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.csv");
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_path(&path).unwrap();
        writer.write_record(["x", "y", "z"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.flush().unwrap();
        let want = rows.iter().map(|[x, y, z]| serde_json::json!({"x": x, "y": y, "z": z}));
        let want: Vec<_> = want.map(|row| row.to_string()).collect();
        prop_assert_eq!(values(&path), want);
    }
}
