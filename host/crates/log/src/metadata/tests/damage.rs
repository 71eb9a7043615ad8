//! Damaged files: everything is there, or the start is refused by name and changes nothing.

use std::fs;

use super::*;

/// Flipped bits of each file.
const FLIPS: usize = 44;

/// Metadata with two generations, and its states by the index of the last command.
struct Sample {
    root: tempfile::TempDir,
    states: BTreeMap<u64, State>,
}

fn sample(seed: u64) -> Sample {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("metadata");
    let mut random = Random::new(seed);
    let mut states = BTreeMap::from([(0, State::default())]);
    let metadata = Metadata::open(path).unwrap();
    metadata.node_started().unwrap();
    states.insert(1, state_of(&metadata));
    // The second generation begins with command 40 and has 25 of its own.
    while metadata.index() < 65 {
        metadata.apply_now(random_command(&mut random)).unwrap();
        states.insert(metadata.index(), state_of(&metadata));
    }
    metadata.close();
    assert_eq!(
        reading::generations(&root.path().join("metadata")).unwrap(),
        BTreeSet::from([1, 2])
    );
    assert_no_blobs(root.path());
    let topics = states[&65].topics.len();
    assert!(topics >= 2, "{topics} topics");
    Sample { root, states }
}

/// What became of a damaged copy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    whole: usize,
    refused: usize,
    lost: usize,
}

impl Sample {
    fn last(&self) -> &State {
        self.states.last_key_value().unwrap().1
    }

    /// Damages a copy and checks all that is promised.
    fn trial(&self, what: &str, counts: &mut Counts, damage: impl FnOnce(&Path)) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.root.path(), copy.path());
        damage(copy.path());
        let path = copy.path().join("metadata");
        let before = files(copy.path());
        match Metadata::open(path.clone()) {
            Ok(metadata) => {
                assert_eq!(&state_of(&metadata), self.last(), "{what}");
                counts.whole += 1;
                return;
            }
            Err(MetadataError::Damaged { intact, reason, .. }) => {
                assert!(!reason.is_empty(), "{what}");
                assert!(self.states.contains_key(&intact), "{what}: {intact}");
                counts.refused += 1;
            }
            Err(other) => panic!("{what}: {other}"),
        }
        assert!(files(copy.path()) == before, "{what}: files were changed");
        let restored = Metadata::restore(&path).unwrap();
        assert!(restored.damage.is_some(), "{what}");
        let kept = files(restored.kept_at.as_ref().unwrap());
        let db = |path: &PathBuf| path.file_name().is_some_and(|name| name == "db");
        let (had, has) = (
            before.keys().filter(|p| db(p)),
            kept.keys().filter(|p| db(p)),
        );
        assert_eq!(had.count(), has.count(), "{what}");
        if restored.intact < 65 {
            counts.lost += 1;
            assert!(restored.to_string().contains("lost"), "{what}: {restored}");
        }
        self.check_restored(what, &path, &restored);
    }

    fn check_restored(&self, what: &str, path: &Path, restored: &Restored) {
        let metadata = Metadata::open(path.to_owned()).unwrap();
        let state = state_of(&metadata);
        let expected = &self.states[&restored.intact];
        assert_eq!(state.topics, expected.topics, "{what}");
        assert_eq!(state.documents, expected.documents, "{what}");
        assert_eq!(state.deleted, expected.deleted, "{what}");
        assert_eq!(restored.topics, expected.topics.len(), "{what}");
        // What lost commands may have given out is not given out again.
        assert!(state.index() > 65, "{what}");
        assert!(state.epoch > self.last().epoch, "{what}");
        assert!(
            state.producer_ids_below > self.last().producer_ids_below,
            "{what}"
        );
        metadata.apply_now(Command::NodeStarted).unwrap();
        metadata.close();
        let again = Metadata::restore(path).unwrap();
        assert_eq!(again.damage, None, "{what}");
        assert_eq!(again.intact, state.index() + 1, "{what}");
    }
}

/// A place in a file, half the time one that holds something.
fn place(random: &mut Random, bytes: &[u8]) -> usize {
    let mut at = random.below(bytes.len());
    if random.below(2) == 0 {
        for _ in 0..10_000 {
            if bytes[at] != 0 {
                break;
            }
            at = random.below(bytes.len());
        }
    }
    at
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let sample = sample(11);
    let mut random = Random::new(17);
    let mut all = Counts::default();
    for (file, bytes) in files(sample.root.path()) {
        let name = file.strip_prefix(sample.root.path()).unwrap().to_owned();
        let mut counts = Counts::default();
        for _ in 0..FLIPS.min(bytes.len() * 8) {
            let (at, bit) = (place(&mut random, &bytes), random.below(8));
            let what = format!("{} byte {at} bit {bit}", name.display());
            sample.trial(&what, &mut counts, |copy| {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                fs::write(copy.join(&name), flipped).unwrap();
            });
        }
        println!("{}: {counts:?}", name.display());
        all.refused += counts.refused;
        all.whole += counts.whole;
        all.lost += counts.lost;
    }
    assert!(
        all.refused >= 5 && all.whole >= 5 && all.lost >= 5,
        "{all:?}"
    );
}

#[test]
fn no_missing_or_shortened_file_goes_unnoticed() {
    let sample = sample(23);
    let mut random = Random::new(29);
    let mut counts = Counts::default();
    for (file, bytes) in files(sample.root.path()) {
        let name = file.strip_prefix(sample.root.path()).unwrap().to_owned();
        let what = |how: &str| format!("{} {how}", name.display());
        sample.trial(&what("removed"), &mut counts, |copy| {
            fs::remove_file(copy.join(&name)).unwrap();
        });
        for length in [0, bytes.len() / 2, random.below(bytes.len())] {
            sample.trial(&what(&format!("cut to {length}")), &mut counts, |copy| {
                fs::write(copy.join(&name), &bytes[..length]).unwrap();
            });
        }
        for _ in 0..6 {
            let from = place(&mut random, &bytes) / 512 * 512;
            sample.trial(&what(&format!("zeroed at {from}")), &mut counts, |copy| {
                let mut zeroed = bytes.clone();
                zeroed.iter_mut().skip(from).take(512).for_each(|b| *b = 0);
                fs::write(copy.join(&name), zeroed).unwrap();
            });
        }
    }
    for number in [1, 2] {
        let what = format!("generation {number} removed");
        sample.trial(&what, &mut counts, |copy| {
            let dir = reading::generation_dir(&copy.join("metadata"), number);
            fs::remove_dir_all(dir).unwrap();
        });
    }
    sample.trial("all generations removed", &mut counts, |copy| {
        fs::remove_dir_all(copy.join("metadata")).unwrap();
    });
    assert!(counts.refused >= 5 && counts.whole >= 5, "{counts:?}");
}

/// The last commands vanish with everything that belongs to them, as if the file system had gone
/// back in time.
#[test]
fn an_older_database_is_noticed() {
    let sample = sample(41);
    let root = tempfile::tempdir().unwrap();
    copy_dir(sample.root.path(), root.path());
    let path = root.path().join("metadata");
    let old = tempfile::tempdir().unwrap();
    let metadata = Metadata::open(path.clone()).unwrap();
    copy_dir(&path, old.path());
    metadata.apply_now(Command::Noop).unwrap();
    metadata.close();
    fs::remove_dir_all(&path).unwrap();
    copy_dir(old.path(), &path);
    let refused = Metadata::open(path.clone());
    assert!(
        matches!(&refused, Err(MetadataError::Damaged { intact: 65, .. })),
        "{refused:?}"
    );
    let restored = Metadata::restore(&path).unwrap();
    assert_eq!((restored.intact, restored.acknowledged), (65, Some(66)));
    assert!(
        restored.to_string().contains("66 to 66 are lost"),
        "{restored}"
    );
}

/// One damaged snapshot loses nothing: the generation before leads to it.
#[test]
fn a_damaged_snapshot_is_made_good_by_the_generation_before() {
    let sample = sample(53);
    let copy = tempfile::tempdir().unwrap();
    copy_dir(sample.root.path(), copy.path());
    let path = copy.path().join("metadata");
    let db = reading::generation_dir(&path, 2).join("snapshot/db");
    fs::write(&db, b"").unwrap();
    let refused = Metadata::open(path.clone());
    assert!(
        matches!(&refused, Err(MetadataError::Damaged { intact: 65, .. })),
        "{refused:?}"
    );
    let restored = Metadata::restore(&path).unwrap();
    assert_eq!((restored.intact, restored.acknowledged), (65, Some(65)));
    assert!(
        restored.to_string().contains("no command is lost"),
        "{restored}"
    );
    sample.check_restored("once", &path, &restored);
    // A second one is kept beside the first.
    fs::write(copy.path().join("metadata.end"), b"").unwrap();
    let second = Metadata::restore(&path).unwrap();
    assert_eq!(second.acknowledged, None);
    assert_ne!(second.kept_at, restored.kept_at);
    sample.check_restored(
        "twice",
        &path,
        &Restored {
            intact: 65,
            ..second
        },
    );
}

#[test]
fn a_first_start_that_was_cut_off_is_not_damage() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("metadata");
    fs::create_dir(&path).unwrap();
    assert_eq!(Metadata::restore(&path).unwrap().damage, None);
    drop(Metadata::open(path.clone()).unwrap());
    // As it is between the word that there is nothing and the first generation.
    end::EndFile::replace(&reading::end_path(&path), end::End::default()).unwrap();
    let metadata = Metadata::open(path.clone()).unwrap();
    assert_eq!(metadata.index(), 0);
    metadata.apply_now(Command::Noop).unwrap();
    metadata.close();
    fs::remove_file(reading::end_path(&path)).unwrap();
    assert!(matches!(
        Metadata::open(path),
        Err(MetadataError::Damaged { intact: 1, .. })
    ));
}
