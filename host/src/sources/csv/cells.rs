//! A row of CSV as a JSON object of strings, written cell by cell into a buffer that is reused.

use memchr::memchr;

use crate::sources::text::escape;

/// The columns of a file and what of a row is wanted beside the object.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    names: Vec<String>,
    /// What stands before each cell: `{"id":"`, then `","title":"`, ...
    before: Vec<Vec<u8>>,
    delimiter: u8,
    key: Option<usize>,
    timestamp: Option<usize>,
}

/// One row taken apart. Reused from row to row.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// The JSON object.
    pub(super) object: Vec<u8>,
    /// The text of the key's cell.
    pub(super) key: Vec<u8>,
    /// The text of the timestamp's cell.
    pub(super) timestamp: Vec<u8>,
}

impl Columns {
    /// Columns by name; an empty name becomes `column_N`, a repeated one gets a number.
    pub(super) fn new(names: Vec<String>, delimiter: u8) -> Self {
        let names = unique(names);
        let before = names.iter().enumerate().map(|(i, name)| {
            let mut text = if i == 0 {
                b"{\"".to_vec()
            } else {
                b"\",\"".to_vec()
            };
            escape(&mut text, name.as_bytes());
            text.extend_from_slice(b"\":\"");
            text
        });
        Self {
            before: before.collect(),
            names,
            delimiter,
            key: None,
            timestamp: None,
        }
    }

    /// Columns named by the cells of a row, which is UTF-8.
    pub(super) fn from_row(row: &str, delimiter: u8) -> Self {
        let mut names = Vec::new();
        let mut rest = Some(row.as_bytes());
        while let Some(from) = rest {
            let mut name = Vec::new();
            rest = cell(from, delimiter, |text| name.extend_from_slice(text));
            names.push(String::from_utf8(name).expect("cells are cut at ASCII bytes"));
        }
        Self::new(names, delimiter)
    }

    /// Has rows give the text of these columns.
    ///
    /// # Errors
    /// The name that no column has.
    pub(super) fn want(
        &mut self,
        key: Option<&str>,
        timestamp: Option<&str>,
    ) -> Result<(), String> {
        let find = |name: &str| {
            let at = self.names.iter().position(|n| n == name);
            at.ok_or_else(|| name.to_owned())
        };
        self.key = key.map(find).transpose()?;
        self.timestamp = timestamp.map(find).transpose()?;
        Ok(())
    }

    /// The names as rows have them.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Takes `row` apart.
    ///
    /// # Errors
    /// The number of cells it has, if that is not the number of columns.
    pub(super) fn read(&self, row: &str, cells: &mut Cells) -> Result<(), usize> {
        let Cells {
            object,
            key,
            timestamp,
        } = cells;
        object.clear();
        key.clear();
        timestamp.clear();
        let mut rest = Some(row.as_bytes());
        for (i, before) in self.before.iter().enumerate() {
            let Some(from) = rest else { return Err(i) };
            object.extend_from_slice(before);
            let (is_key, is_timestamp) = (self.key == Some(i), self.timestamp == Some(i));
            rest = cell(from, self.delimiter, |text| {
                escape(object, text);
                if is_key {
                    key.extend_from_slice(text);
                }
                if is_timestamp {
                    timestamp.extend_from_slice(text);
                }
            });
        }
        object.extend_from_slice(b"\"}");
        let mut count = self.before.len();
        while let Some(from) = rest {
            rest = cell(from, self.delimiter, |_| ());
            count += 1;
        }
        if count == self.before.len() {
            Ok(())
        } else {
            Err(count)
        }
    }
}

/// Hands the text of the first cell of `row` to `take` in pieces; the rest of the row begins behind
/// its delimiter, if it has one.
fn cell(row: &[u8], delimiter: u8, mut take: impl FnMut(&[u8])) -> Option<&[u8]> {
    let mut rest = row;
    if let Some(quoted) = row.strip_prefix(b"\"") {
        rest = quoted;
        loop {
            let Some(at) = memchr(b'"', rest) else {
                take(rest);
                return None;
            };
            let (text, after) = (&rest[..at], &rest[at + 1..]);
            if let Some(after) = after.strip_prefix(b"\"") {
                take(&rest[..=at]);
                rest = after;
            } else {
                take(text);
                rest = after;
                break;
            }
        }
    }
    match memchr(delimiter, rest) {
        Some(at) => {
            take(&rest[..at]);
            Some(&rest[at + 1..])
        }
        None => {
            take(rest);
            None
        }
    }
}

/// Gives every column a name of its own: JSON readers differ on repeated names.
fn unique(names: Vec<String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    // A name as it stands in the file is never given to another column.
    let own: std::collections::HashSet<_> = names.iter().cloned().collect();
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let name = if name.is_empty() {
                format!("column_{}", i + 1)
            } else {
                name
            };
            if taken.insert(name.clone()) {
                return name;
            }
            let other = (2..)
                .map(|n| format!("{name}_{n}"))
                .find(|other| !own.contains(other) && !taken.contains(other))
                .expect("there are more numbers than columns");
            taken.insert(other.clone());
            other
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_strings_in_the_order_of_the_columns() {
        let rows = [
            (r#"1,x,"#, r#"{"id":"1","a \"b\"":"x","c":""}"#),
            (
                r#""1","say ""hi""",z"#,
                r#"{"id":"1","a \"b\"":"say \"hi\"","c":"z"}"#,
            ),
            (
                "\"a\nb\",\"\\\t\",\u{1}",
                r#"{"id":"a\nb","a \"b\"":"\\\t","c":"\u0001"}"#,
            ),
            (r#"",","","x"y"#, r#"{"id":",","a \"b\"":"","c":"xy"}"#),
            (
                r#"a"b, "q",""""#,
                r#"{"id":"a\"b","a \"b\"":" \"q\"","c":"\""}"#,
            ),
        ];
        let mut columns = Columns::from_row(r#"id,"a ""b""",c"#, b',');
        columns.want(Some("id"), Some("c")).unwrap();
        let mut cells = Cells::default();
        for (row, want) in rows {
            columns.read(row, &mut cells).unwrap();
            assert_eq!(String::from_utf8_lossy(&cells.object), want, "{row}");
            let json: serde_json::Value = serde_json::from_slice(&cells.object).unwrap();
            assert_eq!(json["id"].as_str().unwrap().as_bytes(), cells.key);
            assert_eq!(json["c"].as_str().unwrap().as_bytes(), cells.timestamp);
        }
    }

    #[test]
    fn a_row_of_another_width_says_its_own() {
        let columns = Columns::from_row("a;b;c", b';');
        let mut cells = Cells::default();
        let rows = [
            ("1", 1),
            ("1;2", 2),
            ("1;2;3;4", 4),
            ("\"1;2\";3", 2),
            ("1;2;3;", 4),
        ];
        for (row, count) in rows {
            assert_eq!(columns.read(row, &mut cells), Err(count), "{row}");
        }
        assert_eq!(columns.read("1,2;;", &mut cells), Ok(()));
    }

    #[test]
    fn every_column_gets_a_name_of_its_own() {
        let rows = [
            ("a,a,a", vec!["a", "a_2", "a_3"]),
            (",b,", vec!["column_1", "b", "column_3"]),
            ("a,a,a_2", vec!["a", "a_3", "a_2"]),
            ("column_2,", vec!["column_2", "column_2_2"]),
        ];
        for (header, names) in rows {
            assert_eq!(Columns::from_row(header, b',').names(), names, "{header}");
        }
        let mut columns = Columns::from_row("a,b", b',');
        assert_eq!(columns.want(Some("c"), None), Err("c".to_owned()));
    }
}
