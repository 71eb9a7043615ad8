//! One node, simulated whole: a log over a disk in memory, with seeded threads, clock and ids, does
//! what a seed says, is killed, loses its power and its disk's good will, and is compared with a
//! model of what its callers were told.
//!
//! What was acknowledged is there at its offset with its bytes, or is told to be missing; nothing is
//! there twice; no offset is given out twice; what was removed does not come back; producers that
//! send again are answered as before. A failing seed is printed, and repeats to the byte:
//! `WSTREAM_SIM_SEED=N just sim`; `WSTREAM_SIM_TRACE=1` shows what happens.
//!
//! Reads, and what the store does in the background, run to their end before anything else happens:
//! races within them are for tests with threads.

mod batches;
mod ends;
mod follow;
mod harm;
mod look;
mod model;
mod node;
mod run;
mod topics;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::run::Run;

/// Seeds in the suite.
const SEEDS: u64 = 200;
/// What happens in one run.
const STEPS: usize = 160;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs a seed; answers what stands for all that happened.
fn simulate(seed: u64) -> u32 {
    let mut run = Run::new(seed);
    for step in 0..STEPS {
        let done = catch_unwind(AssertUnwindSafe(|| run.step()));
        assert!(
            done.is_ok(),
            "seed {seed} at step {step}: WSTREAM_SIM_SEED={seed} just sim"
        );
    }
    let done = catch_unwind(AssertUnwindSafe(|| run.finish()));
    done.unwrap_or_else(|_| panic!("seed {seed} at its end: WSTREAM_SIM_SEED={seed} just sim"))
}

#[test]
fn what_is_acknowledged_is_there_or_told_to_be_missing() {
    if let Some(seed) = number("WSTREAM_SIM_SEED") {
        simulate(seed);
        return;
    }
    let first = number("WSTREAM_SIM_FIRST").unwrap_or(0);
    let seeds = number("WSTREAM_SIM_SEEDS").unwrap_or(SEEDS);
    let keep_on = env::var_os("WSTREAM_SIM_KEEP_ON").is_some();
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        if keep_on {
            println!("seed {seed}");
            if catch_unwind(|| simulate(seed)).is_err() {
                failed.push(seed);
            }
        } else {
            simulate(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "{} seeds failed: {failed:?}",
        failed.len()
    );
}

#[test]
fn a_seed_repeats_to_the_byte() {
    for seed in 0..20 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
    assert_ne!(simulate(1), simulate(2));
}
