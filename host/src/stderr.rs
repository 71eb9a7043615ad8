//! Standard error, of which nobody may be left at the other end: what cannot be written is dropped.
//! `eprintln!` panics then, and so does the log's formatter, in whatever thread says something.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard error and never fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All of it at once, so that lines stay whole.
        drop(io::stderr().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        drop(io::stderr().flush());
        Ok(())
    }
}

/// Writes one line, which no other one comes to lie within.
pub fn say(line: fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    drop(Stderr.write_all(line.as_bytes()));
}
