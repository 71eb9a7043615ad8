//! Where the members of an object are, and the edits made to them.
//!
//! A name's tag decides nearly every comparison without a look at the text. Buffers are kept for
//! the next object of the thread.

use std::cell::RefCell;
use std::ops::Range;

use super::error::Error;
use super::name::{Names, Tag, same};
use super::scan::{self, Holds};
use super::text;

/// Buffers kept for the next object of this thread; more objects at once allocate their own.
const BUFFERS_KEPT_MAX: usize = 8;

thread_local! {
    static BUFFERS: RefCell<Vec<Option<Box<Members>>>> = const { RefCell::new(Vec::new()) };
}

/// Members whose buffers go back to the thread when it is dropped. Boxed: moving the buffers about
/// would cost more than the pointer.
#[derive(Debug)]
pub(super) struct Kept(Option<Box<Members>>);

impl Kept {
    #[inline]
    pub(super) fn take() -> Self {
        let kept = BUFFERS.with_borrow_mut(Vec::pop).flatten();
        Self(Some(kept.unwrap_or_default()))
    }
}

impl std::ops::Deref for Kept {
    type Target = Members;

    #[inline]
    fn deref(&self) -> &Members {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl std::ops::DerefMut for Kept {
    #[inline]
    fn deref_mut(&mut self) -> &mut Members {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.clear();
        let members = self.0.take();
        // While the thread ends what it kept may be gone already; then this goes too.
        let _kept = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < BUFFERS_KEPT_MAX {
                buffers.push(members);
            }
        });
    }
}

/// The members of one object: those of its text, then those that were added.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    names: Names,
    /// Nothing was done to the members before and behind these.
    edited: Range<usize>,
    edits: Vec<Edit>,
    /// Keys and values that were set, as JSON.
    pub(super) written: Vec<u8>,
}

/// A stretch of bytes; texts above 4 GiB are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// In the text; empty for a member that was added.
    pub(super) key: Span,
    pub(super) value: Span,
    /// Of the name as it is now.
    tag: Tag,
    state: State,
}

/// What was done to a member: an index into the edits, or one of the values below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const AS_WRITTEN: Self = Self(u32::MAX);
    const REMOVED: Self = Self(u32::MAX - 1);
}

/// What replaces a key or a value: stretches of what was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edit {
    pub(super) key: Option<Span>,
    pub(super) value: Option<Span>,
}

/// The braces of an object's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Braces {
    pub(super) open: usize,
    pub(super) close: usize,
}

impl Span {
    /// Of places within a text of at most 4 GiB.
    #[inline]
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let range = self.start as usize..self.end as usize;
        bytes.get(range).unwrap_or_default()
    }
}

impl Members {
    fn clear(&mut self) {
        self.list.clear();
        self.names = Names::default();
        self.edited = 0..0;
        self.edits.clear();
        self.written.clear();
    }

    /// Reads an object's text and notes its members.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Braces, Error> {
        let wrong = |at, what| Err(Error { what, at });
        if u32::try_from(bytes.len()).is_err() {
            return wrong(0, "more than 4 GiB");
        }
        let open = scan::space(bytes, 0);
        if bytes.get(open) != Some(&b'{') {
            return wrong(open, "an opening brace is missing");
        }
        let mut holds = Holds::default();
        let mut names = Names::default();
        let inside = scan::space(bytes, open + 1);
        let (mut place, mut more) = if bytes.get(inside) == Some(&b'}') {
            (inside + 1, false)
        } else {
            (scan::key(bytes, inside)?, true)
        };
        while more {
            let key = place;
            let (key_end, escaped) = scan::string(bytes, key, &mut holds)?;
            let value = scan::colon(bytes, key_end)?;
            let value_end = scan::value(bytes, value, 1, &mut holds)?;
            let tag = if escaped {
                Tag::ESCAPED
            } else {
                Tag::at(bytes, key, key_end - 1 - key)
            };
            names.add(tag);
            self.list.push(Member {
                key: Span::new(key - 1, key_end),
                value: Span::new(value.0, value_end),
                tag,
                state: State::AS_WRITTEN,
            });
            (place, more) = scan::next_key(bytes, value_end)?;
        }
        self.names = names;
        scan::finish(bytes, place, holds)?;
        let close = place - 1;
        Ok(Braces { open, close })
    }

    /// The members from the first to the last that something was done to.
    pub(super) fn edited(&self) -> Range<usize> {
        self.edited.clone()
    }

    fn note_edit(&mut self, at: usize) {
        if self.edited.is_empty() {
            self.edited = at..at + 1;
        } else {
            self.edited = self.edited.start.min(at)..self.edited.end.max(at + 1);
        }
    }

    pub(super) fn list(&self) -> &[Member] {
        &self.list
    }

    /// What replaces parts of a member; nothing if it was removed.
    #[inline]
    pub(super) fn edit_of(&self, member: &Member) -> Option<Edit> {
        match member.state {
            State::AS_WRITTEN => Some(Edit::default()),
            State::REMOVED => None,
            State(at) => self.edits.get(at as usize).copied(),
        }
    }

    /// The first member of that name.
    #[inline]
    pub(super) fn first(&self, source: &[u8], name: &str) -> Option<usize> {
        let tag = Tag::of(name.as_bytes());
        if !self.names.may_have(tag) {
            return None;
        }
        self.list.iter().position(|m| self.is(source, m, name, tag))
    }

    /// The next member of that name behind one that was found.
    #[inline]
    pub(super) fn another(&self, source: &[u8], name: &str, found: usize) -> Option<usize> {
        let tag = Tag::of(name.as_bytes());
        if !self.names.may_have_two(tag) {
            return None;
        }
        let behind = self.list.get(found + 1..)?;
        let next = behind.iter().position(|m| self.is(source, m, name, tag));
        next.map(|n| found + 1 + n)
    }

    /// The last member of that name, whose value counts.
    #[inline]
    pub(super) fn last(&self, source: &[u8], name: &str) -> Option<&Member> {
        let tag = Tag::of(name.as_bytes());
        if !self.names.may_have(tag) {
            return None;
        }
        self.list.iter().rfind(|m| self.is(source, m, name, tag))
    }

    /// The last member that had that name in the text.
    pub(super) fn last_in_text(&self, source: &[u8], name: &str) -> Option<&Member> {
        if self.edited.is_empty() {
            return self.last(source, name);
        }
        let mut members = self.list.iter().filter(|m| m.key != Span::default());
        members.rfind(|m| text::means(m.key.of(source), name))
    }

    /// Whether a member is there and has that name, whose tag this is.
    #[inline(always)]
    fn is(&self, source: &[u8], member: &Member, name: &str, tag: Tag) -> bool {
        if member.tag == tag && member.state == State::AS_WRITTEN {
            return tag.is_whole() || same(text::inner(member.key.of(source)), name.as_bytes());
        }
        member.tag.fits(tag) && self.has_name(source, member, name)
    }

    #[inline(never)]
    fn has_name(&self, source: &[u8], member: &Member, name: &str) -> bool {
        let Some(edit) = self.edit_of(member) else {
            return false;
        };
        let literal = match edit.key {
            Some(key) => key.of(&self.written),
            None => member.key.of(source),
        };
        match member.tag {
            Tag::ESCAPED => text::means(literal, name),
            tag => tag.is_whole() || same(text::inner(literal), name.as_bytes()),
        }
    }

    /// The tag of a name that was written as a literal.
    fn tag_of(name: &str, literal: Span) -> Tag {
        if (literal.end - literal.start) as usize == name.len() + 2 {
            Tag::of(name.as_bytes())
        } else {
            Tag::ESCAPED
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.note_edit(at);
        if let Some(member) = self.list.get_mut(at) {
            member.state = State::REMOVED;
        }
    }

    /// Gives a member another key, a stretch of what was written.
    pub(super) fn set_key(&mut self, at: usize, key: Span, name: &str) {
        let tag = Self::tag_of(name, key);
        self.names.add(tag);
        if let Some(member) = self.list.get_mut(at) {
            member.tag = tag;
        }
        if let Some(edit) = self.edit(at) {
            edit.key = Some(key);
        }
    }

    /// Gives a member another value, a stretch of what was written.
    pub(super) fn set_value(&mut self, at: usize, value: Span) {
        if let Some(edit) = self.edit(at) {
            edit.value = Some(value);
        }
    }

    /// Adds a member whose key and value were written.
    pub(super) fn add(&mut self, key: Span, value: Span, name: &str) {
        self.note_edit(self.list.len());
        let tag = Self::tag_of(name, key);
        self.names.add(tag);
        self.list.push(Member {
            key: Span::default(),
            value: Span::default(),
            tag,
            state: State(self.edits.len() as u32),
        });
        self.edits.push(Edit {
            key: Some(key),
            value: Some(value),
        });
    }

    /// The edit of a member, a new one if it has none.
    fn edit(&mut self, at: usize) -> Option<&mut Edit> {
        self.note_edit(at);
        let member = self.list.get_mut(at)?;
        if member.state != State::AS_WRITTEN {
            return self.edits.get_mut(member.state.0 as usize);
        }
        member.state = State(self.edits.len() as u32);
        self.edits.push(Edit::default());
        self.edits.last_mut()
    }

    pub(super) fn write_literal(&mut self, text: &str) -> Span {
        let start = self.written.len();
        text::encode(text, &mut self.written);
        Span::new(start, self.written.len())
    }
}
