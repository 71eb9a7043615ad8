//! An object whose fields are looked up and edited where they stand.

use std::fmt;

use super::copy::append;
use super::error::Error;
use super::members::{Braces, Kept, Member, Span};
use super::raw::Raw;
use super::write::WriteJson;

/// A JSON object whose members are looked up and edited in place. Dropping it keeps its buffers
/// for the next one.
pub struct Object<'a> {
    source: &'a [u8],
    braces: Braces,
    /// How many members come from the text.
    from_source: usize,
    members: Kept,
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// The text is not one JSON object, or above 4 GiB.
    #[inline]
    pub fn parse(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, Error> {
        let source = text.as_ref();
        let mut members = Kept::take();
        let braces = members.scan(source)?;
        Ok(Self {
            source,
            braces,
            from_source: members.list().len(),
            members,
        })
    }

    /// The value of a field, as edited so far.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<Raw<'_>> {
        let member = self.members.last(self.source, name)?;
        let edited = self.members.edit_of(member)?.value;
        Some(Raw::checked(match edited {
            Some(value) => value.of(&self.members.written),
            None => member.value.of(self.source),
        }))
    }

    /// The value a field had in the text, whatever was edited since. It may be held while the
    /// object is edited.
    #[must_use]
    #[inline]
    pub fn original(&self, name: &str) -> Option<Raw<'a>> {
        let member = self.members.last_in_text(self.source, name)?;
        Some(Raw::checked(member.value.of(self.source)))
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.members.first(self.source, name).is_some()
    }

    /// How many members there are, repeated names counted each time.
    #[must_use]
    pub fn len(&self) -> usize {
        let members = self.members.list().iter();
        members
            .filter(|m| self.members.edit_of(m).is_some())
            .count()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members of the text in their order, whatever was edited since: the name's literal and
    /// the value.
    #[must_use]
    pub fn original_fields(&self) -> Fields<'_, 'a> {
        let (original, _) = self.members.list().split_at(self.from_source);
        Fields {
            source: self.source,
            members: original.iter(),
        }
    }

    /// Removes a field; false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let mut next = self.members.first(self.source, name);
        let removed = next.is_some();
        while let Some(at) = next {
            self.members.remove(at);
            next = self.members.another(self.source, name, at);
        }
        removed
    }

    /// Gives a field another name, in its place; a field that had that name is removed. False if
    /// there is no such field.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(first) = self.members.first(self.source, from) else {
            return false;
        };
        if from == to {
            return true;
        }
        self.remove(to);
        let key = self.members.write_literal(to);
        let mut next = Some(first);
        while let Some(at) = next {
            self.members.set_key(at, key, to);
            next = self.members.another(self.source, from, at);
        }
        true
    }

    /// Sets a field: in its place if there is one, else at the end.
    pub fn set(&mut self, name: &str, value: impl WriteJson) {
        let key = self.write_key(name);
        value.write_json(&mut self.members.written);
        self.place(name, key);
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
        let key = self.write_key(name);
        serde_json::to_writer(&mut self.members.written, value)?;
        self.place(name, key);
        Ok(())
    }

    /// Appends the object as it is now.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (source, written) = (self.source, self.members.written.as_slice());
        out.reserve(source.len() + written.len() + 2);
        // The stretch of the source that is still to be copied: it grows over members that are
        // as they were, with what stands between them.
        let (mut from, mut to) = (self.braces.open, self.braces.open + 1);
        let mut is_first = true;
        let mut skipped = false;
        let (original, added) = self.members.list().split_at(self.from_source);
        // Only members between edits are looked at, and the one behind them: others stay.
        let edited = self.members.edited();
        let (before, rest) = original.split_at(edited.start.min(original.len()));
        if let Some(last) = before.last() {
            is_first = false;
            to = last.value.end as usize;
        }
        let (between, behind) = rest.split_at((edited.len() + 1).min(rest.len()));
        for member in between {
            let Some(edit) = self.members.edit_of(member) else {
                skipped = true;
                continue;
            };
            if skipped {
                copy(source, from, to, out);
                if !is_first {
                    out.push(b',');
                }
                from = member.key.start as usize;
                skipped = false;
            }
            is_first = false;
            to = member.value.end as usize;
            if let Some(key) = edit.key {
                copy(source, from, member.key.start as usize, out);
                append(out, key.of(written));
                from = member.key.end as usize;
            }
            if let Some(value) = edit.value {
                copy(source, from, member.value.start as usize, out);
                append(out, value.of(written));
                from = to;
            }
        }
        if let Some(last) = behind.last() {
            to = last.value.end as usize;
        }
        if added.is_empty() && !skipped {
            to = self.braces.close;
        }
        copy(source, from, to, out);
        self.write_added(added, is_first, out);
        out.push(b'}');
    }

    /// Appends the members that were added.
    #[inline]
    fn write_added(&self, added: &[Member], mut is_first: bool, out: &mut Vec<u8>) {
        let written = self.members.written.as_slice();
        for member in added {
            let Some(edit) = self.members.edit_of(member) else {
                continue;
            };
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            let (key, value) = (edit.key.unwrap_or_default(), edit.value.unwrap_or_default());
            if key.end + 1 == value.start {
                // As they were written: with their colon between them.
                let both = Span {
                    start: key.start,
                    end: value.end,
                };
                append(out, both.of(written));
            } else {
                append(out, key.of(written));
                out.push(b':');
                append(out, value.of(written));
            }
        }
    }

    /// Writes a key and its colon; the value follows.
    fn write_key(&mut self, name: &str) -> Span {
        let key = self.members.write_literal(name);
        self.members.written.push(b':');
        key
    }

    /// Gives a field the value written last, behind `key`: the first of its name keeps its place,
    /// others go.
    fn place(&mut self, name: &str, key: Span) {
        let value = Span::new(key.end as usize + 1, self.members.written.len());
        let Some(first) = self.members.first(self.source, name) else {
            self.members.add(key, value, name);
            return;
        };
        self.members.set_value(first, value);
        let mut next = self.members.another(self.source, name, first);
        while let Some(at) = next {
            self.members.remove(at);
            next = self.members.another(self.source, name, at);
        }
    }
}

#[inline]
fn copy(source: &[u8], from: usize, to: usize, out: &mut Vec<u8>) {
    append(out, source.get(from..to).unwrap_or_default());
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
