//! Real files, real processes: kills at any moment, power cuts (what was not synced is gone), and
//! damage to single files. Nothing acknowledged is missing unless that is told.
//!
//! Children are this test binary, started with `WSTREAM_LOG_CHILD`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::print_stdout, reason = "what a campaign came to")]

mod cuts;
mod damage;
mod kills;
mod nodes;
mod rows;
mod trace;
