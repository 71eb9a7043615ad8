//! One file of a log is damaged while nobody runs: at the start, at a read or by the scrub it is
//! told, copied aside before anything is written, and no offset is given out twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wstream_log::{Durability, Log, LogConfig};
use wstream_record::{Clock, ManualClock, Timestamp};

use super::nodes::{PARTITIONS, Random, batch, check_no_blobs, config, copy, name, offsets, open};

const SEED: u64 = 0x6461_6d61;
/// Bits turned at places that the seed says, in the databases of each image.
const FLIPS: usize = 8;
/// Batches of each partition.
const ROUNDS: usize = 14;

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum How {
    Remove,
    Empty,
    Half,
    Bit(u64),
}

/// A log as it was left, and the ends that were acknowledged.
struct Image {
    dir: tempfile::TempDir,
    ends: Vec<i64>,
}

/// As a clean stop leaves it, or a kill.
async fn image(killed: bool) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Durability::Process).await;
    let mut ends = vec![0; usize::try_from(PARTITIONS).unwrap()];
    for round in 0..ROUNDS {
        let mut tickets = Vec::new();
        for (number, end) in (0..).zip(&mut ends) {
            let partition = log.partition(&name(number)).unwrap();
            tickets.push(partition.submit(batch(number, *end, 3)).await.unwrap());
            *end += 3;
        }
        for ticket in tickets {
            ticket.await.unwrap();
        }
        if round == ROUNDS / 2 {
            log.maintain().await;
        }
    }
    let left = tempfile::tempdir().unwrap();
    if killed {
        copy(dir.path(), left.path());
        log.close().await;
    } else {
        log.close().await;
        copy(dir.path(), left.path());
    }
    Image { dir: left, ends }
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn damage(path: &Path, how: How) {
    let bytes = fs::read(path).unwrap();
    match how {
        How::Remove => fs::remove_file(path).unwrap(),
        How::Empty => fs::write(path, []).unwrap(),
        How::Half => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
        How::Bit(at) => {
            let mut bytes = bytes;
            let bits = u64::try_from(bytes.len()).unwrap() * 8;
            let at = at % bits.max(1);
            let place = usize::try_from(at / 8).unwrap();
            if place < bytes.len() {
                bytes[place] ^= 1 << (at % 8);
            }
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Opens it with a clock, so that the scrub comes when it is wanted.
async fn start(dir: &Path, clock: &ManualClock) -> Log {
    let config = LogConfig {
        scrub_interval: Duration::from_secs(60),
        ..config(dir, Durability::Process)
    };
    Log::open(config, clock.clock()).await.unwrap()
}

/// What is missing in all, and whether it was told; appends, and looks whether an offset comes twice.
async fn look(image: &Image, dir: &Path, what: &str) -> bool {
    let clock = ManualClock::new(Timestamp(Clock::system().now().0));
    let log = start(dir, &clock).await;
    let mut silent = Vec::new();
    let mut lacks = 0;
    for (number, end) in (0..).zip(&image.ends) {
        let partition = log.partition(&name(number)).unwrap();
        let found = offsets(&partition).await;
        let told = log.missing();
        let is_told = |offset: i64| {
            told.iter().any(|m| {
                let named = m.partition.as_ref() == Some(&name(number));
                named && (m.first.0..m.next.0).contains(&offset)
            })
        };
        for offset in 0..*end {
            if found.binary_search(&offset).is_err() {
                lacks += 1;
                if !is_told(offset) {
                    silent.push((number, offset));
                }
            }
        }
        let after = partition.marks().log_end.0;
        assert!(
            after >= *end,
            "{what}: {number} ends at {after}, {end} were given out: {told:?}"
        );
    }
    assert!(
        silent.is_empty(),
        "{what}: {silent:?} are not there: {:?}",
        log.missing()
    );
    clock.advance(Duration::from_secs(120));
    log.maintain().await;
    clock.advance(Duration::from_secs(120));
    log.maintain().await;
    let told = log.missing();
    let appended = log.partition(&name(0)).unwrap();
    let appended = appended.append(batch(0, 1_000_000, 1)).await;
    // A producer of whom nothing is known may begin anywhere.
    if let Ok(appended) = appended {
        assert!(appended.base_offset.0 >= image.ends[0], "{what}");
    }
    for missing in &told {
        let kept = missing.kept_at.as_ref();
        assert!(kept.is_none_or(|kept| kept.exists()), "{what}: {missing:?}");
        assert!(
            missing.segment.is_none() || kept.is_some() || what.contains("Remove"),
            "{what}: {missing:?}"
        );
    }
    log.close().await;
    check_no_blobs(dir);
    println!("{what}: {lacks} lost, told {}", told.len());
    lacks > 0 || !told.is_empty()
}

async fn every_damage(killed: bool, seed: u64) {
    let image = Arc::new(image(killed).await);
    let mut files = Vec::new();
    files_below(&image.dir.path().join("log"), &mut files);
    let mut random = Random(seed);
    let databases: Vec<PathBuf> = files
        .iter()
        .filter(|f| f.ends_with("db"))
        .cloned()
        .collect();
    let mut kinds = Vec::new();
    // Of each kind of file the first and the last.
    for kind in [
        "db", "conf", "index", "seal", "manifest", "derived", "before", "found",
    ] {
        let of = |f: &&PathBuf| {
            let text = f.file_name().unwrap().to_string_lossy();
            text == kind
                || text.ends_with(&format!(".{kind}"))
                || text.starts_with(&format!("{kind}."))
        };
        let all: Vec<&PathBuf> = files.iter().filter(of).collect();
        let ends = all
            .first()
            .into_iter()
            .chain(all.last().filter(|_| all.len() > 1));
        for file in ends {
            let newest = killed && kind == "db" && Some(&file) == all.last().as_ref();
            for how in [
                How::Remove,
                How::Empty,
                How::Half,
                How::Bit(random.below(1 << 40)),
            ] {
                // The newest one, cut short, is what a kill in the middle of a write leaves.
                if !(newest && matches!(how, How::Half)) {
                    kinds.push(((*file).clone(), how));
                }
            }
        }
    }
    for _ in 0..FLIPS {
        let file =
            databases[usize::try_from(random.below(databases.len() as u64)).unwrap()].clone();
        kinds.push((file, How::Bit(random.below(1 << 40))));
    }
    let mut noticed = 0;
    let mut silent = Vec::new();
    let count = kinds.len();
    for (file, how) in kinds {
        let inside = file.strip_prefix(image.dir.path()).unwrap();
        let what = format!("killed {killed}, {} {how:?}", inside.display());
        let left = tempfile::tempdir().unwrap();
        copy(image.dir.path(), left.path());
        damage(&left.path().join(inside), how);
        let done = tokio::spawn({
            let (image, dir, what) = (Arc::clone(&image), left.path().to_owned(), what.clone());
            async move { look(&image, &dir, &what).await }
        });
        match done.await {
            Ok(told) => noticed += usize::from(told),
            Err(_panic) => silent.push(what),
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
    println!("{noticed} of {count} were told");
    assert!(count >= 36, "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damage_to_a_stopped_log_is_silent() {
    println!("seed {SEED:#x}");
    every_damage(false, SEED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damage_to_a_killed_log_is_silent() {
    println!("seed {SEED:#x}");
    every_damage(true, SEED + 1).await;
}
