//! What is wrong with a configuration file: every problem with its place, the offending value and
//! what to do, in the order of the file.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest distance at which a name counts as a misspelling of another.
const EDITS_MAX: usize = 3;

/// A place in a file, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where byte `at` of `text` is.
    #[must_use]
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |feed| feed + 1);
        Self {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` if it is the file as a whole.
    pub position: Option<Position>,
    /// What, with the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file as the user named it.
    pub file: PathBuf,
    /// At least one problem, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems of `file`, put in its order; one that was found twice counts once.
    #[must_use]
    pub fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.position);
        problems.dedup();
        Self {
            file: file.to_owned(),
            problems,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(Position { line, column }) = problem.position {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {}", problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// The name most like `wanted`, if one is like it at all.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = EDITS_MAX.min(wanted.chars().count() / 2);
    names
        .into_iter()
        .map(|name| (edits(wanted, name), name))
        .filter(|&(distance, _)| distance <= bound)
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours between two texts.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let names = ["path", "topic", "partitions", "titles-index"];
        let rows = [
            ("pth", Some("path")),
            ("tpoic", Some("topic")),
            ("Partitions", Some("partitions")),
            ("titles_index", Some("titles-index")),
            ("x", None),
            ("compression", None),
        ];
        for (wanted, found) in rows {
            assert_eq!(nearest(wanted, names), found, "{wanted}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("ab", "ba"), 1);
    }

    #[test]
    fn columns_count_characters_and_lines_end_at_the_feed() {
        let text = "a\r\nkey = \"\u{e4}\" x\n";
        let at = text.find('x').unwrap();
        assert_eq!(
            Position::of(text, at),
            Position {
                line: 2,
                column: 11
            }
        );
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 999), Position { line: 3, column: 1 });
    }
}
