//! A full disk, a damaged segment, damaged metadata, a data directory that goes: refused or named
//! with the reason, nothing corrupt, work goes on where it can.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::harness::{Node, NodeBuilder, Output, skipped, until, wstream};

/// A small file system of its own, unmounted when dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where this process may not mount.
    pub fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={mib}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        let output = command.output().unwrap();
        if !output.status.success() {
            skipped(&format!(
                "may not mount: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a node that is being dropped may still hold it.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn create(node: &Node, topic: &str) {
    let body = format!(r#"{{"name": "{topic}"}}"#);
    assert_eq!(
        node.ask("POST", "/api/v1/topics", &[], body.as_bytes())
            .status,
        201
    );
}

/// Appends about 200 KB and says the status.
fn append(node: &Node, topic: &str) -> (u16, String) {
    let value = "x".repeat(1000);
    let lines: String = (0..200)
        .map(|_| format!("{{\"value\":\"{value}\"}}\n"))
        .collect();
    let path = format!("/api/v1/topics/{topic}/records");
    let answer = node.ask("POST", &path, &[], lines.as_bytes());
    (answer.status, answer.text())
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 64) else {
        return;
    };
    let builder = NodeBuilder::new(&disk.0.join("data"))
        .arg("--disk-free-min")
        .arg("16MiB");
    let node = builder.start();
    create(&node, "t");
    let mut taken = 0;
    let refused = until("a refusal", || match append(&node, "t") {
        (200, _) => {
            taken += 200;
            None
        }
        refused => Some(refused),
    });
    assert_eq!(refused.0, 507, "{}", refused.1);
    assert!(
        refused.1.contains("disk_full") && refused.1.contains("free"),
        "{}",
        refused.1
    );
    // A request is several batches: the error counts those in front of the one that was refused.
    let (_, counted) = refused.1.split_once("; ").unwrap();
    let (stored, _) = counted
        .split_once(" records of this request were stored")
        .unwrap();
    taken += stored.parse::<usize>().unwrap();
    assert_eq!(
        node.get("/api/v1/topics/t")["records"],
        taken,
        "nothing half-written is visible"
    );

    let resize = Command::new("mount")
        .args(["-o", "remount,size=128m"])
        .arg(&disk.0)
        .status();
    assert!(resize.unwrap().success());
    until("appends to work again", || {
        (append(&node, "t").0 == 200).then_some(())
    });
    let builder = node.kill();
    let node = builder.start();
    assert_eq!(node.get("/api/v1/topics/t")["records"], taken + 200);
}

#[test]
fn records_of_a_damaged_segment_are_named_and_work_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let builder = NodeBuilder::new(dir.path());
    let node = builder.start();
    create(&node, "bad");
    assert_eq!(append(&node, "bad").0, 200);
    assert_eq!(node.get("/api/v1/node")["missing"], json!([]));
    drop(node.kill());
    let db = find(&dir.path().join("log"), "db").expect("sled's file");
    let mut bytes = std::fs::read(&db).unwrap();
    let (from, to) = (bytes.len() / 4, bytes.len() / 2);
    bytes[from..to].fill(0xa5);
    std::fs::write(&db, &bytes).unwrap();

    let node = builder.start();
    let missing = node.get("/api/v1/node")["missing"].clone();
    let missing = missing.as_array().unwrap();
    assert!(
        missing.iter().any(|m| m["partition"]["topic"] == "bad"),
        "{missing:?}"
    );
    assert!(
        node.stderr().contains("records are missing"),
        "{}",
        node.stderr()
    );
    let metrics = node.ask("GET", "/metrics", &[], b"").text();
    let ranges = format!("wstream_log_missing_ranges {}\n", missing.len());
    assert!(metrics.contains(&ranges), "{metrics}");
    let (status, text) = append(&node, "bad");
    assert_eq!(status, 200, "{text}");
    let appended: serde_json::Value = serde_json::from_str(&text).unwrap();
    let base = appended["offsets"][0]["base_offset"].as_u64().unwrap();
    assert!(base >= 200, "offset {base} is given twice");
    let lines = node
        .ask("GET", "/api/v1/topics/bad/records", &[], b"")
        .text();
    let is_told = |line: &&str| line.starts_with("{\"missing\"");
    let told: Vec<&str> = lines.lines().filter(is_told).collect();
    let told = told.join("\n");
    assert!(lines.lines().count() >= 200);
    assert!(
        told.contains("\"reason\":\"damage\"") && !told.contains("\"unknown\""),
        "{told}"
    );
    let path = "/api/v1/topics/bad/records?missing=false";
    let quiet = node.ask("GET", path, &[], b"").text();
    assert!(!quiet.contains("{\"missing\"") && quiet.lines().count() >= 200);
    let address = node.http();
    let consumed = Output::of(&mut wstream(["consume", "bad", "--node", &address]));
    assert_eq!(consumed.code, 0);
    assert_eq!(consumed.stdout.lines().count(), quiet.lines().count());
    assert!(
        consumed
            .stderr
            .contains("are missing: stored and not readable: "),
        "{}",
        consumed.stderr
    );
    until("a copy of the damaged files", || {
        find(&dir.path().join("aside"), "db")
    });
}

#[test]
fn a_data_directory_that_goes_is_noticed_and_nothing_more_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = NodeBuilder::new(&data).start();
    create(&node, "t");
    assert_eq!(append(&node, "t").0, 200);
    std::fs::rename(&data, dir.path().join("gone")).unwrap();
    let refused = until("a refusal", || {
        let (status, text) = append(&node, "t");
        (status != 200).then_some(text)
    });
    assert!(refused.contains("not there any more"), "{refused}");
    let ready = node.ask("GET", "/health/ready", &[], b"");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("data directory"), "{}", ready.text());
}

#[test]
fn damaged_metadata_refuses_the_start_and_is_restored_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let builder = NodeBuilder::new(&data);
    let node = builder.start();
    create(&node, "before");
    let builder = node.kill();
    let node = builder.start();
    create(&node, "after");
    drop(node.kill());
    let commands = newest(&data.join("metadata")).join("commands/db");
    let mut bytes = std::fs::read(&commands).unwrap();
    bytes.iter_mut().for_each(|b| *b ^= 0x10);
    std::fs::write(&commands, bytes).unwrap();

    let data = data.display().to_string();
    let run = [
        "run",
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
        "--search",
        "127.0.0.1:0",
    ];
    let refused = Output::of(&mut wstream(run));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("wstream restore"),
        "{}",
        refused.stderr
    );
    let restored = Output::of(&mut wstream(["restore", "--data", &data]));
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    for part in ["was damaged", "are lost", "kept in"] {
        assert!(restored.stdout.contains(part), "{}", restored.stdout);
    }
    let whole = Output::of(&mut wstream(["restore", "--data", &data]));
    assert!(
        whole.stdout.contains("nothing was changed"),
        "{}",
        whole.stdout
    );
    let node = builder.start();
    assert_eq!(
        node.ask("GET", "/api/v1/topics/before", &[], b"").status,
        200
    );
    let running = Output::of(&mut wstream(["restore", "--data", &data]));
    assert!(
        running.code == 1 && running.stderr.contains("in use"),
        "{}",
        running.stderr
    );
}

/// The last folder by name.
fn newest(dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).max().unwrap()
}

/// The first file or folder of that name below `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .ok()?
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    let hit = entries
        .iter()
        .find(|p| p.file_name().is_some_and(|n| n == name))
        .cloned();
    hit.or_else(|| {
        entries
            .iter()
            .filter(|p| p.is_dir())
            .find_map(|p| find(p, name))
    })
}

/// Fills a file system to its last byte.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![b'x'; 64 << 10];
    let mut length = block.len();
    while length > 0 {
        if file.write_all(&block[..length]).is_err() {
            length /= 2;
        }
    }
}

/// Nothing fits any more, and yet the node starts, says so, serves what it has, and deletions make room.
#[test]
fn a_node_starts_on_a_disk_without_any_room_and_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 128) else {
        return;
    };
    let builder = NodeBuilder::new(&disk.0.join("data"))
        .arg("--disk-free-min")
        .arg("16MiB");
    let node = builder.start();
    for topic in ["kept", "deleted"] {
        create(&node, topic);
    }
    assert_eq!(append(&node, "kept").0, 200);
    for _ in 0..200 {
        assert_eq!(append(&node, "deleted").0, 200);
    }
    let builder = node.kill();
    fill(&disk.0.join("filler"));

    let node = builder.start();
    node.wait_for_line("the disk is full");
    let ready = node.ask("GET", "/health/ready", &[], b"");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains("bytes free"), "{}", ready.text());
    let refused = append(&node, "kept");
    assert_eq!(refused.0, 507, "{}", refused.1);
    assert!(refused.1.contains("disk_full"), "{}", refused.1);
    assert_eq!(node.get("/api/v1/topics/kept")["records"], 200);
    let records = node.ask("GET", "/api/v1/topics/kept/records?limit=10", &[], b"");
    assert_eq!(records.status, 200, "{}", records.text());

    let deleted = node.ask("DELETE", "/api/v1/topics/deleted", &[], b"");
    assert!(deleted.status < 300, "{}", deleted.text());
    until("appends to work again", || {
        (append(&node, "kept").0 == 200).then_some(())
    });
    let builder = node.kill();
    let node = builder.start();
    assert_eq!(node.get("/api/v1/topics/kept")["records"], 400);
}

fn forgotten(data: &Path, args: &[&str]) -> Output {
    let mut command = wstream(["log", "forgotten"]);
    command.args(args).arg("--data").arg(data);
    Output::of(&mut command)
}

/// The ids that `wstream log forgotten list` shows, with the end of the log.
fn listed(data: &Path) -> Vec<(String, String)> {
    let list = forgotten(data, &["list"]);
    assert_eq!(list.code, 0, "{}", list.stderr);
    let rows = list.stdout.lines().filter(|line| line.contains('-'));
    let rows = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[3].to_owned()))
        .collect()
}

#[test]
fn records_that_the_metadata_has_forgotten_are_adopted_or_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let builder = NodeBuilder::new(&data);
    let node = builder.start();
    for (topic, times) in [("one", 1), ("two", 2)] {
        create(&node, topic);
        for _ in 0..times {
            assert_eq!(append(&node, topic).0, 200);
        }
    }
    let running = forgotten(&data, &["list"]);
    assert!(
        running.code == 1 && running.stderr.contains("in use"),
        "{}",
        running.stderr
    );
    let builder = node.kill();
    assert!(listed(&data).is_empty(), "all is known");
    std::fs::remove_dir_all(data.join("metadata")).unwrap();
    std::fs::remove_file(data.join("metadata.end")).unwrap();

    let node = builder.start();
    assert!(
        node.stderr().contains("wstream log forgotten"),
        "{}",
        node.stderr()
    );
    create(&node, "taken");
    let builder = node.kill();
    let all = listed(&data);
    let id_of = |end: &str| {
        let found = all.iter().find(|(_, of)| of == end);
        found.unwrap_or_else(|| panic!("{end}: {all:?}")).0.clone()
    };
    let (one, two) = (id_of("200"), id_of("400"));

    for (args, code, said) in [
        (["adopt", &one, "taken"], 1, "exists already"),
        (
            ["adopt", "00000000-0000-0000-0000-000000000001", "x"],
            1,
            "no forgotten data",
        ),
        (["adopt", &one, "again"], 0, "is topic again"),
        (["adopt", &one, "twice"], 1, "no forgotten data"),
    ] {
        let output = forgotten(&data, &args);
        let text = output.stdout.clone() + &output.stderr;
        assert!(
            output.code == code && text.contains(said),
            "{args:?}: {text}"
        );
    }
    let discarded = forgotten(&data, &["discard", &two]);
    assert_eq!(discarded.code, 0, "{}", discarded.stderr);
    let left = listed(&data);
    assert!(
        left.iter().all(|(id, _)| *id != one && *id != two),
        "{left:?}"
    );

    let node = builder.start();
    assert_eq!(node.get("/api/v1/topics/again")["records"], 200);
    assert_eq!(append(&node, "again").0, 200);
    let builder = node.kill();
    let node = builder.start();
    assert_eq!(node.get("/api/v1/topics/again")["records"], 400);
    assert!(!node.stderr().contains(&two), "{}", node.stderr());
}
