//! Fills `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in string values from the
//! environment; `$$` is a dollar sign.
//!
//! An empty variable counts as unset where a default or a message is given, as in a shell.
//! Defaults are taken as they are: nothing is filled inside them. Any other `$` stays.

/// A part of a text that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Which `${` of the text it is, from 0; `$$` hides one.
    pub(super) nth: usize,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The text with its variables filled, or every part that cannot be.
pub(super) fn interpolate(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<Failure>> {
    let mut filled = String::with_capacity(text.len());
    let mut failures = Vec::new();
    let mut rest = text;
    let mut nth = 0;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(next) = after.strip_prefix('$') {
            filled.push('$');
            rest = next;
        } else if let Some(body) = after.strip_prefix('{') {
            let (inside, next) = body.split_once('}').unwrap_or((body, ""));
            let closed = inside.len() < body.len();
            match fill(inside, closed, variable) {
                Ok(value) => filled.push_str(&value),
                Err((message, hint)) => failures.push(Failure { nth, message, hint }),
            }
            nth += 1;
            rest = next;
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    if failures.is_empty() {
        Ok(filled)
    } else {
        Err(failures)
    }
}

fn fill(
    inside: &str,
    closed: bool,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    let dollars = || "write `$$` for a dollar sign".to_owned();
    if !closed {
        return Err((
            format!("`${{{inside}` is not closed"),
            format!("add `}}`, or {}", dollars()),
        ));
    }
    let end = inside
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inside.len());
    let (name, operation) = inside.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err((format!("`${{{inside}}}` names no variable"), dollars()));
    }
    let value = variable(name);
    let given = value.clone().filter(|value| !value.is_empty());
    if let Some(default) = operation.strip_prefix(":-") {
        Ok(given.unwrap_or_else(|| default.to_owned()))
    } else if let Some(message) = operation.strip_prefix(":?") {
        let unset = || {
            (
                format!("`{name}` is not set: {message}"),
                format!("set the environment variable `{name}`"),
            )
        };
        given.ok_or_else(unset)
    } else if operation.is_empty() {
        let hint =
            || format!("set the environment variable `{name}`, or write `${{{name}:-default}}`");
        value.ok_or_else(|| {
            (
                format!("the environment variable `{name}` is not set"),
                hint(),
            )
        })
    } else {
        let hint = "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`";
        Err((
            format!("`${{{inside}}}` is none of the forms there are"),
            hint.to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "HOME_1" => "/home/u",
            "EMPTY" => "",
            "TRICK" => "${HOME_1}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn texts_are_filled() {
        let rows = [
            ("plain", "plain"),
            ("${HOME_1}/data", "/home/u/data"),
            ("${HOME_1}${HOME_1}", "/home/u/home/u"),
            ("a${UNSET:-b c}d", "ab cd"),
            ("${EMPTY:-default}", "default"),
            ("[${EMPTY}]", "[]"),
            ("${UNSET:-}", ""),
            ("${HOME_1:?needed}", "/home/u"),
            ("$${HOME_1} costs $$5", "${HOME_1} costs $5"),
            ("^a$|b$", "^a$|b$"),
            ("${TRICK}", "${HOME_1}"),
            ("%{+yyyyMMdd}", "%{+yyyyMMdd}"),
        ];
        for (text, wanted) in rows {
            assert_eq!(interpolate(text, &environment).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_says_which_and_why() {
        let rows = [
            ("${UNSET}", 0, "the environment variable `UNSET` is not set"),
            (
                "$${x} ${HOME_1} ${NO_1}",
                1,
                "the environment variable `NO_1` is not set",
            ),
            (
                "${UNSET:?give a directory}",
                0,
                "`UNSET` is not set: give a directory",
            ),
            ("${EMPTY:?give it}", 0, "`EMPTY` is not set: give it"),
            ("${HOME_1", 0, "`${HOME_1` is not closed"),
            ("${}", 0, "`${}` names no variable"),
            ("${9A}", 0, "`${9A}` names no variable"),
            ("${A+b}", 0, "`${A+b}` is none of the forms there are"),
        ];
        for (text, nth, message) in rows {
            let failures = interpolate(text, &environment).unwrap_err();
            let found: Vec<_> = failures
                .iter()
                .map(|f| (f.nth, f.message.as_str()))
                .collect();
            assert_eq!(found, [(nth, message)], "{text}");
        }
        assert_eq!(interpolate("${A}${B}", &environment).unwrap_err().len(), 2);
    }
}
