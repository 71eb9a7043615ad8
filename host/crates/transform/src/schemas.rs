//! What Redpanda modules ask a schema registry for, and its form in their memory.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use crate::frame::payload::{Cursor, put_varint};

/// Longest definition that a module may register.
pub(crate) const DEFINITION_BYTES_MAX: u32 = 1 << 20;
const REFERENCES_MAX: i64 = 100;

/// The registry that modules reach.
pub trait SchemaRegistry: Debug + Send + Sync {
    /// The schema with an id.
    fn by_id(&self, id: i32) -> Option<SchemaDefinition>;

    /// A version of a subject's schema, or the latest.
    fn by_subject(&self, subject: &str, version: Option<i32>) -> Option<SubjectSchema>;

    /// Registers a schema and answers its id; `None` if it is refused, which is logged there.
    fn register(&self, subject: String, schema: SchemaDefinition) -> Registering;
}

/// A registration under way.
pub type Registering = Pin<Box<dyn Future<Output = Option<i32>> + Send>>;

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDefinition {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it refers to: name, subject, version.
    pub references: Vec<(String, String, i32)>,
}

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// 0 in memory.
    Avro,
    /// 1.
    Protobuf,
    /// 2.
    Json,
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectSchema {
    /// The schema's id.
    pub id: i32,
    /// The version.
    pub version: i32,
    /// The schema.
    pub schema: SchemaDefinition,
}

impl SchemaDefinition {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            SchemaKind::Avro => 0,
            SchemaKind::Protobuf => 1,
            SchemaKind::Json => 2,
        };
        put_varint(out, kind);
        put_text(out, &self.text);
        put_varint(out, i64::try_from(self.references.len()).unwrap_or(0));
        for (name, subject, version) in &self.references {
            put_text(out, name);
            put_text(out, subject);
            put_varint(out, (*version).into());
        }
    }

    /// `None` for anything but exactly one definition.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let kind = match cursor.varint("the type").ok()? {
            0 => SchemaKind::Avro,
            1 => SchemaKind::Protobuf,
            2 => SchemaKind::Json,
            _ => return None,
        };
        let text = text(&mut cursor)?;
        let count = cursor.varint("the references").ok()?;
        if !(0..=REFERENCES_MAX).contains(&count) {
            return None;
        }
        let mut references = Vec::new();
        for _ in 0..count {
            let (name, subject) = (self::text(&mut cursor)?, self::text(&mut cursor)?);
            let version = cursor.varint("a version").ok()?;
            references.push((name, subject, i32::try_from(version).ok()?));
        }
        cursor.0.is_empty().then_some(Self {
            kind,
            text,
            references,
        })
    }
}

impl SubjectSchema {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id.into());
        put_varint(out, self.version.into());
        self.schema.encode(out);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, i64::try_from(text.len()).unwrap_or(0));
    out.extend_from_slice(text.as_bytes());
}

fn text(cursor: &mut Cursor<'_>) -> Option<String> {
    let bytes = cursor.nullable("a text").ok()??;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes worked out by hand from the encoding's description.
    #[test]
    fn vectors() {
        let schema = SchemaDefinition {
            kind: SchemaKind::Avro,
            text: "\"string\"".to_owned(),
            references: vec![("n".to_owned(), "s".to_owned(), 3)],
        };
        let bytes = [
            0, 0x10, 0x22, 0x73, 0x74, 0x72, 0x69, 0x6e, 0x67, 0x22, 2, 2, 0x6e, 2, 0x73, 6,
        ];
        let mut out = Vec::new();
        schema.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(SchemaDefinition::decode(&bytes), Some(schema.clone()));
        let subject = SubjectSchema {
            id: 7,
            version: 2,
            schema,
        };
        out.clear();
        subject.encode(&mut out);
        assert_eq!(out, [&[0x0e, 4][..], &bytes].concat());
    }

    #[test]
    fn other_bytes_are_no_definition() {
        for bytes in [
            &[][..],
            &[6, 0, 0],
            &[0, 1, 0],
            &[0, 0, 1],
            &[0, 0, 0, 0],
            &[0, 2, 0xff, 0],
        ] {
            assert_eq!(SchemaDefinition::decode(bytes), None, "{bytes:?}");
        }
    }
}
