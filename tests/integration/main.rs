//! The one integration binary: it drives the real program as a process, as a user would.

mod harness;

mod tidy;
