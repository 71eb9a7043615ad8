//! Reads Python's way to write lists and sets of simple values: `['drama', "it's"]`, `{'US'}`,
//! `{}`, `set()`, `()`.
//!
//! Elements are strings with Python's escapes, numbers, `None`, `True` and `False`; their order is
//! kept. Nested collections, dictionaries with entries and prefixes such as `b''` are refused.

use wstream_guest::json::{Raw, WriteJson};

/// An element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Text(String),
    /// A number's digits.
    Number(String),
    Bool(bool),
    None,
}

impl WriteJson for Element {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => text.write_json(out),
            Self::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Self::Bool(value) => value.write_json(out),
            Self::None => out.extend_from_slice(b"null"),
        }
    }
}

/// The elements of a collection, or what is wrong with it.
pub(crate) fn elements(text: &str) -> Result<Vec<Element>, &'static str> {
    let text = text.trim();
    if text == "set()" || text == "frozenset()" {
        return Ok(Vec::new());
    }
    let mut rest = text.get(1..).unwrap_or_default();
    let close = match text.as_bytes().first() {
        Some(b'[') => ']',
        Some(b'{') => '}',
        Some(b'(') => ')',
        _ => return Err("it begins with none of [ { ("),
    };
    let mut elements = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(close) {
            rest = behind;
            break;
        }
        let (element, behind) = element(rest)?;
        elements.push(element);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with(close) => {}
            None => return Err("a comma or the end is missing"),
        }
    }
    if rest.is_empty() {
        Ok(elements)
    } else {
        Err("something stands behind its end")
    }
}

fn element(text: &str) -> Result<(Element, &str), &'static str> {
    if let Some(quote @ ('\'' | '"')) = text.chars().next() {
        return string(text.get(1..).unwrap_or_default(), quote);
    }
    let end = text.find([',', ']', '}', ')', ' ']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let element = match word {
        "None" => Element::None,
        "True" => Element::Bool(true),
        "False" => Element::Bool(false),
        digits if Raw::parse(digits).is_ok_and(|raw| raw.number().is_some()) => {
            Element::Number(digits.to_owned())
        }
        _ => return Err("an element is neither a string nor a number, None, True or False"),
    };
    Ok((element, rest))
}

/// A string whose opening quote was passed.
fn string(text: &str, quote: char) -> Result<(Element, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return Err("a string does not end"),
            Some(c) if c == quote => return Ok((Element::Text(value), chars.as_str())),
            Some('\\') => escape(&mut chars, &mut value)?,
            Some(c) => value.push(c),
        }
    }
}

fn escape(chars: &mut std::str::Chars<'_>, value: &mut String) -> Result<(), &'static str> {
    let kind = chars.next().ok_or("a string does not end")?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let code = chars
            .as_str()
            .get(..digits)
            .and_then(|d| u32::from_str_radix(d, 16).ok());
        value.push(
            code.and_then(char::from_u32)
                .ok_or("an escape is no character")?,
        );
        *chars = chars.as_str().get(digits..).unwrap_or_default().chars();
        return Ok(());
    }
    match kind {
        '\'' | '"' | '\\' => value.push(kind),
        'n' => value.push('\n'),
        'r' => value.push('\r'),
        't' => value.push('\t'),
        '0' => value.push('\0'),
        // Python keeps the backslash of an escape that it does not know.
        other => value.extend(['\\', other]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        elements(text)?.write_json(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn collections_become_arrays() {
        // The right column is json.dumps(list(ast.literal_eval(left))) of Python 3.11, unspaced.
        let rows = [
            ("{}", "[]"),
            ("[]", "[]"),
            ("()", "[]"),
            ("set()", "[]"),
            ("{'drama'}", r#"["drama"]"#),
            ("{'drama', 'crime'}", r#"["drama","crime"]"#),
            ("['drama', 'crime',]", r#"["drama","crime"]"#),
            (r#"['a', "it's"]"#, r#"["a","it's"]"#),
            (r#"['say "x"']"#, r#"["say \"x\""]"#),
            (
                r"['it\'s', 'a\\b', '\xe9\u4e2d\U0001f600', '\q', '\n']",
                "[\"it's\",\"a\\\\b\",\"\u{e9}\u{4e2d}\u{1f600}\",\"\\\\q\",\"\\n\"]",
            ),
            (
                "[1, -2.50, 1e3, None, True, False]",
                "[1,-2.50,1e3,null,true,false]",
            ),
            (" [ 'a' ,'b' ] ", r#"["a","b"]"#),
        ];
        for (python, wanted) in rows {
            assert_eq!(json(python).as_deref(), Ok(wanted), "{python}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let rows = [
            ("drama", "begins with"),
            ("", "begins with"),
            ("['a'", "comma or the end"),
            ("['a", "does not end"),
            (r"['a\", "does not end"),
            ("['a' 'b']", "comma or the end"),
            ("['a'] x", "behind its end"),
            ("[a]", "neither"),
            ("[['a']]", "neither"),
            ("{'a': 1}", "comma or the end"),
            ("[,]", "neither"),
            ("[01]", "neither"),
            (r"['\xg1']", "no character"),
            (r"['\ud800']", "no character"),
        ];
        for (text, reason) in rows {
            let error = elements(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
