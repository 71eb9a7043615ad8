//! Indents JSON as Elasticsearch does for `?pretty`, by its text: numbers and strings keep their
//! characters.

/// The text with a line for each element, ending with a line feed. What is not JSON comes out as
/// something that is not JSON either.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut rest = json;
    let mut depth = 0_usize;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => string(rest),
            _ => &rest[..c.len_utf8()],
        };
        rest = &rest[taken.len()..];
        match c {
            ' ' | '\n' | '\t' | '\r' => {}
            '{' | '[' => {
                out.push(c);
                let inner = rest.trim_start();
                if inner.starts_with(['}', ']']) {
                    out.push(' ');
                    out.push_str(&inner[..1]);
                    rest = &inner[1..];
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(" : "),
            _ => out.push_str(taken),
        }
    }
    out.push('\n');
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The string that `text` begins with, its quotes included.
fn string(text: &str) -> &str {
    let mut from = 1;
    while let Some(at) = memchr::memchr2(b'"', b'\\', &text.as_bytes()[from..]) {
        let at = from + at;
        if text.as_bytes()[at] == b'"' {
            return &text[..=at];
        }
        let Some(escaped) = text[at + 1..].chars().next() else {
            break;
        };
        from = at + 1 + escaped.len_utf8();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_indented_as_elasticsearch_does() {
        let rows = [
            ("{}", "{ }\n"),
            (
                r#"{"a":1e2,"b":[],"c":[1, "x\"}\\"],"d":{"e":null}}"#,
                "{\n  \"a\" : 1e2,\n  \"b\" : [ ],\n  \"c\" : [\n    1,\n    \"x\\\"}\\\\\"\n  ],\n  \"d\" : {\n    \"e\" : null\n  }\n}\n",
            ),
            ("\"\\", "\"\\\n"),
            ("}]", "\n}\n]\n"),
        ];
        for (compact, wanted) in rows {
            assert_eq!(pretty(compact), wanted);
        }
    }
}
