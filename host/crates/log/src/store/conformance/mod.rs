//! What every store must do. Each store's tests run `suite` over an `Environment` of theirs.
//!
//! A case writes, reopens and asks through `Subject`, which keeps a naive model beside the store and
//! compares the two. What is not said here, because stores may differ: whether a kill between `write`
//! and `flush` leaves what was written, where extents end, and when compaction happens. A store that
//! was told to roll, was written to, and is tidied until nothing is left to do has compacted all that
//! lies before that write.

mod batches;
mod compaction;
mod faults;
mod marks;
mod model;
mod random;
mod reading;
mod replay;
mod subject;

use std::sync::Arc;

use wstream_record::{ManualClock, PartitionId, Timestamp, TopicId};

use self::subject::Subject;
use super::{LogStore, PartitionKey};

/// How often a case that goes by its seed runs: seeds 1 to this.
const SEEDS: u64 = 6;
/// When a case begins.
const BEGUN: Timestamp = Timestamp(1_000_000);

/// How many seeds, what it is called, and what it does.
type Case = (u64, &'static str, fn(&mut Subject<'_>));

/// All there are.
const CASES: [Case; 34] = [
    (
        1,
        "a group counts when flushed",
        reading::a_group_counts_when_flushed,
    ),
    (
        1,
        "what is appended is read",
        reading::what_is_appended_is_read,
    ),
    (1, "batches of every size", reading::batches_of_every_size),
    (
        1,
        "every end bounds a read",
        reading::every_end_bounds_a_read,
    ),
    (1, "gaps are passed over", reading::gaps_are_passed_over),
    (
        1,
        "epochs stay in the headers",
        reading::epochs_stay_in_the_headers,
    ),
    (
        1,
        "unknown partitions are empty",
        reading::unknown_partitions_are_empty,
    ),
    (1, "times are found", reading::times_are_found),
    (
        1,
        "times in large batches are found",
        reading::times_in_large_batches_are_found,
    ),
    (
        1,
        "times in compressed batches",
        reading::times_in_compressed_batches,
    ),
    (
        1,
        "extents lie on boundaries",
        reading::extents_lie_on_boundaries,
    ),
    (
        1,
        "any boundary can be the end",
        marks::any_boundary_can_be_the_end,
    ),
    (
        1,
        "an end within a large group",
        marks::an_end_within_a_large_group,
    ),
    (1, "the last end counts", marks::the_last_end_counts),
    (1, "a reset begins anew", marks::a_reset_begins_anew),
    (1, "a raised start stays", marks::a_raised_start_stays),
    (1, "an emptied log goes on", marks::an_emptied_log_goes_on),
    (
        1,
        "the high watermark comes back",
        marks::the_high_watermark_comes_back,
    ),
    (
        1,
        "what was aborted stays known",
        marks::what_was_aborted_stays_known,
    ),
    (1, "what is gone stays gone", marks::what_is_gone_stays_gone),
    (
        1,
        "control batches are shown",
        replay::control_batches_are_shown,
    ),
    (
        1,
        "what was derived comes back",
        replay::what_was_derived_comes_back,
    ),
    (
        1,
        "what was derived can be refused",
        replay::what_was_derived_can_be_refused,
    ),
    (
        1,
        "a closed store answers nothing",
        replay::a_closed_store_answers_nothing,
    ),
    (
        1,
        "what failed is not there",
        faults::what_failed_is_not_there,
    ),
    (
        1,
        "a fault spares what was flushed",
        faults::a_fault_spares_what_was_flushed,
    ),
    (
        1,
        "an earlier write fails with a later one",
        faults::an_earlier_write_fails_with_a_later_one,
    ),
    (
        1,
        "what is abandoned is not there",
        faults::what_is_abandoned_is_not_there,
    ),
    (
        1,
        "what follows a cut is compacted",
        compaction::what_follows_a_cut_is_compacted,
    ),
    (
        1,
        "the last of each key stays",
        compaction::the_last_of_each_key_stays,
    ),
    (
        1,
        "tombstones stay for their time",
        compaction::tombstones_stay_for_their_time,
    ),
    (
        1,
        "only plain batches are compacted",
        compaction::only_plain_batches_are_compacted,
    ),
    (
        SEEDS,
        "compaction by any seed",
        compaction::any_keys_agree_with_the_model,
    ),
    (
        SEEDS,
        "any sequence agrees with the model",
        random::any_sequence_agrees_with_the_model,
    ),
];

/// Where a store keeps what it holds, and what can happen to it there.
pub(crate) trait Environment {
    /// A store over what is there, on which `recover` was not called.
    fn open(&self) -> Arc<dyn LogStore>;
    /// The process is killed: nothing that a store still open does from here on takes effect.
    fn kill(&self);
    /// Lets the next write or flush of any stream fail, once.
    fn fail_next(&self, fault: Fault);
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no room to write.
    DiskFull,
    /// A write is refused.
    Write,
    /// What was written cannot be made durable.
    Flush,
}

/// Runs all cases; `fresh` gives each an empty place.
pub(crate) fn suite(fresh: &dyn Fn(&ManualClock) -> Box<dyn Environment>) {
    run(&CASES, fresh);
}

/// The same with one seed of each, for places that are slow.
pub(crate) fn suite_once(fresh: &dyn Fn(&ManualClock) -> Box<dyn Environment>) {
    run(&CASES.map(|(_seeds, name, case)| (1, name, case)), fresh);
}

/// The same with the cases that let something fail, for places that are slow.
pub(crate) fn suite_of_faults(fresh: &dyn Fn(&ManualClock) -> Box<dyn Environment>) {
    let faults: [Case; 3] = [
        (1, "what failed", faults::what_failed_is_not_there),
        (
            1,
            "an earlier write",
            faults::an_earlier_write_fails_with_a_later_one,
        ),
        (
            1,
            "what is abandoned",
            faults::what_is_abandoned_is_not_there,
        ),
    ];
    run(&faults, fresh);
}

fn run(cases: &[Case], fresh: &dyn Fn(&ManualClock) -> Box<dyn Environment>) {
    for &(seeds, name, case) in cases {
        for seed in 1..=seeds {
            // Shown if the case fails.
            println!("{name}, seed {seed}");
            let clock = ManualClock::new(BEGUN);
            let environment = fresh(&clock);
            let mut subject = Subject::new(&*environment, clock, seed);
            case(&mut subject);
            subject.check_all();
            for cleanly in [true, false] {
                subject.reopen(cleanly);
                subject.check_all();
            }
        }
    }
}

/// A partition of the cases.
fn key(topic: u8, partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId([topic; 16]),
        partition: PartitionId(partition),
    }
}
