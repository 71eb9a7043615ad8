//! The metadata: commands and states, kills anywhere, damage anywhere.

mod damage;
mod kills;
mod machine;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::testing::{Random, copy_dir};

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn id(n: u8) -> TopicId {
    TopicId::from_random([n; 16])
}

/// A command that a seed determines; about half of them are refused.
fn random_command(random: &mut Random) -> Command {
    let topic = ["a", "b", "c", "d", "e"][random.below(5)];
    let topic = TopicName::new(topic).unwrap();
    let kind = ["schema", "dashboard"][random.below(2)].to_owned();
    let document = format!("n{}", random.below(6));
    let partitions = i32::try_from(random.below(5)).unwrap();
    let version = u64::try_from(random.below(60)).unwrap();
    match random.below(14) {
        0..=2 => {
            let mut bytes = [0; 16];
            bytes.fill_with(|| u8::try_from(random.below(256)).unwrap());
            Command::CreateTopic {
                name: topic,
                id: TopicId::from_random(bytes),
                spec: random_spec(random, partitions),
            }
        }
        3 => Command::AlterTopic {
            name: topic,
            change: random_spec(random, partitions).into(),
        },
        4 => Command::AlterTopic {
            name: topic,
            change: TopicChange::Some {
                partitions: (random.below(2) == 0).then_some(partitions),
                set: random_spec(random, 1).overrides,
                unset: BTreeSet::from(["segment.ms".to_owned()]),
            },
        },
        5 => Command::DeleteTopic {
            name: topic,
            id: None,
        },
        6..=9 => Command::PutDocument {
            kind,
            name: document,
            condition: [
                Condition::Always,
                Condition::IfAbsent,
                Condition::IfVersion(version),
            ][random.below(3)],
            body: random_body(random),
        },
        10 => Command::DeleteDocument {
            kind,
            name: document,
            if_version: (random.below(2) == 0).then_some(version),
        },
        11 => Command::ProducerIds {
            count: i64::try_from(random.below(2_000)).unwrap(),
        },
        12 => Command::NodeStarted,
        _ => Command::Noop,
    }
}

fn random_body(random: &mut Random) -> Bytes {
    let bytes = [0, 1, 100, 4_096, 9_000, 70_000][random.below(6)];
    let byte = u8::try_from(random.below(256)).unwrap();
    Bytes::from(vec![byte; bytes])
}

fn random_spec(random: &mut Random, partitions: i32) -> TopicSpec {
    let settings = [
        ("retention.ms", "5"),
        ("segment.ms", "7"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "nothing"),
        ("retention.bytes", "-1"),
    ];
    let mut spec = TopicSpec::partitions(partitions);
    for _ in 0..random.below(3) {
        let (key, value) = settings[random.below(settings.len())];
        spec = spec.with(key, value);
    }
    spec
}

fn state_of(metadata: &Metadata) -> State {
    metadata.0.state.read().clone()
}

/// The files below a directory with their bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// sled writes a value into a file of its own once a leaf has grown too large; nobody syncs it.
fn assert_no_blobs(dir: &Path) {
    for path in files(dir).keys() {
        let blob = path.components().any(|c| c.as_os_str() == "blobs");
        assert!(!blob, "{}", path.display());
    }
}
