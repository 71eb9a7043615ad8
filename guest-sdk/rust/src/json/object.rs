//! An object whose fields are looked up and edited where they stand.

use std::fmt;

use super::copy::append;
use super::error::Error;
use super::members::{Braces, Kept, Member, Span};
use super::name::Name;
use super::raw::Raw;
use super::text;
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
        self.value(&Name::new(name))
    }

    /// The last value of a name, which counts.
    fn value(&self, name: &Name<'_>) -> Option<Raw<'_>> {
        let mut at = self.next(name, 0)?;
        while let Some(next) = self.next(name, at + 1) {
            at = next;
        }
        let member = self.members.list().get(at)?;
        let edited = self.members.edit_of(member)?.value;
        Some(Raw::checked(match edited {
            Some(value) => value.of(&self.members.written),
            None => member.value.of(self.source),
        }))
    }

    /// The first member of that name from a place on.
    #[inline]
    fn next(&self, name: &Name<'_>, mut from: usize) -> Option<usize> {
        loop {
            let at = self.members.candidate(name, from)?;
            if self.is_named(at, name) {
                return Some(at);
            }
            from = at + 1;
        }
    }

    #[inline(never)]
    fn is_named(&self, at: usize, name: &Name<'_>) -> bool {
        self.members.is_named(self.source, at, name.text)
    }

    /// The value a field had in the text, whatever was edited since. It may be held while the
    /// object is edited.
    #[must_use]
    #[inline]
    pub fn original(&self, name: &str) -> Option<Raw<'a>> {
        let mut fields = self.original_fields();
        let named = fields.rfind(|(key, _)| text::means(key.bytes(), name));
        named.map(|(_, value)| value)
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.next(&Name::new(name), 0).is_some()
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
    #[inline]
    pub fn remove(&mut self, name: &str) -> bool {
        self.remove_from(&Name::new(name), 0)
    }

    /// Removes the members of a name from a place on; false if there is none.
    fn remove_from(&mut self, name: &Name<'_>, mut from: usize) -> bool {
        let mut removed = false;
        while let Some(at) = self.next(name, from) {
            self.members.remove(at);
            removed = true;
            from = at + 1;
        }
        removed
    }

    /// Gives a field another name, in its place; a field that had that name is removed. False if
    /// there is no such field.
    #[inline]
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let (old, new) = (Name::new(from), Name::new(to));
        let Some(first) = self.make_room(&old, &new) else {
            return false;
        };
        if from != to {
            self.members.write_name(to);
            self.call(first, &old, &new);
        }
        true
    }

    /// The first member of a name; members of another one that it is to have are removed.
    fn make_room(&mut self, old: &Name<'_>, new: &Name<'_>) -> Option<usize> {
        let first = self.next(old, 0)?;
        if old.text != new.text {
            self.remove_from(new, 0);
        }
        Some(first)
    }

    /// Gives the members of a name, the first of which is known, the name written last.
    fn call(&mut self, mut at: usize, old: &Name<'_>, new: &Name<'_>) {
        self.members.set_key(at, new);
        while let Some(next) = self.next(old, at + 1) {
            at = next;
            self.members.set_key(at, new);
        }
    }

    /// Sets a field: in its place if there is one, else at the end.
    #[inline]
    pub fn set(&mut self, name: &str, value: impl WriteJson) {
        self.write_key(name);
        value.write_json(&mut self.members.written);
        self.place(&Name::new(name));
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
        self.write_key(name);
        serde_json::to_writer(&mut self.members.written, value)?;
        self.place(&Name::new(name));
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
    #[inline]
    fn write_key(&mut self, name: &str) {
        self.members.write_name(name);
        self.members.written.push(b':');
    }

    /// Gives a field the value written last, behind its name: the first of its name keeps its
    /// place, others go.
    fn place(&mut self, name: &Name<'_>) {
        match self.next(name, 0) {
            None => self.members.add(name),
            Some(first) => {
                self.members.set_value(first);
                self.remove_from(name, first + 1);
            }
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

impl<'a> Fields<'_, 'a> {
    fn field(&self, member: &Member) -> (Raw<'a>, Raw<'a>) {
        let raw = |span: Span| Raw::checked(span.of(self.source));
        (raw(member.key), raw(member.value))
    }
}

impl<'a> Iterator for Fields<'_, 'a> {
    type Item = (Raw<'a>, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.members.next()?;
        Some(self.field(member))
    }
}

impl DoubleEndedIterator for Fields<'_, '_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let member = self.members.next_back()?;
        Some(self.field(member))
    }
}
