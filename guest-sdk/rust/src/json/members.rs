//! Where the members of an object are, and the edits made to them.
//!
//! A name's first bytes are kept beside the members: a look for a name goes over those alone. Buffers
//! are kept for the next object of the thread.

use std::cell::Cell;
use std::ops::Range;

use super::chunk::TAGS;
use super::error::Error;
use super::name::{NO_TAG, Name, Tag, same, tag_at};
use super::scan::{self, Text};
use super::text;

/// Buffers kept for the next objects of this thread; more objects at once allocate their own.
const BUFFERS_KEPT_MAX: usize = 8;

thread_local! {
    /// The buffers for the next object, which hold those for the one after.
    static BUFFERS: Cell<Option<Box<Members>>> = const { Cell::new(None) };
}

/// Members whose buffers go back to the thread when it is dropped. Boxed: moving the buffers about
/// would cost more than the pointer.
#[derive(Debug)]
pub(super) struct Kept(Option<Box<Members>>);

impl Kept {
    #[inline]
    pub(super) fn take() -> Self {
        let mut kept = BUFFERS.take().unwrap_or_default();
        BUFFERS.set(kept.next.take());
        Self(Some(kept))
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
        let Some(mut members) = self.0.take() else {
            return;
        };
        // While the thread ends what it kept may be gone already; then this goes too.
        let _kept = BUFFERS.try_with(|buffers| {
            let next = buffers.take();
            members.kept = next.as_ref().map_or(0, |next| next.kept) + 1;
            if members.kept <= BUFFERS_KEPT_MAX {
                members.next = next;
                buffers.set(Some(members));
            } else {
                buffers.set(next);
            }
        });
    }
}

/// The members of one object: those of its text, then those that were added.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    /// Of their names as they are now, and none behind them, so that each is in a whole chunk.
    tags: Vec<Tag>,
    /// Whether names have escapes, so that their bytes are not what they mean.
    escaped: bool,
    /// Nothing was done to the members before and behind these.
    edited: Range<usize>,
    edits: Vec<Edit>,
    /// Keys and values that were set, as JSON.
    pub(super) written: Vec<u8>,
    /// The name written last.
    literal: Span,
    /// Buffers that are kept behind these, and how many there are with them.
    next: Option<Box<Self>>,
    kept: usize,
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
    pub(super) const fn len(self) -> usize {
        (self.end - self.start) as usize
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
        self.tags.clear();
        self.escaped = false;
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
        let mut text = Text::new(bytes);
        let (list, tags) = (&mut self.list, &mut self.tags);
        let end = text.object(open + 1, 1, |place| {
            tags.push(tag_at(bytes, place.key));
            list.push(Member {
                key: Span::new(place.key - 1, place.key_end),
                value: Span::new(place.value, place.value_end),
                state: State::AS_WRITTEN,
            });
        });
        tags.extend_from_slice(&[NO_TAG; TAGS]);
        self.escaped = text.escaped_names;
        let close = text.finish(end)? - 1;
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

    /// The first member from a place on that may have that name.
    #[inline]
    pub(super) fn candidate(&self, name: &Name<'_>, from: usize) -> Option<usize> {
        if self.escaped {
            return (from < self.list.len()).then_some(from);
        }
        name.find(&self.tags, from)
    }

    /// Whether a member is there and has that name.
    #[inline]
    pub(super) fn is_named(&self, source: &[u8], at: usize, name: &str) -> bool {
        match self.list.get(at) {
            Some(member) if member.state == State::AS_WRITTEN && !self.escaped => {
                same(text::inner(member.key.of(source)), name.as_bytes())
            }
            Some(member) => self.means(source, member, name),
            None => false,
        }
    }

    /// As `is_named`, of a member that was edited or whose name may have escapes.
    #[inline(never)]
    fn means(&self, source: &[u8], member: &Member, name: &str) -> bool {
        let edit = self.edit_of(member);
        edit.is_some_and(|edit| match edit.key {
            Some(key) => text::means(key.of(&self.written), name),
            None => text::means(member.key.of(source), name),
        })
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.note_edit(at);
        if let Some(member) = self.list.get_mut(at) {
            member.state = State::REMOVED;
        }
        if let Some(tag) = self.tags.get_mut(at) {
            *tag = NO_TAG;
        }
    }

    /// Gives a member the name that was written last.
    #[inline]
    pub(super) fn set_key(&mut self, at: usize, name: &Name<'_>) {
        if let Some(tag) = self.tags.get_mut(at) {
            *tag = name.tag();
        }
        let key = self.literal;
        if let Some(edit) = self.edit(at) {
            edit.key = Some(key);
        }
    }

    /// Gives a member the value that was written last, behind a name.
    #[inline]
    pub(super) fn set_value(&mut self, at: usize) {
        let value = self.value_written();
        if let Some(edit) = self.edit(at) {
            edit.value = Some(value);
        }
    }

    /// Adds a member of the name and the value that were written last.
    #[inline]
    pub(super) fn add(&mut self, name: &Name<'_>) {
        self.note_edit(self.list.len());
        if let Some(tag) = self.tags.get_mut(self.list.len()) {
            *tag = name.tag();
        }
        self.tags.push(NO_TAG);
        self.list.push(Member {
            key: Span::default(),
            value: Span::default(),
            state: State(self.edits.len() as u32),
        });
        self.edits.push(Edit {
            key: Some(self.literal),
            value: Some(self.value_written()),
        });
    }

    /// What is behind the name written last and its colon.
    fn value_written(&self) -> Span {
        Span::new(self.literal.end as usize + 1, self.written.len())
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

    /// Writes a name.
    #[inline]
    pub(super) fn write_name(&mut self, name: &str) {
        let start = self.written.len();
        text::encode(name, &mut self.written);
        self.literal = Span::new(start, self.written.len());
        self.escaped |= self.literal.len() != name.len() + 2;
    }
}
