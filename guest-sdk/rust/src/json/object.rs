//! An object as a list of where its members are, and the edits made to it.

use std::cell::RefCell;
use std::fmt;

use super::error::Error;
use super::raw::Raw;
use super::scan::{self, Scanner};
use super::text;
use super::write::WriteJson;

/// Buffers kept for the next object of this thread; more objects at once allocate their own.
const BUFFERS_KEPT_MAX: usize = 8;

thread_local! {
    static BUFFERS: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// A JSON object whose members are looked up and edited in place. Dropping it keeps its buffers
/// for the next one.
pub struct Object<'a> {
    source: &'a [u8],
    buffers: Buffers,
    /// Where the braces are, and how many members come from the source.
    open: usize,
    close: usize,
    from_source: usize,
}

#[derive(Debug, Default)]
struct Buffers {
    members: Vec<Member>,
    edits: Vec<Edit>,
    /// Keys and values that were set, as JSON.
    written: Vec<u8>,
}

/// A stretch of bytes; texts above 4 GiB are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    /// In the source; empty for a member that was added.
    key: Span,
    value: Span,
    key_escaped: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AsWritten,
    Removed,
    /// Index into the edits.
    Edited(u32),
}

/// What replaces a key or a value: stretches of what was written.
#[derive(Debug, Clone, Copy, Default)]
struct Edit {
    key: Option<Span>,
    value: Option<Span>,
}

impl Span {
    const EMPTY: Self = Self { start: 0, end: 0 };

    /// Of places within a text of at most 4 GiB.
    #[inline]
    const fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    #[inline]
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// The text is not one JSON object, or above 4 GiB.
    #[inline]
    pub fn parse(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, Error> {
        let source = text.as_ref();
        let buffers = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let mut object = Self {
            source,
            buffers,
            open: 0,
            close: 0,
            from_source: 0,
        };
        object.scan()?;
        Ok(object)
    }

    fn scan(&mut self) -> Result<(), Error> {
        let mut scanner = Scanner::new(self.source);
        if u32::try_from(self.source.len()).is_err() {
            return Err(scanner.error("more than 4 GiB"));
        }
        scanner.space();
        self.open = scanner.at();
        if !scanner.take(b'{') {
            return Err(scanner.error("an opening brace is missing"));
        }
        scanner.space();
        if !scanner.take(b'}') {
            loop {
                let key_start = scanner.at();
                if scanner.peek() != Some(b'"') {
                    return Err(scanner.error("a key is missing"));
                }
                let key_escaped = scanner.string()?;
                let key = Span::new(key_start, scanner.at());
                scanner.colon()?;
                let value_start = scanner.at();
                scanner.value(1)?;
                let value = Span::new(value_start, scanner.at());
                self.buffers.members.push(Member {
                    key,
                    value,
                    key_escaped,
                    state: State::AsWritten,
                });
                scanner.space();
                if scanner.take(b',') {
                    scanner.space();
                } else if scanner.take(b'}') {
                    break;
                } else {
                    return Err(scanner.error("a comma or the end of the object is missing"));
                }
            }
        }
        self.close = scanner.at() - 1;
        self.from_source = self.buffers.members.len();
        scan::finish(scanner, self.source)
    }

    /// The value of a field, as edited so far.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<Raw<'_>> {
        let found = self
            .buffers
            .members
            .iter()
            .rev()
            .find(|m| self.is_named(m, name));
        found.map(|member| self.value(member))
    }

    /// The value a field had in the text, whatever was edited since. It may be held while the
    /// object is edited.
    #[must_use]
    #[inline]
    pub fn original(&self, name: &str) -> Option<Raw<'a>> {
        let members = self.buffers.members.get(..self.from_source)?;
        let found = members
            .iter()
            .rev()
            .find(|m| text::means(m.key.of(self.source), m.key_escaped, name));
        found.map(|member| Raw::checked(member.value.of(self.source)))
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many members there are, repeated names counted each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live().count()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live().next().is_none()
    }

    /// The members of the text in their order, whatever was edited since: the name's literal and
    /// the value.
    #[must_use]
    pub fn original_fields(&self) -> Fields<'_, 'a> {
        Fields {
            source: self.source,
            members: self
                .buffers
                .members
                .get(..self.from_source)
                .unwrap_or_default()
                .iter(),
        }
    }

    /// Removes a field; false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let mut removed = false;
        for at in 0..self.buffers.members.len() {
            if self.named_at(at, name) {
                self.set_state(at, State::Removed);
                removed = true;
            }
        }
        removed
    }

    /// Gives a field another name, in its place; a field that had that name is removed. False if
    /// there is no such field.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        if from == to || !self.contains(from) {
            return self.contains(from);
        }
        self.remove(to);
        let key = self.write_literal(to);
        for at in 0..self.buffers.members.len() {
            if self.named_at(at, from)
                && let Some(edit) = self.edit(at)
            {
                edit.key = Some(key);
            }
        }
        true
    }

    /// Sets a field: in its place if there is one, else at the end.
    pub fn set(&mut self, name: &str, value: impl WriteJson) {
        let start = self.buffers.written.len();
        value.write_json(&mut self.buffers.written);
        let value = Span::new(start, self.buffers.written.len());
        self.place(name, value);
    }

    /// Sets a field to what serde makes of a value.
    ///
    /// # Errors
    /// The value cannot be JSON; the object is as before.
    pub fn set_serde<T: serde::Serialize + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        let start = self.buffers.written.len();
        let result = serde_json::to_writer(&mut self.buffers.written, value);
        if let Err(error) = result {
            self.buffers.written.truncate(start);
            return Err(error);
        }
        let value = Span::new(start, self.buffers.written.len());
        self.place(name, value);
        Ok(())
    }

    /// Appends the object as it is now.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.source.len() + self.buffers.written.len() + 2);
        let (source, written) = (self.source, self.buffers.written.as_slice());
        let copy = |out: &mut Vec<u8>, from: usize, to: usize| {
            out.extend_from_slice(source.get(from..to).unwrap_or_default());
        };
        // The stretch of the source that is still to be copied: it grows over members that are
        // as they were, with what stands between them.
        let (mut from, mut to) = (self.open, self.open + 1);
        let mut is_first = true;
        let mut skipped = false;
        let (original, added) = self.buffers.members.split_at(self.from_source);
        for member in original {
            let edit = match member.state {
                State::Removed => {
                    skipped = true;
                    continue;
                }
                State::AsWritten => Edit::default(),
                State::Edited(at) => self.edit_of(at),
            };
            if skipped {
                copy(out, from, to);
                if !is_first {
                    out.push(b',');
                }
                from = member.key.start as usize;
                skipped = false;
            }
            is_first = false;
            to = member.value.end as usize;
            if let Some(key) = edit.key {
                copy(out, from, member.key.start as usize);
                out.extend_from_slice(key.of(written));
                from = member.key.end as usize;
            }
            if let Some(value) = edit.value {
                copy(out, from, member.value.start as usize);
                out.extend_from_slice(value.of(written));
                from = to;
            }
        }
        if added.is_empty() && !skipped {
            to = self.close;
        }
        copy(out, from, to);
        for member in added {
            let State::Edited(at) = member.state else {
                continue;
            };
            let edit = self.edit_of(at);
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            out.extend_from_slice(edit.key.unwrap_or(Span::EMPTY).of(written));
            out.push(b':');
            out.extend_from_slice(edit.value.unwrap_or(Span::EMPTY).of(written));
        }
        out.push(b'}');
    }

    fn live(&self) -> impl Iterator<Item = &Member> {
        let members = self.buffers.members.iter();
        members.filter(|member| member.state != State::Removed)
    }

    #[inline]
    fn edit_of(&self, at: u32) -> Edit {
        self.buffers
            .edits
            .get(at as usize)
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    fn is_named(&self, member: &Member, name: &str) -> bool {
        match member.state {
            State::AsWritten => text::means(member.key.of(self.source), member.key_escaped, name),
            State::Removed => false,
            State::Edited(at) => match self.edit_of(at).key {
                Some(key) => text::means(key.of(&self.buffers.written), true, name),
                None => text::means(member.key.of(self.source), member.key_escaped, name),
            },
        }
    }

    fn named_at(&self, at: usize, name: &str) -> bool {
        let member = self.buffers.members.get(at);
        member.is_some_and(|member| self.is_named(member, name))
    }

    fn value(&self, member: &Member) -> Raw<'_> {
        let edited = match member.state {
            State::Edited(at) => self.edit_of(at).value,
            State::AsWritten | State::Removed => None,
        };
        Raw::checked(match edited {
            Some(value) => value.of(&self.buffers.written),
            None => member.value.of(self.source),
        })
    }

    fn set_state(&mut self, at: usize, state: State) {
        if let Some(member) = self.buffers.members.get_mut(at) {
            member.state = state;
        }
    }

    /// The edit of a member, a new one if it has none.
    fn edit(&mut self, at: usize) -> Option<&mut Edit> {
        let member = self.buffers.members.get_mut(at)?;
        if let State::Edited(edit) = member.state {
            return self.buffers.edits.get_mut(edit as usize);
        }
        member.state = State::Edited(self.buffers.edits.len() as u32);
        self.buffers.edits.push(Edit::default());
        self.buffers.edits.last_mut()
    }

    fn write_literal(&mut self, text: &str) -> Span {
        let start = self.buffers.written.len();
        text::encode(text, &mut self.buffers.written);
        Span::new(start, self.buffers.written.len())
    }

    /// Gives a field a written value: the first of its name keeps its place, others go.
    fn place(&mut self, name: &str, value: Span) {
        let mut placed = false;
        for at in 0..self.buffers.members.len() {
            if !self.named_at(at, name) {
                continue;
            }
            if placed {
                self.set_state(at, State::Removed);
            } else if let Some(edit) = self.edit(at) {
                edit.value = Some(value);
                placed = true;
            }
        }
        if placed {
            return;
        }
        let key = self.write_literal(name);
        let edits = &mut self.buffers.edits;
        self.buffers.members.push(Member {
            key: Span::EMPTY,
            value: Span::EMPTY,
            key_escaped: false,
            state: State::Edited(edits.len() as u32),
        });
        edits.push(Edit {
            key: Some(key),
            value: Some(value),
        });
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.members.clear();
        buffers.edits.clear();
        buffers.written.clear();
        // While the thread ends its buffers may be gone already; then these go too.
        let _kept = BUFFERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < BUFFERS_KEPT_MAX {
                kept.push(buffers);
            }
        });
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The members of an object's text.
#[derive(Debug)]
pub struct Fields<'o, 'a> {
    source: &'a [u8],
    members: std::slice::Iter<'o, Member>,
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = (Raw<'a>, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.members.next()?;
        Some((
            Raw::checked(member.key.of(self.source)),
            Raw::checked(member.value.of(self.source)),
        ))
    }
}
