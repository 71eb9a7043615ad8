//! The samples pass, natively, the cases that they pass in every language.
#![expect(unreachable_pub, reason = "a sample is a crate elsewhere")]

use wstream_guest::testing::check_cases;

#[path = "../samples/count.rs"]
mod count;
#[path = "../samples/dedupe.rs"]
mod dedupe;
#[path = "../samples/enrich.rs"]
mod enrich;
#[path = "../samples/identity.rs"]
mod identity;
#[path = "../samples/project.rs"]
mod project;
#[path = "../samples/split.rs"]
mod split;
#[path = "../samples/strict.rs"]
mod strict;

fn cases(sample: &str) -> String {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples");
    format!("{samples}/{sample}.cases.jsonl")
}

#[test]
fn count_passes_the_shared_cases() {
    check_cases::<count::Count>(cases("count"));
}

#[test]
fn dedupe_passes_the_shared_cases() {
    check_cases::<dedupe::Dedupe>(cases("dedupe"));
}

#[test]
fn enrich_passes_the_shared_cases() {
    check_cases::<enrich::Enrich>(cases("enrich"));
}

#[test]
fn identity_passes_the_shared_cases() {
    check_cases::<identity::Identity>(cases("identity"));
}

#[test]
fn project_passes_the_shared_cases() {
    check_cases::<project::Project>(cases("project"));
}

#[test]
fn split_passes_the_shared_cases() {
    check_cases::<split::Split>(cases("split"));
}

#[test]
fn strict_passes_the_shared_cases() {
    check_cases::<strict::Strict>(cases("strict"));
}
