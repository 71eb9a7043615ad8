//! Fields of fields: a path of names goes into objects, and into each object of an array.

use super::object::Object;
use super::raw::{Kind, Raw};

impl<'a> Object<'a> {
    /// Whether `test` holds for a value at a path, `["user", "email"]`: on the way into an array
    /// any of its elements may be the one. Edits made so far are not seen.
    pub fn any_at(&self, path: &[impl AsRef<str>], test: &mut dyn FnMut(Raw<'a>) -> bool) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        let value = self.original(first.as_ref());
        value.is_some_and(|value| any_in(value, rest, test))
    }

    /// Edits the objects that hold the last name of a path: `edit` is given each, and that name;
    /// for `["user", "email"]` the object `user` and `email`. It returns whether it changed
    /// something, and so does this.
    pub fn edit_at(
        &mut self,
        path: &[impl AsRef<str>],
        edit: &mut dyn FnMut(&mut Object<'_>, &str) -> bool,
    ) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        let first = first.as_ref();
        if rest.is_empty() {
            return edit(self, first);
        }
        let mut edited = Vec::new();
        let changed = self
            .get(first)
            .is_some_and(|value| edit_in(value, rest, edit, &mut edited));
        if changed {
            self.set(first, Raw::checked(&edited));
        }
        changed
    }
}

fn any_in<'a>(
    value: Raw<'a>,
    path: &[impl AsRef<str>],
    test: &mut dyn FnMut(Raw<'a>) -> bool,
) -> bool {
    match value.kind() {
        _ if path.is_empty() => test(value),
        Kind::Object => value.object().is_ok_and(|object| object.any_at(path, test)),
        Kind::Array => value.elements().any(|element| any_in(element, path, test)),
        _ => false,
    }
}

/// Appends the value with the objects at the path edited; false if nothing changed.
fn edit_in(
    value: Raw<'_>,
    path: &[impl AsRef<str>],
    edit: &mut dyn FnMut(&mut Object<'_>, &str) -> bool,
    out: &mut Vec<u8>,
) -> bool {
    let mut changed = false;
    match value.kind() {
        Kind::Object => match value.object() {
            Ok(mut object) => {
                changed = object.edit_at(path, edit);
                object.write(out);
            }
            Err(_) => out.extend_from_slice(value.bytes()),
        },
        Kind::Array => {
            out.push(b'[');
            for (n, element) in value.elements().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                changed |= edit_in(element, path, edit, out);
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(value.bytes()),
    }
    changed
}
