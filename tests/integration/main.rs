//! The one integration binary: it drives the real program as a process, as a user would.

mod harness;

mod cli;
mod examples;
mod hostile_guests;
mod hostile_rows;
mod kill;
mod netflix;
mod operations;
mod page;
mod refusals;
mod storage_faults;
mod tidy;
mod transforms;
