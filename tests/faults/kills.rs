//! A process that appends to many partitions is killed again and again.

use std::env;

use wstream_log::Durability;

use super::nodes::{PARTITIONS, Random, check_no_blobs, check_whole, command_for, ends, open};

const KILLS: &str = "WSTREAM_LOG_KILLS";
const KILLS_DEFAULT: u32 = 14;
const SEED: u64 = 0x6b69_6c6c;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let kills = env::var(KILLS).ok().and_then(|n| n.parse().ok());
    let mut random = Random(SEED);
    println!("seed {SEED:#x}");
    let mut dir = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![0; usize::try_from(PARTITIONS).unwrap()];
    for kill in 0..kills.unwrap_or(KILLS_DEFAULT) {
        if kill % 25 == 24 {
            // A new log, so that reading it all stays quick.
            dir = tempfile::tempdir().unwrap();
            acknowledged.fill(0);
        }
        let kind = ["process", "disk"][usize::try_from(random.below(2)).unwrap()];
        let mut child = command_for(dir.path(), kind).spawn().unwrap();
        let mut lines = ends(&mut child);
        let mut take = |(partition, end): (usize, i64)| {
            acknowledged[partition] = acknowledged[partition].max(end);
        };
        // Now and then during the open itself.
        let wanted = random.below(60) * random.below(8);
        lines
            .by_ref()
            .take(usize::try_from(wanted).unwrap())
            .for_each(&mut take);
        for _ in 0..random.below(3_000_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(&mut take);
        check_no_blobs_if_any(dir.path());
        let log = open(dir.path(), Durability::Process).await;
        assert_eq!(log.missing(), []);
        let ends = check_whole(&log, &acknowledged).await;
        println!(
            "kill {kill}: {} acknowledged, {} there",
            sum(&acknowledged),
            sum(&ends)
        );
        acknowledged = ends;
        // The next child begins now after a clean close, now after none.
        if random.below(2) == 0 {
            log.maintain().await;
        }
        log.close().await;
        assert_eq!(log.health().len(), 0, "{:?}", log.health());
        check_no_blobs(dir.path());
    }
    assert!(sum(&acknowledged) > 0);
}

fn check_no_blobs_if_any(dir: &std::path::Path) {
    if dir.join("log").exists() {
        check_no_blobs(dir);
    }
}

fn sum(ends: &[i64]) -> i64 {
    ends.iter().sum()
}
