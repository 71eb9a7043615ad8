//! A batch of parsed documents, and how tantivy reads one of them.
//!
//! tantivy asks for each field in turn; values are slices of the batch's text. The same tape is
//! read twice under two views: everything as columns, and strings only as tokens.

use std::sync::Arc;

use tantivy::DateTime;
use tantivy::schema::Field;
use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf, Value};
use tokio::sync::OwnedSemaphorePermit;
use wstream_record::{Offset, Timestamp};

use super::paths::{ColumnPaths, same_keys};
use super::tape::{self, DocumentError, Node, Tape};
use crate::schema::{COLUMN_STRING_BYTES_MAX, Fields};
use crate::time::timestamp_nanos;

const TIMESTAMP: &str = "@timestamp";
const NANOS_PER_MILLI: i64 = 1_000_000;

/// A document before it is parsed.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) offset: Offset,
    pub(crate) n: u32,
    pub(crate) key: Option<&'a str>,
    pub(crate) timestamp: Timestamp,
    pub(crate) json: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    text: (u32, u32),
    /// Behind the tape's last node of this document.
    nodes: (u32, u32),
    key: Option<(u32, u32)>,
    long: (u32, u32),
    ts_nanos: i64,
    offset: u64,
    n: u32,
}

/// Parsed documents of one source, sharing one text.
#[derive(Debug)]
pub(crate) struct TapeBatch {
    text: String,
    tape: Vec<Node>,
    long: Vec<(u32, u32)>,
    entries: Vec<Entry>,
    fields: Fields,
    src: u64,
    /// Room in the queue, given back when tantivy has read the last document.
    _room: Option<OwnedSemaphorePermit>,
}

/// Fills a batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    text: String,
    tape: Tape,
    entries: Vec<Entry>,
    /// The first node of the last document, if all its paths may have columns.
    like: Option<usize>,
}

impl BatchBuilder {
    pub(crate) fn new(documents: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            tape: Tape::default(),
            entries: Vec::with_capacity(documents),
            like: None,
        }
    }

    /// Bytes of text so far.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Parses and takes one document; a refused one leaves no trace.
    pub(crate) fn push(
        &mut self,
        document: &Incoming<'_>,
        paths: &ColumnPaths,
    ) -> Result<(), DocumentError> {
        let json = std::str::from_utf8(document.json).map_err(|error| DocumentError::Utf8 {
            at: error.valid_up_to(),
        })?;
        let (base, first, long) = (self.text.len(), self.tape.nodes.len(), self.tape.long.len());
        self.tape.extra.clear();
        if let Err(error) = tape::parse(json, base, &mut self.tape) {
            self.tape.nodes.truncate(first);
            self.tape.long.truncate(long);
            return Err(error);
        }
        self.text.push_str(json);
        self.text.push_str(&self.tape.extra);
        let key = document.key.map(|key| {
            let at = self.text.len();
            self.text.push_str(key);
            (small(at), small(key.len()))
        });
        let ts_nanos = self
            .take_timestamp(first)
            .unwrap_or_else(|| document.timestamp.0.saturating_mul(NANOS_PER_MILLI));
        self.bound(first, long, paths);
        self.entries.push(Entry {
            text: (small(base), small(json.len())),
            nodes: (small(first), small(self.tape.nodes.len())),
            key,
            long: (small(long), small(self.tape.long.len())),
            ts_nanos,
            offset: u64::try_from(document.offset.0).unwrap_or(0),
            n: document.n,
        });
        Ok(())
    }

    /// Keeps the last document's paths to those that may have columns.
    fn bound(&mut self, first: usize, long: usize, paths: &ColumnPaths) {
        let (before, nodes) = self.tape.nodes.split_at_mut(first);
        let like = self
            .like
            .is_some_and(|like| same_keys(&before[like..], nodes, &self.text));
        if !like && paths.bound(nodes, first, &self.text) {
            self.like = None;
            let text = &self.text;
            let mut at = 0;
            self.tape.long.retain(|(path, len)| {
                at += 1;
                at <= long || paths.admit(slice(text, *path, *len))
            });
        } else {
            self.like = Some(first);
        }
    }

    /// Finds `@timestamp` at the top of the document and takes it out of the columns: it has a
    /// field of its own.
    fn take_timestamp(&mut self, first: usize) -> Option<i64> {
        let Node::Object { end } = *self.tape.nodes.get(first)? else {
            return None;
        };
        let mut at = first + 1;
        while at < end as usize {
            let Node::Key { at: key, len, .. } = self.tape.nodes[at] else {
                return None;
            };
            let value = at + 1;
            if len as usize == TIMESTAMP.len() && slice(&self.text, key, len) == TIMESTAMP {
                let nanos = match self.tape.nodes[value] {
                    Node::I64(millis) => millis.checked_mul(NANOS_PER_MILLI),
                    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
                    Node::F64(millis) => Some((millis * 1e6) as i64),
                    Node::Date(nanos) => Some(nanos),
                    Node::Str { at, len } => timestamp_nanos(slice(&self.text, at, len)),
                    _ => None,
                };
                if nanos.is_some() {
                    self.tape.nodes[value] = Node::Null;
                }
                return nanos;
            }
            at = behind(&self.tape.nodes, value);
        }
        None
    }

    /// The finished batch of source number `src`.
    pub(crate) fn finish(
        self,
        fields: Fields,
        src: u64,
        room: Option<OwnedSemaphorePermit>,
    ) -> Arc<TapeBatch> {
        Arc::new(TapeBatch {
            text: self.text,
            tape: self.tape.nodes,
            long: self.tape.long,
            entries: self.entries,
            fields,
            src,
            _room: room,
        })
    }
}

impl TapeBatch {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn offset(&self, index: usize) -> Offset {
        Offset(i64::try_from(self.entries[index].offset).unwrap_or(i64::MAX))
    }

    pub(crate) fn key(&self, index: usize) -> Option<&str> {
        let (at, len) = self.entries[index].key?;
        Some(slice(&self.text, at, len))
    }
}

/// One document of a batch, as tantivy takes it.
#[derive(Debug)]
pub(crate) struct TapeDocument {
    pub(crate) batch: Arc<TapeBatch>,
    pub(crate) index: u32,
}

/// Which values of a tape a field sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Everything but long strings.
    Columns,
    /// Strings only.
    Text,
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TapeValue<'a> {
    Str(&'a str),
    Bytes(&'a [u8]),
    U64(u64),
    Date(i64),
    Node {
        batch: &'a TapeBatch,
        at: u32,
        view: View,
    },
}

/// The elements of an array or the members of an object.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    batch: &'a TapeBatch,
    at: u32,
    end: u32,
    view: View,
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Members<'a>(Elements<'a>);

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("a batch's text is far below 4 GiB")
}

fn slice(text: &str, at: u32, len: u32) -> &str {
    &text[at as usize..at as usize + len as usize]
}

/// The index behind the value at `at`.
fn behind(nodes: &[Node], at: usize) -> usize {
    match nodes[at] {
        Node::Object { end } | Node::Array { end } => end as usize,
        _ => at + 1,
    }
}

impl<'a> Elements<'a> {
    fn take(&mut self) -> Option<TapeValue<'a>> {
        if self.at >= self.end {
            return None;
        }
        let value = TapeValue::Node {
            batch: self.batch,
            at: self.at,
            view: self.view,
        };
        self.at = small(behind(&self.batch.tape, self.at as usize));
        Some(value)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = TapeValue<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, TapeValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let inner = &mut self.0;
        if inner.at >= inner.end {
            return None;
        }
        let Node::Key { at, len, .. } = inner.batch.tape[inner.at as usize] else {
            return None;
        };
        inner.at += 1;
        let value = inner.take()?;
        Some((slice(&inner.batch.text, at, len), value))
    }
}

impl<'a> Value<'a> for TapeValue<'a> {
    type ArrayIter = Elements<'a>;
    type ObjectIter = Members<'a>;

    #[inline]
    fn as_value(&self) -> ReferenceValue<'a, Self> {
        use ReferenceValueLeaf as Leaf;
        let (batch, at, view) = match *self {
            TapeValue::Str(text) => return ReferenceValue::Leaf(Leaf::Str(text)),
            TapeValue::Bytes(bytes) => return ReferenceValue::Leaf(Leaf::Bytes(bytes)),
            TapeValue::U64(n) => return ReferenceValue::Leaf(Leaf::U64(n)),
            TapeValue::Date(nanos) => {
                return ReferenceValue::Leaf(Leaf::Date(DateTime::from_timestamp_nanos(nanos)));
            }
            TapeValue::Node { batch, at, view } => (batch, at, view),
        };
        let elements = |end| Elements {
            batch,
            at: at + 1,
            end,
            view,
        };
        ReferenceValue::Leaf(match batch.tape[at as usize] {
            Node::Object { end } => return ReferenceValue::Object(Members(elements(end))),
            Node::Array { end } => return ReferenceValue::Array(elements(end)),
            Node::Str { at, len } => {
                if view == View::Columns && len as usize > COLUMN_STRING_BYTES_MAX {
                    Leaf::Null
                } else {
                    Leaf::Str(slice(&batch.text, at, len))
                }
            }
            Node::Words { at, len } if view == View::Text => Leaf::Str(slice(&batch.text, at, len)),
            Node::Null | Node::Key { .. } | Node::Words { .. } => Leaf::Null,
            _ if view == View::Text => Leaf::Null,
            Node::Bool(value) => Leaf::Bool(value),
            Node::I64(value) => Leaf::I64(value),
            Node::U64(value) => Leaf::U64(value),
            Node::F64(value) => Leaf::F64(value),
            Node::Date(nanos) => Leaf::Date(DateTime::from_timestamp_nanos(nanos)),
        })
    }
}

/// The fields of one document in turn.
#[derive(Debug)]
pub(crate) struct FieldValues<'a> {
    batch: &'a TapeBatch,
    entry: Entry,
    step: u32,
}

impl Document for TapeDocument {
    type Value<'a> = TapeValue<'a>;
    type FieldsValuesIter<'a> = FieldValues<'a>;

    fn iter_fields_and_values(&self) -> FieldValues<'_> {
        FieldValues {
            batch: &self.batch,
            entry: self.batch.entries[self.index as usize],
            step: 0,
        }
    }
}

impl<'a> Iterator for FieldValues<'a> {
    type Item = (Field, TapeValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (batch, entry, fields) = (self.batch, &self.entry, &self.batch.fields);
        let node = |view| TapeValue::Node {
            batch,
            at: entry.nodes.0,
            view,
        };
        loop {
            let step = self.step;
            self.step += 1;
            return Some(match step {
                0 => (fields.ts, TapeValue::Date(entry.ts_nanos)),
                1 => (fields.src, TapeValue::U64(batch.src)),
                2 => (fields.off, TapeValue::U64(entry.offset)),
                3 => (fields.n, TapeValue::U64(u64::from(entry.n))),
                4 => match entry.key {
                    Some((at, len)) => (fields.id, TapeValue::Str(slice(&batch.text, at, len))),
                    None => continue,
                },
                5 => {
                    let (at, len) = (entry.text.0 as usize, entry.text.1 as usize);
                    let bytes = &batch.text.as_bytes()[at..at + len];
                    (fields.source, TapeValue::Bytes(bytes))
                }
                6 => (fields.doc, node(View::Columns)),
                7 => (fields.text, node(View::Text)),
                _ => {
                    let at = entry.long.0 + (step - 8);
                    if at >= entry.long.1 {
                        return None;
                    }
                    let (at, len) = batch.long[at as usize];
                    (fields.long, TapeValue::Str(slice(&batch.text, at, len)))
                }
            });
        }
    }
}
