//! The syntax of `query_string`: Lucene's classic query language, read into a tree.
//!
//! It follows Lucene's rules for AND, OR, NOT, + and - without precedence: AND makes both its
//! neighbours required. Nesting is bounded; anything it cannot read is an error, never a panic.

use std::ops::Bound;

/// Deepest nesting of brackets.
const DEPTH_MAX: usize = 50;
/// Longest query text, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Characters that end a word unless escaped.
const SPECIAL: &[char] = &['(', ')', ':', '^', '[', ']', '"', '{', '}', '~', '/'];

/// Whether a clause must, may or must not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occurs {
    Must,
    Should,
    MustNot,
}

/// What a query text says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Clauses(Vec<(Occurs, Node)>),
    /// A word, looked up by its parts.
    Word(String),
    Phrase {
        text: String,
        slop: u32,
    },
    /// `te*t?`, still escaped.
    Wildcard(String),
    Regex(String),
    Fuzzy {
        word: String,
        distance: String,
    },
    Range(Bound<String>, Bound<String>),
    /// `*` behind a field.
    Exists,
    /// `*` or `*:*` without a field.
    Everything,
    Field(String, Box<Node>),
    Boost(Box<Node>, f32),
}

/// Reads a query text. `and` makes AND the default between words.
pub(crate) fn parse(text: &str, and: bool) -> Result<Node, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("the query is longer than {TEXT_BYTES_MAX} bytes"));
    }
    let mut parser = Parser {
        rest: text,
        and,
        depth: 0,
    };
    let node = parser.clauses()?;
    if parser.rest.is_empty() {
        Ok(node)
    } else {
        Err(format!("unexpected '{}'", parser.rest))
    }
}

struct Parser<'a> {
    rest: &'a str,
    and: bool,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Eats an operator that is a word.
    fn eat_word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else {
            return false;
        };
        let ends = rest
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || c == '(');
        if ends {
            self.rest = rest;
        }
        ends
    }

    fn clauses(&mut self) -> Result<Node, String> {
        let mut clauses: Vec<(Occurs, Node)> = Vec::new();
        loop {
            self.space();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                break;
            }
            let joined_and = !clauses.is_empty() && (self.eat_word("AND") || self.eat("&&"));
            let joined_or =
                !joined_and && !clauses.is_empty() && (self.eat_word("OR") || self.eat("||"));
            self.space();
            let negative = self.eat_word("NOT") || self.eat("!") || self.eat("-");
            let required = !negative && self.eat("+");
            self.space();
            let node = self.clause()?;
            if joined_and && let Some((last @ Occurs::Should, _)) = clauses.last_mut() {
                *last = Occurs::Must;
            }
            if self.and
                && joined_or
                && let Some((last @ Occurs::Must, _)) = clauses.last_mut()
            {
                *last = Occurs::Should;
            }
            let must = required || joined_and || (self.and && !joined_or);
            let occurs = match (negative, must) {
                (true, _) => Occurs::MustNot,
                (false, true) => Occurs::Must,
                (false, false) => Occurs::Should,
            };
            clauses.push((occurs, node));
        }
        match clauses.len() {
            0 => Err("a clause is missing".to_owned()),
            1 if clauses[0].0 != Occurs::MustNot => Ok(clauses.swap_remove(0).1),
            _ => Ok(Node::Clauses(clauses)),
        }
    }

    fn clause(&mut self) -> Result<Node, String> {
        if self.eat("*:*") {
            return self.boosted(Node::Everything);
        }
        let before = self.rest;
        if let Some(name) = self.field_name() {
            let node = match self.field_value()? {
                Node::Everything => Node::Exists,
                node => node,
            };
            let node = if name == "_exists_" {
                match node {
                    Node::Word(field) => Node::Field(field, Box::new(Node::Exists)),
                    _ => return Err("_exists_ needs a field".to_owned()),
                }
            } else {
                Node::Field(name, Box::new(node))
            };
            return self.boosted(node);
        }
        self.rest = before;
        let node = self.value()?;
        self.boosted(node)
    }

    /// Reads `name:` if that is what comes.
    fn field_name(&mut self) -> Option<String> {
        let raw = self.word()?;
        self.eat(":").then(|| unescape(raw))
    }

    fn field_value(&mut self) -> Result<Node, String> {
        self.space();
        for (operator, lower, inclusive) in [
            (">=", true, true),
            ("<=", false, true),
            (">", true, false),
            ("<", false, false),
        ] {
            if !self.eat(operator) {
                continue;
            }
            self.space();
            let end = self.range_end()?;
            let end = if inclusive {
                Bound::Included(end)
            } else {
                Bound::Excluded(end)
            };
            return Ok(if lower {
                Node::Range(end, Bound::Unbounded)
            } else {
                Node::Range(Bound::Unbounded, end)
            });
        }
        self.value()
    }

    fn value(&mut self) -> Result<Node, String> {
        match self.rest.chars().next() {
            Some('(') => {
                self.rest = &self.rest[1..];
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(format!("brackets are nested deeper than {DEPTH_MAX}"));
                }
                let node = self.clauses()?;
                self.depth -= 1;
                if self.eat(")") {
                    Ok(node)
                } else {
                    Err("a ) is missing".to_owned())
                }
            }
            Some('"') => self.phrase(),
            Some('/') => self.regex(),
            Some('[' | '{') => self.range(),
            Some(_) => self.plain_word(),
            None => Err("a value is missing".to_owned()),
        }
    }

    /// A run of characters up to a special one, still escaped.
    fn word(&mut self) -> Option<&'a str> {
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c.is_whitespace() || SPECIAL.contains(&c) {
                end = at;
                break;
            }
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn plain_word(&mut self) -> Result<Node, String> {
        let Some(raw) = self.word() else {
            return Err(format!("unexpected '{}'", self.rest));
        };
        if matches!(raw, "AND" | "OR" | "NOT") {
            return Err(format!("unexpected '{raw}'"));
        }
        if raw == "*" {
            return Ok(Node::Everything);
        }
        if has_wildcard(raw) {
            return Ok(Node::Wildcard(raw.to_owned()));
        }
        let word = unescape(raw);
        if self.eat("~") {
            return Ok(Node::Fuzzy {
                word,
                distance: self.number().to_owned(),
            });
        }
        Ok(Node::Word(word))
    }

    fn number(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number
    }

    fn boosted(&mut self, node: Node) -> Result<Node, String> {
        if !self.eat("^") {
            return Ok(node);
        }
        let boost = self
            .number()
            .parse()
            .map_err(|_| "a boost is not a number".to_owned())?;
        Ok(Node::Boost(Box::new(node), boost))
    }

    fn quoted(&mut self, quote: char) -> Result<&'a str, String> {
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c == quote {
                let inner = &self.rest[1..at];
                self.rest = &self.rest[at + 1..];
                return Ok(inner);
            }
        }
        Err(format!("a {quote} is missing"))
    }

    fn phrase(&mut self) -> Result<Node, String> {
        let text = unescape(self.quoted('"')?);
        let slop = if self.eat("~") {
            self.number().parse().unwrap_or(0)
        } else {
            0
        };
        Ok(Node::Phrase { text, slop })
    }

    fn regex(&mut self) -> Result<Node, String> {
        Ok(Node::Regex(self.quoted('/')?.replace("\\/", "/")))
    }

    fn range_end(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return Ok(unescape(self.quoted('"')?));
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || matches!(c, ']' | '}' | ')'))
            .unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        if text.is_empty() {
            return Err("an end of a range is missing".to_owned());
        }
        self.rest = rest;
        Ok(unescape(text))
    }

    fn range(&mut self) -> Result<Node, String> {
        let lower_inclusive = self.rest.starts_with('[');
        self.rest = &self.rest[1..];
        self.space();
        let lower = self.range_end()?;
        self.space();
        if !self.eat_word("TO") {
            return Err("a range needs TO".to_owned());
        }
        self.space();
        let upper = self.range_end()?;
        self.space();
        let upper_inclusive = self.rest.starts_with(']');
        if !upper_inclusive && !self.rest.starts_with('}') {
            return Err("a range has no end".to_owned());
        }
        self.rest = &self.rest[1..];
        let end = |text: String, inclusive| match (text.as_str(), inclusive) {
            ("*", _) => Bound::Unbounded,
            (_, true) => Bound::Included(text),
            (_, false) => Bound::Excluded(text),
        };
        Ok(Node::Range(
            end(lower, lower_inclusive),
            end(upper, upper_inclusive),
        ))
    }
}

fn has_wildcard(raw: &str) -> bool {
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' => return true,
            _ => {}
        }
    }
    false
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            c
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(text: &str) -> Node {
        Node::Word(text.to_owned())
    }

    fn field(name: &str, node: Node) -> Node {
        Node::Field(name.to_owned(), Box::new(node))
    }

    #[test]
    fn operators_follow_lucene() {
        use Occurs::{Must, MustNot, Should};
        let rows = [
            ("a b", vec![(Should, word("a")), (Should, word("b"))]),
            ("a AND b", vec![(Must, word("a")), (Must, word("b"))]),
            (
                "a && b || c",
                vec![(Must, word("a")), (Must, word("b")), (Should, word("c"))],
            ),
            (
                "+a -b !c",
                vec![
                    (Must, word("a")),
                    (MustNot, word("b")),
                    (MustNot, word("c")),
                ],
            ),
            (
                "a OR NOT b",
                vec![(Should, word("a")), (MustNot, word("b"))],
            ),
            ("NOT b", vec![(MustNot, word("b"))]),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text, false), Ok(Node::Clauses(expected)), "{text}");
        }
        assert_eq!(
            parse("a b OR c", true),
            Ok(Node::Clauses(vec![
                (Must, word("a")),
                (Should, word("b")),
                (Should, word("c"))
            ]))
        );
    }

    #[test]
    fn fields_ranges_and_patterns() {
        let included = |text: &str| Bound::Included(text.to_owned());
        let rows = [
            ("a:b", field("a", word("b"))),
            ("a.b:(c)", field("a.b", word("c"))),
            (
                "a:\"x y\"~2",
                field(
                    "a",
                    Node::Phrase {
                        text: "x y".to_owned(),
                        slop: 2,
                    },
                ),
            ),
            (
                "a:[1 TO 5}",
                field(
                    "a",
                    Node::Range(included("1"), Bound::Excluded("5".to_owned())),
                ),
            ),
            (
                "a:[* TO 5]",
                field("a", Node::Range(Bound::Unbounded, included("5"))),
            ),
            (
                "a:>=8",
                field("a", Node::Range(included("8"), Bound::Unbounded)),
            ),
            ("a:*", field("a", Node::Exists)),
            ("_exists_:a", field("a", Node::Exists)),
            ("a:te*t", field("a", Node::Wildcard("te*t".to_owned()))),
            ("a:/b.c/", field("a", Node::Regex("b.c".to_owned()))),
            (
                "roam~1",
                Node::Fuzzy {
                    word: "roam".to_owned(),
                    distance: "1".to_owned(),
                },
            ),
            ("a\\:b", word("a:b")),
            ("x-y", word("x-y")),
            ("*", Node::Everything),
            ("a^2.5", Node::Boost(Box::new(word("a")), 2.5)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text, false), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in [
            "",
            "(",
            "title:(unclosed AND",
            "a AND",
            "\"x",
            "a:[1 5]",
            "a:[1 TO 5",
            ")",
            "a:",
            "/x",
        ] {
            assert!(parse(text, false).is_err(), "{text}");
        }
        assert!(parse(&"(".repeat(100), false).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z:()\\[\\]{}\"~^*?/\\\\ +\\-!&|<>=.0-9AORNDT]{0,40}") {
            parse(&text, false).ok();
            parse(&text, true).ok();
        }
    }
}
