//! The one integration binary: it drives the real program as a process, as a user would.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "everything here is a test: a panic is a failure, and a skip is said aloud"
)]

mod harness;

mod chains;
mod cli;
mod elastic;
mod examples;
mod hostile_guests;
mod hostile_rows;
mod kill;
mod languages;
mod module_faults;
mod netflix;
mod operations;
mod page;
mod redpanda;
mod refusals;
mod registry;
mod schemas;
mod scripts;
mod state;
mod storage_faults;
mod tidy;
mod transforms;
mod upgrades;
