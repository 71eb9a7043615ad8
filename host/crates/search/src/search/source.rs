//! Cuts `_source` down to what a search asks for.

use serde_json::{Map, Value};

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

    /// The document without what the filter leaves out.
    pub(super) fn apply(&self, document: Value) -> Value {
        if self.includes.is_empty() && self.excludes.is_empty() {
            return document;
        }
        let included = self.includes.is_empty();
        self.cut(document, "", included)
            .unwrap_or_else(|| Value::Object(Map::new()))
    }

    /// What is left of a value; `included` says that a part above it was named.
    fn cut(&self, value: Value, path: &str, included: bool) -> Option<Value> {
        match value {
            Value::Object(members) => {
                let mut kept = Map::new();
                for (key, member) in members {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    if self.excludes.iter().any(|pattern| matches(pattern, &path)) {
                        continue;
                    }
                    let named =
                        included || self.includes.iter().any(|pattern| matches(pattern, &path));
                    if let Some(member) = self.cut(member, &path, named) {
                        kept.insert(key, member);
                    }
                }
                (included || !kept.is_empty()).then_some(Value::Object(kept))
            }
            Value::Array(elements) => {
                let kept: Vec<Value> = elements
                    .into_iter()
                    .filter_map(|element| self.cut(element, path, included))
                    .collect();
                (included || !kept.is_empty()).then_some(Value::Array(kept))
            }
            leaf => included.then_some(leaf),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_by_name_and_pattern() {
        let document = json!({"a": {"b": 1, "c": [2]}, "d": [{"e": 3, "f": 4}], "g": null});
        let rows = [
            (json!(true), document.clone()),
            (json!("a"), json!({"a": {"b": 1, "c": [2]}})),
            (
                json!(["a.b", "d.e"]),
                json!({"a": {"b": 1}, "d": [{"e": 3}]}),
            ),
            (json!(["*.c", "g"]), json!({"a": {"c": [2]}, "g": null})),
            (
                json!({"excludes": ["a.*", "d"]}),
                json!({"a": {}, "g": null}),
            ),
            (
                json!({"includes": "a.*", "excludes": ["a.b"]}),
                json!({"a": {"c": [2]}}),
            ),
            (json!(["nope"]), json!({})),
        ];
        for (filter, expected) in rows {
            let got = SourceFilter::new(Some(&filter))
                .unwrap()
                .apply(document.clone());
            assert_eq!(got, expected, "{filter}");
        }
        assert!(SourceFilter::new(Some(&json!(false))).unwrap().off);
    }
}
