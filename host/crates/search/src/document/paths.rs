//! Bounds how many paths of an index have columns, so that documents that name their fields anew
//! each time cannot make segments of millions of columns.
//!
//! Paths are kept as keyed hashes: eight bytes each, however long they are, and nobody outside can
//! make two of them meet. A path beyond the bound gets no column; its document is taken, stored
//! and found by the words of its strings all the same. Paths are noted when documents are parsed,
//! before they are durable, and read back from the segments when the index is opened.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tracing::warn;

use super::tape::{Node, PATH_SEPARATOR};

/// Most paths of one index that have columns.
pub const COLUMN_PATHS_MAX: usize = 32_768;

/// The paths of one index that may have columns.
#[derive(Debug)]
pub(crate) struct ColumnPaths {
    index: String,
    max: usize,
    keyed: RandomState,
    known: RwLock<HashSet<u64, BuildHasherDefault<AsIs>>>,
    /// Documents with a value that got no column.
    beyond: AtomicU64,
}

/// What is hashed is a hash already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl ColumnPaths {
    pub(crate) fn new(index: &str, max: usize) -> Self {
        Self {
            index: index.to_owned(),
            max,
            keyed: RandomState::new(),
            known: RwLock::default(),
            beyond: AtomicU64::new(0),
        }
    }

    /// Whether a path may have a column; one that is new takes a place if there is one.
    pub(crate) fn admit(&self, path: &str) -> bool {
        let hash = self.keyed.hash_one(path);
        if self.known.read().contains(&hash) {
            return true;
        }
        let mut known = self.known.write();
        known.contains(&hash) || known.len() < self.max && known.insert(hash)
    }

    /// Documents so far with a value that got no column.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond.load(Ordering::Relaxed)
    }

    /// Takes the columns from values of paths beyond the bound; whether there were any. `nodes`
    /// are the document's, from `first` on of its batch's, whose text is `text`.
    pub(super) fn bound(&self, nodes: &mut [Node], first: usize, text: &str) -> bool {
        let (mut path, mut ends) = (String::new(), Vec::new());
        let mut any = false;
        for at in 0..nodes.len() {
            let Node::Key {
                at: key,
                len,
                depth,
            } = nodes[at]
            else {
                continue;
            };
            ends.truncate(usize::from(depth));
            path.truncate(ends.last().copied().unwrap_or(0));
            if !path.is_empty() {
                path.push(PATH_SEPARATOR);
            }
            let key = &text[key as usize..key as usize + len as usize];
            match key.contains('.') {
                true => path.extend(
                    key.chars()
                        .map(|c| if c == '.' { PATH_SEPARATOR } else { c }),
                ),
                false => path.push_str(key),
            }
            ends.push(path.len());
            let value = at + 1;
            if !matches!(nodes[value], Node::Object { .. }) && !self.admit(&path) {
                hide(nodes, value, first);
                any = true;
            }
        }
        if any && self.beyond.fetch_add(1, Ordering::Relaxed) == 0 {
            let (index, paths) = (&self.index, self.max);
            warn!(%index, paths, "the index has its most columns; new fields get none");
        }
        any
    }
}

/// Hides the scalars of a value from the columns. Objects in an array have paths of their own.
fn hide(nodes: &mut [Node], value: usize, first: usize) {
    let (mut at, end) = match nodes[value] {
        Node::Array { end } => (value + 1, end as usize - first),
        _ => (value, value + 1),
    };
    while at < end {
        match nodes[at] {
            Node::Object { end } => {
                at = end as usize - first;
                continue;
            }
            Node::Array { .. } | Node::Key { .. } => {}
            Node::Str { at: text, len } => nodes[at] = Node::Words { at: text, len },
            _ => nodes[at] = Node::Null,
        }
        at += 1;
    }
}

/// Whether two documents of one text have the same keys in the same order, so that the paths of
/// one are those of the other.
pub(super) fn same_keys(a: &[Node], b: &[Node], text: &str) -> bool {
    let slice = |at: u32, len: u32| &text[at as usize..at as usize + len as usize];
    let (mut a, mut b) = (keys(a), keys(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some((at, len, depth, object)), Some((at2, len2, depth2, object2))) => {
                let same = (len, depth, object) == (len2, depth2, object2);
                if !same || slice(at, len) != slice(at2, len2) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The keys of a document: where, how long, how deep, and whether an object is their value.
fn keys(nodes: &[Node]) -> impl Iterator<Item = (u32, u32, u8, bool)> {
    nodes.windows(2).filter_map(|pair| match pair[0] {
        Node::Key { at, len, depth } => {
            let object = matches!(pair[1], Node::Object { .. });
            Some((at, len, depth, object))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tape::{self, Tape};
    use super::*;

    fn parsed(text: &str) -> (Tape, String) {
        let mut tape = Tape::default();
        tape::parse(text, 0, &mut tape).unwrap();
        let text = format!("{text}{}", tape.extra);
        (tape, text)
    }

    /// The strings and numbers that still have columns.
    fn columns(tape: &Tape) -> usize {
        let scalar = |n: &&Node| {
            matches!(
                n,
                Node::Str { .. } | Node::I64(_) | Node::Bool(_) | Node::Date(_)
            )
        };
        tape.nodes.iter().filter(scalar).count()
    }

    #[test]
    fn paths_beyond_the_bound_lose_their_columns() {
        let paths = ColumnPaths::new("a", 3);
        let rows = [
            (r#"{"a":1,"b":{"c":"x"}}"#, 2, 0),
            // The same path, written otherwise.
            (r#"{"b.c":"y","b\u002ec":"z"}"#, 2, 0),
            (r#"{"d":{"e":{}},"f":["x",[5],{"a":1}]}"#, 2, 1),
            (r#"{"a":7,"b":{"c":"x","g":true},"h":"2026-11-21"}"#, 2, 2),
            (r#"{"a":1,"b":{"c":"x"}}"#, 2, 2),
        ];
        for (text, left, beyond) in rows {
            let (mut tape, text) = parsed(text);
            paths.bound(&mut tape.nodes, 0, &text);
            assert_eq!((columns(&tape), paths.beyond()), (left, beyond), "{text}");
        }
        let (mut tape, text) = parsed(r#"{"new":["some","words"]}"#);
        assert!(paths.bound(&mut tape.nodes, 0, &text));
        let words = tape
            .nodes
            .iter()
            .filter(|n| matches!(n, Node::Words { .. }));
        assert_eq!(words.count(), 2);
    }

    #[test]
    fn documents_of_the_same_keys_are_known() {
        let same = |a: &str, b: &str| {
            let text = format!("{a}{b}");
            let (mut one, mut two) = (Tape::default(), Tape::default());
            tape::parse(a, 0, &mut one).unwrap();
            tape::parse(b, a.len(), &mut two).unwrap();
            same_keys(&one.nodes, &two.nodes, &text)
        };
        let rows = [
            (r#"{"a":1,"b":"x"}"#, r#"{"a":2.5,"b":null}"#, true),
            (r#"{"a":[1,2]}"#, r#"{"a":[]}"#, true),
            (r#"{"a":{"b":1}}"#, r#"{"a":{"b":[{}]}}"#, true),
            (r#"{"a":1}"#, r#"{"a":{}}"#, false),
            (r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#, false),
            (r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false),
            (r#"{"a":1}"#, r#"{"b":1}"#, false),
        ];
        for (a, b, wanted) in rows {
            assert_eq!(same(a, b), wanted, "{a} {b}");
        }
    }
}
