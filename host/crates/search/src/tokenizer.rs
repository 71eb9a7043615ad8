//! Splits text into lower-case words by the word-boundary rules of Unicode Annex 29, as
//! Elasticsearch's standard analyzer does: `don't` and `3.5` are one word, `1042.html` is two.
//!
//! It knows the rules that matter in practice and not the whole table of properties: marks join
//! the word they follow, ideographs and Hiragana are words of one character, Katakana runs join.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// A longer word is left out: it is data, not language.
pub(crate) const WORD_BYTES_MAX: usize = 255;

/// The tokenizer.
#[derive(Clone, Default, Debug)]
pub(crate) struct WordTokenizer {
    token: Token,
}

/// The words of one text.
#[derive(Debug)]
pub(crate) struct WordStream<'a> {
    text: &'a str,
    at: usize,
    token: &'a mut Token,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    /// `_`: joins letters and digits, and is a word with them.
    Join,
    Katakana,
    /// A word of its own.
    Single,
    /// Joins letters.
    MidLetter,
    /// Joins digits.
    MidNumber,
    /// Joins letters or digits.
    MidBoth,
    /// Belongs to the character before.
    Mark,
    Other,
}

const ASCII: [Kind; 128] = {
    let mut table = [Kind::Other; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            b'_' => Kind::Join,
            b':' => Kind::MidLetter,
            b',' | b';' => Kind::MidNumber,
            b'.' | b'\'' => Kind::MidBoth,
            _ => Kind::Other,
        };
        byte += 1;
    }
    table
};

fn kind(c: char) -> Kind {
    if let Some(kind) = ASCII.get(c as usize) {
        return *kind;
    }
    match c {
        '\u{300}'..='\u{36F}' | '\u{200D}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}' => {
            Kind::Mark
        }
        '\u{B7}' | '\u{387}' | '\u{2027}' => Kind::MidLetter,
        '\u{2018}' | '\u{2019}' | '\u{2024}' => Kind::MidBoth,
        '\u{30A0}'..='\u{30FF}' | '\u{FF66}'..='\u{FF9F}' => Kind::Katakana,
        '\u{3041}'..='\u{309F}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}' => Kind::Single,
        _ if c.is_numeric() && c.is_ascii_digit() => Kind::Digit,
        _ if c.is_alphabetic() => Kind::Letter,
        _ if c.is_numeric() => Kind::Digit,
        _ => Kind::Other,
    }
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            text,
            at: 0,
            token: &mut self.token,
        }
    }
}

impl WordStream<'_> {
    fn char_at(&self, at: usize) -> Option<(char, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte < 128 {
            return Some((char::from(byte), 1));
        }
        let c = self.text.get(at..)?.chars().next()?;
        Some((c, c.len_utf8()))
    }

    /// The end of the word that starts at `start` with a character of kind `first`.
    fn word_end(&self, start: usize, first: Kind) -> usize {
        let (mut end, mut last) = (start, first);
        while let Some((c, len)) = self.char_at(end) {
            let current = kind(c);
            match current {
                Kind::Letter | Kind::Digit | Kind::Join => {
                    if end > start && matches!(last, Kind::Katakana) && current != Kind::Join {
                        break;
                    }
                    last = current;
                }
                Kind::Katakana if end == start || matches!(last, Kind::Katakana | Kind::Join) => {
                    last = current;
                }
                Kind::Mark => {}
                Kind::Single if end == start => last = current,
                Kind::MidLetter | Kind::MidNumber | Kind::MidBoth => {
                    let next = self.char_at(end + len).map(|(c, _)| kind(c));
                    let letters = last == Kind::Letter && next == Some(Kind::Letter);
                    let digits = last == Kind::Digit && next == Some(Kind::Digit);
                    let joins = match current {
                        Kind::MidLetter => letters,
                        Kind::MidNumber => digits,
                        _ => letters || digits,
                    };
                    if !joins {
                        break;
                    }
                }
                _ => break,
            }
            end += len;
            if last == Kind::Single
                && !matches!(self.char_at(end), Some((c, _)) if kind(c) == Kind::Mark)
            {
                break;
            }
        }
        end
    }

    fn emit(&mut self, start: usize, end: usize) {
        self.token.offset_from = start;
        self.token.offset_to = end;
        self.token.text.clear();
        let word = &self.text[start..end];
        if word.is_ascii() {
            self.token.text.push_str(word);
            self.token.text.make_ascii_lowercase();
        } else {
            self.token
                .text
                .extend(word.chars().flat_map(char::to_lowercase));
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while let Some((c, len)) = self.char_at(self.at) {
            let first = kind(c);
            if !matches!(
                first,
                Kind::Letter | Kind::Digit | Kind::Join | Kind::Katakana | Kind::Single
            ) {
                self.at += len;
                continue;
            }
            let start = self.at;
            self.at = self.word_end(start, first);
            self.token.position = self.token.position.wrapping_add(1);
            let underscores_only = first == Kind::Join
                && self.text.as_bytes()[start..self.at]
                    .iter()
                    .all(|b| *b == b'_');
            if self.at - start <= WORD_BYTES_MAX && !underscores_only {
                self.emit(start, self.at);
                return true;
            }
        }
        false
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// The words of `text` with their positions.
pub(crate) fn words(text: &str) -> Vec<(usize, String)> {
    let mut tokenizer = WordTokenizer::default();
    let mut stream = tokenizer.token_stream(text);
    let mut words = Vec::new();
    while stream.advance() {
        words.push((stream.token().position, stream.token().text.clone()));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_where_unicode_says() {
        let rows: &[(&str, &[&str])] = &[
            ("Hello, World!", &["hello", "world"]),
            ("don't stop", &["don't", "stop"]),
            ("GET /images/1042.html", &["get", "images", "1042", "html"]),
            ("v3.5 1,000 a.b.c", &["v3.5", "1,000", "a.b.c"]),
            ("snake_case __ _x", &["snake_case", "_x"]),
            ("end. 'quoted'", &["end", "quoted"]),
            ("Caf\u{e9} cafe\u{301}!", &["caf\u{e9}", "cafe\u{301}"]),
            (
                "\u{4e16}\u{754c} \u{30ab}\u{30bf}",
                &["\u{4e16}", "\u{754c}", "\u{30ab}\u{30bf}"],
            ),
            ("", &[]),
            ("--- !", &[]),
        ];
        for (text, expected) in rows {
            let got: Vec<String> = words(text).into_iter().map(|(_, w)| w).collect();
            assert_eq!(&got, expected, "{text}");
        }
    }

    #[test]
    fn a_word_too_long_keeps_its_place() {
        let text = format!("a {} b", "x".repeat(WORD_BYTES_MAX + 1));
        assert_eq!(words(&text), [(0, "a".to_owned()), (2, "b".to_owned())]);
    }
}
