//! The path of a field, `$.user.id`, and its look-up in a line of JSON without building a tree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names from the outermost object inwards, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads `$.name` or `$.outer.inner`. A name cannot hold a dot.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let names = text
            .strip_prefix("$.")
            .ok_or_else(|| format!("is {text:?}, which does not start with \"$.\""))?;
        let names: Vec<_> = names.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err(format!("is {text:?}, which has an empty name"));
        }
        Ok(Self(names))
    }

    /// Reads `json` to its end and returns the value at the path; `None` if there is none or it is
    /// null. Of a repeated name the last one counts.
    pub(super) fn find<'a>(
        &self,
        json: &'a str,
    ) -> Result<Option<Cow<'a, str>>, serde_json::Error> {
        let mut text = json;
        for name in &self.0 {
            match member(text, name)? {
                Some(value) => text = value.get(),
                None => return Ok(None),
            }
        }
        if text.starts_with('"') {
            serde_json::from_str(text).map(|Text(text)| Some(text))
        } else {
            Ok(Some(Cow::Borrowed(text)).filter(|t| t != "null"))
        }
    }
}

/// A string that borrows when it holds no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Checks that `json` is JSON.
pub(super) fn check(json: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(json).map(|_| ())
}

/// The value of a name in an object; `None` in anything else.
fn member<'a>(json: &'a str, name: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    if !json.trim_start().starts_with('{') {
        return check(json).map(|()| None);
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Member(name))?;
    reader.end()?;
    Ok(found)
}

struct Member<'n>(&'n str);

impl<'a> Visitor<'a> for Member<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(Text(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_path() {
        let line =
            r#" {"a":1.50,"b":{"c":"x\ny","c":"last"},"n":null,"o":{"p":[1, 2]},"e":"\u00fc"}"#;
        let rows = [
            ("$.a", Some("1.50")),
            ("$.b.c", Some("last")),
            ("$.n", None),
            ("$.n.x", None),
            ("$.o.p", Some("[1, 2]")),
            ("$.e", Some("\u{fc}")),
            ("$.missing", None),
            ("$.a.b", None),
        ];
        for (path, want) in rows {
            let found = FieldPath::parse(path).unwrap().find(line).unwrap();
            assert_eq!(found.as_deref(), want, "{path}");
        }
    }

    #[test]
    fn a_line_that_is_not_json_is_an_error_wherever_it_breaks() {
        let path = FieldPath::parse("$.a").unwrap();
        for line in ["", "{", r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a":01}"#, "[1,]"] {
            assert!(path.find(line).is_err(), "{line}");
            assert!(check(line).is_err(), "{line}");
        }
        assert_eq!(path.find("[1]").unwrap(), None);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a", "$", "$.", "$.a.", "$..a", ".a"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }
}
