//! With durability `disk`, the power fails at any point: what was not synced is gone, and nothing
//! acknowledged is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use wstream_log::Durability;

use super::nodes::{
    PARTITIONS, Random, check_no_blobs, command_for, end_in, ends, name, offsets, open,
};
use super::trace::{self, Device};

const CUTS: &str = "WSTREAM_LOG_CUTS";
const CUTS_DEFAULT: usize = 10;
/// Acknowledgements to record before the process is killed, for each cut.
const ACKNOWLEDGED: usize = 120;
const SEED: u64 = 0x6375_7473;

/// Builds the recorder.
fn recorder(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/faults/recorder.c");
    let library = dir.join("recorder.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .status();
    assert!(built.unwrap().success());
    library
}

/// What is acknowledged at the end of what a process said.
fn acknowledged(said: &[u8]) -> Vec<i64> {
    let mut ends = vec![0; usize::try_from(PARTITIONS).unwrap()];
    for (partition, end) in String::from_utf8_lossy(said).lines().filter_map(end_in) {
        ends[partition] = ends[partition].max(end);
    }
    ends
}

async fn check(dir: &Path, acknowledged: &[i64], is_exact: bool) {
    check_no_blobs(dir);
    let log = open(dir, Durability::Disk).await;
    if is_exact {
        assert_eq!(log.missing(), []);
    }
    for (number, end) in (0..).zip(acknowledged) {
        let partition = log.partition(&name(number)).unwrap();
        assert!(
            partition.marks().log_end.0 >= *end,
            "{number}: {end} acknowledged"
        );
        let found = offsets(&partition).await;
        let there = found.iter().take_while(|offset| **offset < *end);
        assert!(
            there.copied().eq(0..*end),
            "{number} lacks something below {end}"
        );
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let cuts = env::var(CUTS)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(CUTS_DEFAULT);
    let work = tempfile::tempdir().unwrap();
    let library = recorder(work.path());
    let mut random = Random(SEED);
    println!("seed {SEED:#x}");
    let mut left = cuts;
    while left > 0 {
        let some = left.min(25);
        left -= some;
        cut_run(work.path(), &library, some, &mut random).await;
    }
}

/// Cuts one recorded run at some points.
async fn cut_run(work: &Path, library: &Path, cuts: usize, random: &mut Random) {
    let data = tempfile::tempdir_in(work).unwrap();
    let file = work.join("trace");
    let mut child = command_for(data.path(), "disk")
        .env("LD_PRELOAD", library)
        .env("WSTREAM_FAULTS_DIR", data.path())
        .env("WSTREAM_FAULTS_TRACE", &file)
        .spawn()
        .unwrap();
    let heard = ends(&mut child).take(ACKNOWLEDGED * cuts).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(heard, ACKNOWLEDGED * cuts, "the child appends");
    let events = trace::read(&file);
    let count = u64::try_from(events.len()).unwrap();
    let mut points: Vec<u64> = (0..cuts).map(|_| random.below(count)).collect();
    points.sort_unstable();
    let mut device = Device::new(data.path());
    let mut at = 0;
    for (n, point) in points.into_iter().enumerate() {
        while at < point {
            device.apply(&events[usize::try_from(at).unwrap()]);
            at += 1;
        }
        let acknowledged = acknowledged(&device.said);
        println!(
            "cut {n} at {point} of {count}: {} acknowledged",
            acknowledged.iter().sum::<i64>()
        );
        let left = tempfile::tempdir_in(work).unwrap();
        let is_exact = n % 2 == 0;
        device.leave(left.path(), (!is_exact).then_some(&mut *random));
        check(left.path(), &acknowledged, is_exact).await;
    }
}
