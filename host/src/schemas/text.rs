//! The texts of schemas: whether one is a schema of its kind, and what makes two of them the same.
//!
//! AVRO and JSON are the same where their JSON is the same but for white space and the order of
//! keys; numbers and escapes are compared as written, so that none is taken for another. PROTOBUF
//! is the same where the text is, but for white space around it.
//! PROTOBUF is only looked at from afar: the compiler is the clients'.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::avro::Avro;
use super::{Schema, SchemaKind};

/// What tells schemas apart.
pub(super) type Digest = [u8; 32];

/// A schema that was found to be one.
#[derive(Debug)]
pub(super) enum Checked {
    Avro(Avro),
    Json,
    Protobuf,
}

impl Checked {
    pub(super) fn kind(&self) -> SchemaKind {
        match self {
            Self::Avro(_) => SchemaKind::Avro,
            Self::Json => SchemaKind::Json,
            Self::Protobuf => SchemaKind::Protobuf,
        }
    }
}

/// Checks that a text is a schema of its kind; `referenced` are the texts it refers to, each after
/// those it needs itself.
pub(super) fn check(schema: &Schema, referenced: &[&str]) -> Result<Checked, String> {
    if schema.text.trim().is_empty() {
        return Err("the schema is empty".to_owned());
    }
    match schema.kind {
        SchemaKind::Avro => Avro::parse(referenced, &schema.text).map(Checked::Avro),
        SchemaKind::Json => {
            let value: serde_json::Value =
                serde_json::from_str(&schema.text).map_err(|e| format!("it is not JSON: {e}"))?;
            if value.is_object() || value.is_boolean() {
                Ok(Checked::Json)
            } else {
                Err("a JSON Schema is an object, true or false".to_owned())
            }
        }
        SchemaKind::Protobuf => {
            let text = schema.text.trim();
            if let Ok(bytes) = STANDARD.decode(text) {
                file_descriptor(&bytes)?;
            } else {
                protobuf(text)?;
            }
            Ok(Checked::Protobuf)
        }
    }
}

/// What tells a schema from all others: its kind, its text and its references.
pub(super) fn digest(schema: &Schema) -> Result<Digest, String> {
    let text = match schema.kind {
        SchemaKind::Avro | SchemaKind::Json => canonical(&schema.text)?,
        SchemaKind::Protobuf => schema.text.trim().to_owned(),
    };
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(schema.kind.name().as_bytes());
    part(text.as_bytes());
    for reference in &schema.references {
        part(reference.name.as_bytes());
        part(reference.subject.as_bytes());
        part(&reference.version.to_le_bytes());
    }
    Ok(hasher.finalize().into())
}

/// JSON without white space, keys in order.
fn canonical(text: &str) -> Result<String, String> {
    // serde_json decides what JSON is, and how deep; after it, the walk below cannot go astray.
    let checked: Result<serde_json::Value, _> = serde_json::from_str(text);
    checked.map_err(|error| format!("it is not JSON: {error}"))?;
    let mut walk = Walk { rest: text };
    let value = walk.value();
    value.ok_or_else(|| "it is not JSON".to_owned())
}

struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    fn value(&mut self) -> Option<String> {
        match self.peek()? {
            '{' => {
                let mut members = self.list('}', |walk| {
                    let key = walk.scalar();
                    walk.take(':')?;
                    Some((key, walk.value()?))
                })?;
                members.sort_by_key(|(key, _)| *key);
                let members = members.iter().map(|(key, value)| format!("{key}:{value}"));
                Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
            }
            '[' => Some(format!("[{}]", self.list(']', Self::value)?.join(","))),
            _ => Some(self.scalar().to_owned()),
        }
    }

    /// What stands between brackets.
    fn list<T>(&mut self, end: char, each: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        self.rest = self.rest.get(1..)?;
        if self.take(end).is_some() {
            return Some(list);
        }
        loop {
            list.push(each(self)?);
            if self.take(end).is_some() {
                return Some(list);
            }
            self.take(',')?;
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        (self.peek()? == wanted).then(|| self.rest = &self.rest[wanted.len_utf8()..])
    }

    /// A string, number or word, as written.
    fn scalar(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let mut escaped = false;
        let is_string = self.rest.starts_with('"');
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            if !is_string {
                return matches!(c, ',' | ':' | ']' | '}') || c.is_whitespace();
            }
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let end = end.map_or(self.rest.len(), |(at, _)| at + usize::from(is_string));
        let (scalar, rest) = self.rest.split_at(end);
        self.rest = rest;
        scalar
    }
}

/// Looks at the source of a .proto file: words and strings, comments left out, brackets in pairs.
fn protobuf(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut declares = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => {
                let end = rest[2..].find("*/").ok_or("a comment does not end")?;
                end + 4
            }
            '"' | '\'' => string_end(rest, first).ok_or("a string does not end")?,
            '{' | '[' | '(' => {
                open.push(first);
                1
            }
            '}' | ']' | ')' => {
                let wanted = match first {
                    '}' => '{',
                    ']' => '[',
                    _ => '(',
                };
                if open.pop() != Some(wanted) {
                    return Err(format!("a {first:?} closes nothing"));
                }
                1
            }
            c if c.is_alphabetic() || c == '_' => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                let keywords = ["syntax", "edition", "message", "enum", "service", "extend"];
                declares |= open.is_empty() && keywords.contains(&&rest[..end]);
                end
            }
            c => c.len_utf8(),
        };
        rest = &rest[skip..];
    }
    if let Some(bracket) = open.last() {
        return Err(format!("a {bracket:?} is never closed"));
    }
    if declares {
        Ok(())
    } else {
        Err("a .proto file declares its syntax, or a message, enum or service".to_owned())
    }
}

fn string_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let mut inside = text.char_indices().skip(1);
    let end = inside.find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

/// Looks at a serialized file descriptor, which some clients send in base64: fields end where the
/// bytes do, and it has a name or a message.
fn file_descriptor(bytes: &[u8]) -> Result<(), String> {
    const NAME: u64 = 1;
    const MESSAGE: u64 = 4;
    let wrong = || "it is neither a .proto file nor a file descriptor in base64".to_owned();
    let (mut rest, mut named) = (bytes, false);
    while !rest.is_empty() {
        let tag = varint(&mut rest).ok_or_else(wrong)?;
        let skip = match tag & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest),
            5 => Some(4),
            _ => None,
        };
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        rest = skip.and_then(|skip| rest.get(skip..)).ok_or_else(wrong)?;
        named |= matches!(tag >> 3, NAME | MESSAGE) && tag & 7 == 2;
    }
    named.then_some(()).ok_or_else(wrong)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// At most this many bytes of a text, for messages.
pub(super) fn cut(mut text: String) -> String {
    const SHOWN: usize = 1_000;
    if text.len() > SHOWN {
        text.truncate(text.floor_char_boundary(SHOWN));
        text += "...";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(kind: SchemaKind, text: &str) -> Schema {
        Schema {
            kind,
            text: text.to_owned(),
            references: Vec::new(),
        }
    }

    #[test]
    fn json_is_the_same_but_for_white_space_and_the_order_of_keys() {
        let rows = [
            (
                r#" { "b" : [ 1 , {} ] , "a" : "x y\"}," } "#,
                r#"{"a":"x y\"},","b":[1,{}]}"#,
            ),
            ("[ ]", "[]"),
            ("\n\"int\"\t", "\"int\""),
            ("[true ,null, -1.50e3]", "[true,null,-1.50e3]"),
            // Far beyond what a number can hold: still told apart.
            (
                r#"{"const":18446744073709551617}"#,
                r#"{"const":18446744073709551617}"#,
            ),
        ];
        for (text, same) in rows {
            assert_eq!(canonical(text).unwrap(), same);
            assert_eq!(canonical(same).unwrap(), same);
        }
        for bad in ["", "{", "[1,]", "{\"a\"}", "nul"] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
        let digest_of = |kind, text| digest(&schema(kind, text)).unwrap();
        let json = digest_of(SchemaKind::Json, "\"int\"");
        assert_eq!(json, digest_of(SchemaKind::Json, " \"int\""));
        assert_ne!(json, digest_of(SchemaKind::Avro, "\"int\""));
        let proto = digest_of(SchemaKind::Protobuf, "message A {}");
        assert_eq!(proto, digest_of(SchemaKind::Protobuf, "\nmessage A {}\n"));
        assert_ne!(proto, digest_of(SchemaKind::Protobuf, "message A { }"));
    }

    #[test]
    fn texts_are_schemas_of_their_kind() {
        use SchemaKind::{Avro, Json, Protobuf};
        let rows = [
            (Avro, "\"int\"", ""),
            (Avro, " ", "the schema is empty"),
            (Json, "true", ""),
            (Json, r#"{"type":"object"}"#, ""),
            (Json, "[]", "a JSON Schema is an object, true or false"),
            (Json, "{", "it is not JSON"),
            (
                Protobuf,
                "syntax = \"proto3\"; // }\nmessage A { string a = 1 [deprecated = true]; }",
                "",
            ),
            (Protobuf, "/* } */ message A { option x = '}\\''; }", ""),
            (Protobuf, "message A {", "a '{' is never closed"),
            (Protobuf, "message A { ) }", "a ')' closes nothing"),
            (Protobuf, "message A {} /* ", "a comment does not end"),
            (Protobuf, "syntax = \"proto3", "a string does not end"),
            (Protobuf, "anything = 1;", "a .proto file declares"),
            // A descriptor with a name, "a.proto"; a cut one; and one without a name.
            (Protobuf, "CgdhLnByb3Rv", ""),
            (Protobuf, "CgdhLnByb3Q=", "it is neither"),
            (Protobuf, "EgFh", "it is neither"),
        ];
        for (kind, text, said) in rows {
            let error = check(&schema(kind, text), &[]).err().unwrap_or_default();
            assert!(
                error.starts_with(said) && error.is_empty() == said.is_empty(),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let long = "\u{e9}".repeat(600);
        assert_eq!(cut(long), format!("{}...", "\u{e9}".repeat(500)));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
