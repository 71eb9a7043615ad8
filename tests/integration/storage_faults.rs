//! A full disk, a segment that does not open: refused or set aside with the reason, nothing
//! corrupt, work goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Node, NodeBuilder, skipped, until};

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
fn a_segment_that_does_not_open_is_set_aside_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let builder = NodeBuilder::new(dir.path());
    let node = builder.start();
    create(&node, "good");
    create(&node, "bad");
    for topic in ["good", "bad"] {
        assert_eq!(append(&node, topic).0, 200);
    }
    // After a clean stop the damage would be met at the first read, after a kill at the start.
    drop(node.kill());
    let segment = find(&dir.path().join("log"), "bad-0").expect("the partition's folder");
    let db = find(&segment, "db").expect("sled's file");
    let conf = db.parent().unwrap().join("conf");
    std::fs::write(conf, b"no configuration of sled").unwrap();
    std::fs::write(db, vec![0xa5; 4096]).unwrap();

    let node = builder.start();
    assert_eq!(node.get("/api/v1/topics/good")["records"], 200);
    let aside = node.get("/api/v1/node")["segments_set_aside"].clone();
    assert_eq!(aside[0]["partition"]["topic"], "bad", "{aside}");
    let kept = aside[0]["kept_at"].as_str().unwrap();
    assert!(Path::new(kept).exists(), "{kept} was deleted");
    assert!(node.stderr().contains("bad"), "{}", node.stderr());
    assert_eq!(append(&node, "good").0, 200);
    assert_eq!(append(&node, "bad").0, 200);
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
