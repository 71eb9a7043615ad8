//! What a module's stderr says of its end: the reason of the panic, else the first line.

use crate::failure::MESSAGE_BYTES_MAX;

/// What Go writes when it panics; the reason is on the same line.
const GO_PANICS: [&str; 2] = ["panic: ", "fatal error: "];
/// The line with which Rust ends the text of a panic.
const RUST_PANIC_ENDS: &str = "note: run with `RUST_BACKTRACE";

/// Hears stderr line by line.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    first: Option<String>,
    panic: Option<String>,
    /// Rust's panic goes on: the line that was heard last says only where.
    goes_on: bool,
}

impl LastWords {
    pub(crate) fn hear(&mut self, line: &str) {
        if let Some(panic) = self.panic.as_mut().filter(|_| self.goes_on) {
            let line = line.trim();
            if line.starts_with(RUST_PANIC_ENDS) || panic.len() >= MESSAGE_BYTES_MAX {
                self.goes_on = false;
            } else if !line.is_empty() {
                panic.push(' ');
                panic.push_str(line);
            }
            return;
        }
        let place = line.strip_prefix("thread ");
        let place = place.and_then(|line| line.split_once(" panicked at "));
        if let Some((_, place)) = place {
            self.panic = Some(format!("panicked at {place}"));
            self.goes_on = true;
        } else if self.panic.is_none() && GO_PANICS.iter().any(|p| line.starts_with(p)) {
            self.panic = Some(line.to_owned());
        }
        self.first.get_or_insert_with(|| line.to_owned());
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.panic.or(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_panic_goes_before_what_was_written_earlier() {
        let rows: [(&[&str], Option<&str>); 7] = [
            (&[], None),
            (&["first", "second"], Some("first")),
            (
                &[
                    "a line of its log",
                    "thread 'main' (1) panicked at sdk/src/lib.rs:182:10:",
                    "transforming record failed: the value is not JSON",
                    "",
                    "Caused by:",
                    "    expected value at line 1 column 1",
                    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
                    "more",
                ],
                Some(
                    "panicked at sdk/src/lib.rs:182:10: transforming record failed: the value is \
                     not JSON Caused by: expected value at line 1 column 1",
                ),
            ),
            (
                &["thread 'main' panicked at 'no value', src/main.rs:1:2"],
                Some("panicked at 'no value', src/main.rs:1:2"),
            ),
            (
                &[
                    "a line of its log",
                    "panic: transforming record failed: no",
                    "",
                    "goroutine 1 [running]:",
                    "panic: another",
                ],
                Some("panic: transforming record failed: no"),
            ),
            (&["fatal error: deadlock"], Some("fatal error: deadlock")),
            (&["no panic: this"], Some("no panic: this")),
        ];
        for (lines, expected) in rows {
            let mut words = LastWords::default();
            for line in lines {
                words.hear(line);
            }
            assert_eq!(words.into_text().as_deref(), expected, "{lines:?}");
        }
    }
}
