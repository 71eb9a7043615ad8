//! A JSON value as it is written, checked but not built.

use std::borrow::Cow;
use std::fmt;

use super::error::Error;
use super::object::Object;
use super::scan::{self, Text};
use super::text;

/// The text of one value: valid JSON in UTF-8 without space around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Raw<'a> {
    /// A value from its text.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn parse(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, Error> {
        let bytes = text.as_ref();
        scan::check(bytes)?;
        Ok(Self(bytes.trim_ascii()))
    }

    /// A value that the scanner has passed.
    #[inline]
    pub(super) const fn checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text of a string, copied only if it has escapes.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| text::decode(text::inner(self.0)))
    }

    /// Whether it is a string and means `text`.
    #[must_use]
    #[inline]
    pub fn is_str(&self, wanted: &str) -> bool {
        self.0.first() == Some(&b'"') && text::means(self.0, wanted)
    }

    /// A number without fraction and exponent that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.number()?.parse().ok()
    }

    /// A number, rounded to the nearest.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.number()?.parse().ok()
    }

    /// The digits of a number as they are written.
    #[must_use]
    pub fn number(&self) -> Option<&'a str> {
        if self.kind() != Kind::Number {
            return None;
        }
        std::str::from_utf8(self.0).ok()
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.0 {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// The elements of an array; nothing for anything else.
    #[must_use]
    pub fn elements(&self) -> Elements<'a> {
        let is_array = self.kind() == Kind::Array;
        Elements {
            bytes: if is_array { self.0 } else { &[] },
            at: 1,
        }
    }

    /// The value as an object.
    ///
    /// # Errors
    /// It is not an object.
    pub fn object(&self) -> Result<Object<'a>, Error> {
        Object::parse(self.0)
    }

    /// The value read with serde.
    ///
    /// # Errors
    /// It is not of this type.
    pub fn deserialize<T: serde::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.0)
    }
}

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The elements of an array.
#[derive(Debug)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        // The array was checked: what is not a value here is its end.
        let mut text = Text::new(self.bytes);
        let value = text.begin(self.at)?;
        let (start, _) = value;
        let end = text.value(value, 1)?.get();
        let behind = scan::space(self.bytes, end);
        self.at = behind + usize::from(self.bytes.get(behind) == Some(&b','));
        self.bytes.get(start..end).map(Raw::checked)
    }
}
