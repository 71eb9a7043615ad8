//! Rows that stand in memory, for tests: the smallest `Source`.

use std::sync::Arc;

use super::rows::{BadRow, BadRowCode, Row, Rows};
use super::{InputProgress, Opened, Reading, Source, SourceError};

/// A row: a record with a key and a value, or a bad row with its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemoryRow {
    Record(Option<&'static str>, String),
    Bad(String),
}

/// Gives its rows one after the other; a position is the number of the next one.
pub(super) struct MemorySource {
    rows: Arc<Vec<MemoryRow>>,
    at: usize,
}

impl MemorySource {
    pub(super) fn open(
        rows: &Arc<Vec<MemoryRow>>,
        position: Option<&serde_json::Value>,
    ) -> Result<Opened, SourceError> {
        let at = position.and_then(serde_json::Value::as_u64).unwrap_or(0);
        Ok(Opened {
            source: Box::new(Self {
                rows: Arc::clone(rows),
                at: usize::try_from(at).unwrap(),
            }),
            anew: None,
        })
    }
}

impl Source for MemorySource {
    fn read(&mut self, rows: &mut Rows) -> Result<Reading, SourceError> {
        while !rows.is_full() {
            let Some(row) = self.rows.get(self.at) else {
                return Ok(Reading::End);
            };
            let number = u64::try_from(self.at).unwrap();
            match row {
                MemoryRow::Record(key, value) => rows.record(&Row {
                    number,
                    line: number + 1,
                    key: key.map(str::as_bytes),
                    timestamp: None,
                    value: value.as_bytes(),
                    raw: value.as_bytes(),
                }),
                MemoryRow::Bad(raw) => rows.bad(&BadRow {
                    number,
                    line: number + 1,
                    code: BadRowCode::Columns,
                    message: "bad",
                    raw: raw.as_bytes(),
                }),
            }
            self.at += 1;
        }
        Ok(Reading::More)
    }

    fn position(&self) -> Result<serde_json::Value, SourceError> {
        Ok(self.at.into())
    }

    fn progress(&self) -> InputProgress {
        InputProgress {
            read: u64::try_from(self.at).unwrap(),
            total: u64::try_from(self.rows.len()).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_memory_conform() {
        let rows = Arc::new(vec![
            MemoryRow::Record(Some("k"), "1".into()),
            MemoryRow::Bad("2".into()),
            MemoryRow::Record(None, "3".into()),
        ]);
        crate::sources::conformance::check(|position| MemorySource::open(&rows, position));
    }
}
