//! Ids of documents: none of their own, the record's key, or a field of the value.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Longest id, in bytes: Elasticsearch's bound.
const ID_BYTES_MAX: usize = 512;

/// Where the id of a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdRule {
    /// From the log: topic, partition, offset.
    Log,
    /// The record's key.
    Key,
    /// A field of the value, by its path.
    Field(Vec<String>),
}

impl IdRule {
    /// Reads `key` or `$.field.field`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else {
            return Ok(Self::Log);
        };
        if text == "key" {
            return Ok(Self::Key);
        }
        let path = text.strip_prefix("$.").map(|p| p.split('.'));
        let path: Vec<String> = path.into_iter().flatten().map(str::to_owned).collect();
        if path.is_empty() || path.iter().any(String::is_empty) {
            return Err(format!(
                "id = {text:?} is not known: write \"key\" or \"$.field\""
            ));
        }
        Ok(Self::Field(path))
    }

    /// The id of a document.
    pub(super) fn id(&self, key: Option<&Bytes>, json: &[u8]) -> Result<Option<String>, String> {
        let id = match self {
            Self::Log => return Ok(None),
            Self::Key => {
                let key = key.ok_or("the record has no key for its id")?;
                let key = std::str::from_utf8(key);
                key.map_err(|_| "the record's key is not UTF-8")?.to_owned()
            }
            Self::Field(path) => {
                let mut from = serde_json::Deserializer::from_slice(json);
                let found = Find(path).deserialize(&mut from);
                let found = found.map_err(|error| format!("the value is not JSON: {error}"))?;
                let field = || format!("field {:?} holds no id", path.join("."));
                found.ok_or_else(field)?
            }
        };
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(format!(
                "the id has {} bytes, 1 to {ID_BYTES_MAX} are possible",
                id.len()
            ));
        }
        Ok(Some(id))
    }
}

/// Finds the value at a path without building the rest.
struct Find<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<String>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match self.0.split_first() {
                Some((first, rest)) if *first == name => found = map.next_value_seed(Find(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_key_or_field() {
        let json = br#"{"a":{"b":"x"},"n":17,"z":null,"l":[1],"t":true,"deep":{"n":{"m":-2}}}"#;
        let key = Bytes::from_static(b"k1");
        let rows = [
            (None, Ok(None)),
            (Some("key"), Ok(Some("k1"))),
            (Some("$.a.b"), Ok(Some("x"))),
            (Some("$.n"), Ok(Some("17"))),
            (Some("$.t"), Ok(Some("true"))),
            (Some("$.deep.n.m"), Ok(Some("-2"))),
            (Some("$.a"), Err("field \"a\" holds no id")),
            (Some("$.a.b.c"), Err("holds no id")),
            (Some("$.z"), Err("holds no id")),
            (Some("$.l"), Err("holds no id")),
            (Some("$.missing"), Err("holds no id")),
        ];
        for (rule, expected) in rows {
            let id = IdRule::parse(rule).unwrap().id(Some(&key), json);
            match (id, expected) {
                (Ok(id), Ok(expected)) => assert_eq!(id.as_deref(), expected, "{rule:?}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{rule:?}: {error}"),
                (id, _) => panic!("{rule:?}: {id:?}"),
            }
        }
        let field = IdRule::parse(Some("$.a")).unwrap();
        assert!(field.id(None, b"{").unwrap_err().contains("not JSON"));
        assert!(IdRule::Key.id(None, b"{}").unwrap_err().contains("no key"));
        let long = Bytes::from(vec![b'x'; 513]);
        assert!(
            IdRule::Key
                .id(Some(&long), b"{}")
                .unwrap_err()
                .contains("513 bytes")
        );
    }

    #[test]
    fn unknown_rules_say_what_there_is() {
        for rule in ["id", "$.", "$.a..b", ""] {
            let error = IdRule::parse(Some(rule)).unwrap_err();
            assert!(error.contains("write \"key\" or \"$.field\""), "{error}");
        }
    }
}
