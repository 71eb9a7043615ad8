//! Standard output as commands write it: buffered, and quiet when its reader goes away.

use std::io::{self, BufWriter, Stdout, Write};

/// Standard output of a command.
#[derive(Debug)]
pub(super) struct Output {
    // Not locked: while a node runs, its stdout sinks write there.
    out: BufWriter<Stdout>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
        }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Hands on what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes rows under their headings, each column as wide as its widest cell. Columns whose
    /// heading starts with `>` are set right.
    pub(super) fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        for line in table_lines(headings, rows) {
            self.line(&line)?;
        }
        Ok(())
    }
}

fn table_lines(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let names: Vec<&str> = headings.iter().map(|h| h.trim_start_matches('>')).collect();
    let width = |n: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(n))
            .map(|cell| cell.chars().count());
        cells.chain([names[n].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().enumerate().map(|(n, cell)| {
            let width = widths[n];
            if headings[n].starts_with('>') {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = std::iter::once(line(&names));
    head.chain(
        rows.iter()
            .map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())),
    )
    .collect()
}

/// Writes a line to standard error; if nobody reads that either, there is nobody to tell.
pub(super) fn to_stderr(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Whether the cause of an error is that the reader of standard output went away.
pub(super) fn reader_is_gone(error: &anyhow::Error) -> bool {
    let is_gone = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(is_gone)
}

/// A count with a space between thousands.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit in which they are at least 1.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if n >> shift > 0 {
            let tenths = (u128::from(n) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{n} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["longer".to_owned(), "1 000".to_owned()],
        ];
        let lines = table_lines(&["TOPIC", ">RECORDS"], &rows);
        assert_eq!(
            lines,
            ["TOPIC   RECORDS", "a             1", "longer    1 000"]
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1 000", "12 345 678"],
            [0, 999, 1000, 12_345_678]
                .map(thousands)
                .each_ref()
                .map(String::as_str)
        );
        assert_eq!(
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "10.0 GiB"],
            [0, 1023, 1024, 3 << 19, 10 << 30]
                .map(bytes)
                .each_ref()
                .map(String::as_str)
        );
    }
}
