//! Why a record, or a configuration, cannot be used: a code of the transform's own and a message.

use std::fmt;

use crate::{FrameError, json};

/// The largest code a transform may use; the host uses the codes above.
pub(crate) const CODE_MAX: u16 = 999;

/// Longer messages are cut: the host keeps no more of them.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;

/// Why a record cannot be transformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: u16,
    message: String,
}

impl Failure {
    /// A failure with a code of 0 to 999; a larger one becomes 0, as the host would make it.
    #[must_use]
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        let code = if code > CODE_MAX { 0 } else { code };
        Self {
            code,
            message: message.into(),
        }
    }

    /// A failure with code 0.
    #[must_use]
    pub fn message(message: impl Into<String>) -> Self {
        Self::new(0, message)
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The message, cut to 4 KiB at a character.
    #[must_use]
    pub fn text(&self) -> &str {
        cut(&self.message)
    }
}

/// The longest start of a text that fits a message.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text(), self.code)
    }
}

impl std::error::Error for Failure {}

impl From<json::Error> for Failure {
    fn from(error: json::Error) -> Self {
        Self::message(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::message(error.to_string())
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Self::message(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_messages_stay_in_their_bounds() {
        let failure = Failure::new(1000, "e\u{301}".repeat(3000));
        assert_eq!(failure.code(), 0);
        assert!(failure.text().len() <= MESSAGE_BYTES_MAX);
        assert!(failure.text().len() > MESSAGE_BYTES_MAX - 4);
        assert_eq!(Failure::new(999, "x").code(), 999);
    }
}
