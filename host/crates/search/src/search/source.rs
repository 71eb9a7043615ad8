//! Cuts `_source` down to what a search asks for, in the stored text: what is kept keeps its
//! characters, so that `1e2` stays `1e2`.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalog::matches;
use crate::error::SearchError;
use crate::query::scalar_text;

/// Which parts of a document a hit shows.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceFilter {
    /// Whether the hit has no `_source` at all.
    pub(super) off: bool,
    includes: Vec<String>,
    excludes: Vec<String>,
}

fn patterns(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(scalar_text).collect(),
        Some(Value::String(text)) => text.split(',').map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl SourceFilter {
    pub(super) fn new(value: Option<&Value>) -> Result<Self, SearchError> {
        Ok(match value {
            None | Some(Value::Null | Value::Bool(true)) => Self::default(),
            Some(Value::Bool(false)) => Self {
                off: true,
                ..Self::default()
            },
            Some(Value::String(text)) if text == "true" => Self::default(),
            Some(Value::String(text)) if text == "false" => Self {
                off: true,
                ..Self::default()
            },
            Some(Value::Object(parts)) => Self {
                off: false,
                includes: patterns(parts.get("includes").or_else(|| parts.get("include"))),
                excludes: patterns(parts.get("excludes").or_else(|| parts.get("exclude"))),
            },
            Some(list @ (Value::Array(_) | Value::String(_))) => Self {
                includes: patterns(Some(list)),
                ..Self::default()
            },
            Some(_) => {
                return Err(SearchError::parsing(
                    "Unknown key for a VALUE_NUMBER in [_source].",
                ));
            }
        })
    }

    /// The stored document without what the filter leaves out.
    pub(super) fn apply(&self, stored: &[u8]) -> Result<Box<RawValue>, SearchError> {
        let broken = |why: &str| SearchError::internal(format!("a stored document {why}"));
        let text = std::str::from_utf8(stored).map_err(|_| broken("is not UTF-8"))?;
        let text = if self.includes.is_empty() && self.excludes.is_empty() {
            text.to_owned()
        } else {
            let mut cut = Cut::new(self, text);
            let kept = cut.value(self.includes.is_empty());
            match kept.ok_or_else(|| broken("is not JSON"))? {
                true => cut.out,
                false => "{}".to_owned(),
            }
        };
        RawValue::from_string(text).map_err(|error| broken(&error.to_string()))
    }
}

/// Leaves of an answer what `filter_path` asks for: paths with `*`, those with a leading `-` taken
/// away. `None` if the text is not JSON.
#[must_use]
pub fn filter_answer(json: &str, paths: &str) -> Option<String> {
    let mut filter = SourceFilter::default();
    for path in paths.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        match path.strip_prefix('-') {
            Some(path) => filter.excludes.push(path.to_owned()),
            None => filter.includes.push(path.to_owned()),
        }
    }
    let mut cut = Cut::new(&filter, json);
    Some(match cut.value(filter.includes.is_empty())? {
        true => cut.out,
        false => "{}".to_owned(),
    })
}

/// One walk over a document's text. `None` of its methods says that the text is not JSON, which
/// no document in an index is: it was parsed before it was taken, and its depth is bounded.
struct Cut<'a> {
    filter: &'a SourceFilter,
    text: &'a str,
    at: usize,
    /// Keys above the value at `at`, with dots between.
    path: String,
    out: String,
}

impl<'a> Cut<'a> {
    fn new(filter: &'a SourceFilter, text: &'a str) -> Self {
        Self {
            filter,
            text,
            at: 0,
            path: String::new(),
            out: String::new(),
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Whether a comma follows, rather than the closing bracket.
    fn more(&mut self, close: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    /// Reads a value and writes what is left of it; whether anything is. `included` says that a
    /// part above it was named.
    fn value(&mut self, included: bool) -> Option<bool> {
        match self.peek()? {
            _ if included && self.filter.excludes.is_empty() => {
                let value = self.skip()?;
                self.out.push_str(value);
                Some(true)
            }
            b'{' => self.object(included),
            b'[' => self.array(included),
            _ => {
                let leaf = self.skip()?;
                if included {
                    self.out.push_str(leaf);
                }
                Some(included)
            }
        }
    }

    fn object(&mut self, included: bool) -> Option<bool> {
        let start = self.out.len();
        let mut any = false;
        self.out.push('{');
        self.at += 1;
        let mut more = self.peek()? != b'}';
        if !more {
            self.at += 1;
        }
        while more {
            any |= self.member(any, included)?;
            more = self.more(b'}')?;
        }
        Some(self.close(start, '}', included || any))
    }

    fn member(&mut self, comma: bool, included: bool) -> Option<bool> {
        self.peek()?;
        let (above, start) = (self.path.len(), self.out.len());
        let key = self.string()?;
        if above > 0 {
            self.path.push('.');
        }
        match key.contains('\\') {
            true => self.path += &serde_json::from_str::<String>(key).ok()?,
            false => self.path += &key[1..key.len() - 1],
        }
        self.expect(b':')?;
        let named = |patterns: &[String]| patterns.iter().any(|p| matches(p, &self.path));
        let kept = if named(&self.filter.excludes) {
            self.skip()?;
            false
        } else {
            let included = included || named(&self.filter.includes);
            if comma {
                self.out.push(',');
            }
            self.out.push_str(key);
            self.out.push(':');
            self.value(included)?
        };
        if !kept {
            self.out.truncate(start);
        }
        self.path.truncate(above);
        Some(kept)
    }

    fn array(&mut self, included: bool) -> Option<bool> {
        let start = self.out.len();
        let mut any = false;
        self.out.push('[');
        self.at += 1;
        let mut more = self.peek()? != b']';
        if !more {
            self.at += 1;
        }
        while more {
            let before = self.out.len();
            if any {
                self.out.push(',');
            }
            match self.value(included)? {
                true => any = true,
                false => self.out.truncate(before),
            }
            more = self.more(b']')?;
        }
        Some(self.close(start, ']', included || any))
    }

    fn close(&mut self, start: usize, close: char, kept: bool) -> bool {
        match kept {
            true => self.out.push(close),
            false => self.out.truncate(start),
        }
        kept
    }

    /// Reads a value and answers its text.
    fn skip(&mut self) -> Option<&'a str> {
        self.peek()?;
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => self.scalar(),
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    /// Passes a number or a word.
    fn scalar(&mut self) {
        let left = &self.text.as_bytes()[self.at..];
        let end = left
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r'));
        self.at += end.unwrap_or(left.len());
    }

    /// Passes a string and answers it with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let left = self.text.as_bytes().get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', left)?;
            self.at += found + 1;
            match left[found] {
                b'"' => return self.text.get(start..self.at),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn cut(filter: &Value, document: &str) -> String {
        let filter = SourceFilter::new(Some(filter)).unwrap();
        filter.apply(document.as_bytes()).unwrap().get().to_owned()
    }

    #[test]
    fn parts_by_name_and_pattern() {
        let document = r#"{"a":{"b":1,"c":[2]},"d":[{"e":3,"f":4}],"g":null}"#;
        let rows = [
            (json!(true), document),
            (json!("a"), r#"{"a":{"b":1,"c":[2]}}"#),
            (json!(["a.b", "d.e"]), r#"{"a":{"b":1},"d":[{"e":3}]}"#),
            (json!(["*.c", "g"]), r#"{"a":{"c":[2]},"g":null}"#),
            (json!({"excludes": ["a.*", "d"]}), r#"{"a":{},"g":null}"#),
            (
                json!({"includes": "a.*", "excludes": ["a.b"]}),
                r#"{"a":{"c":[2]}}"#,
            ),
            (json!(["nope"]), "{}"),
        ];
        for (filter, expected) in rows {
            assert_eq!(cut(&filter, document), expected, "{filter}");
        }
        assert!(SourceFilter::new(Some(&json!(false))).unwrap().off);
    }

    #[test]
    fn texts_stay_as_they_were_stored() {
        let document = r#" { "a" : 1e2, "b\u0062": [ 1.50 , "x\"}" ], "c":{"d": 12345678901234567890123} , "a":2.0 } "#;
        let rows = [
            (json!(true), document.trim()),
            (json!("a"), r#"{"a":1e2,"a":2.0}"#),
            (json!("bb"), r#"{"b\u0062":[ 1.50 , "x\"}" ]}"#),
            (json!(["c.d"]), r#"{"c":{"d":12345678901234567890123}}"#),
            (
                json!({"excludes": ["c"]}),
                r#"{"a":1e2,"b\u0062":[1.50,"x\"}"],"a":2.0}"#,
            ),
        ];
        for (filter, expected) in rows {
            assert_eq!(cut(&filter, document), expected, "{filter}");
        }
    }

    #[test]
    fn answers_are_cut_to_paths() {
        let answer = r#"{"took":3,"hits":{"total":{"value":2},"hits":[{"_id":"a","_index":"x"},{"_id":"b"}]}}"#;
        let rows = [
            ("hits.total.value", r#"{"hits":{"total":{"value":2}}}"#),
            (
                "took,hits.hits._id",
                r#"{"took":3,"hits":{"hits":[{"_id":"a"},{"_id":"b"}]}}"#,
            ),
            (
                "hits.hits,-*._index",
                r#"{"hits":{"hits":[{"_id":"a"},{"_id":"b"}]}}"#,
            ),
            ("nope", "{}"),
        ];
        for (paths, wanted) in rows {
            assert_eq!(filter_answer(answer, paths).unwrap(), wanted, "{paths}");
        }
        assert_eq!(filter_answer("{", "a"), None);
    }

    proptest! {
        #[test]
        fn a_cut_never_panics_and_is_json(
            text in "[\\{\\}\\[\\]\",:a-c0-2.eE+\\\\ \\-]{0,24}",
            pattern in "[a-c.*]{1,4}",
            exclude in any::<bool>(),
        ) {
            let filter = if exclude { json!({"excludes": [pattern]}) } else { json!([pattern]) };
            let filter = SourceFilter::new(Some(&filter)).unwrap();
            let cut = filter.apply(text.as_bytes());
            if serde_json::from_str::<Value>(&text).is_ok_and(|v| v.is_object()) {
                prop_assert!(serde_json::from_str::<Value>(cut.unwrap().get()).unwrap().is_object());
            }
        }
    }
}
