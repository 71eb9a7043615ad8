//! Whether data of one schema can be read with another, by the specification's rules of schema
//! resolution: every value a writer can make must have a reading.
//!
//! Pairs of types are compared once, so that recursive schemas end; the number of pairs and the
//! depth are bounded, and a schema beyond them counts as not compatible, with that reason.

use std::collections::HashMap;

use super::{At, Avro, Field, Name, Type};

/// Pairs of types that one comparison looks at.
const PAIRS_MAX: usize = 200_000;
/// Types inside each other that one comparison follows.
const DEPTH_MAX: usize = 200;
/// Problems that are told.
const PROBLEMS_MAX: usize = 10;

/// Compares `reader` with `writer`; the error is what cannot be read, and why.
pub(in crate::schemas) fn can_read(reader: &Avro, writer: &Avro) -> Result<(), Vec<String>> {
    let mut checker = Checker {
        reader,
        writer,
        known: HashMap::new(),
        spent: false,
    };
    let judged = checker.pair(reader.root, writer.root, &Path::default());
    if checker.spent {
        return Err(too_large(&Path::default()));
    }
    judged
}

struct Checker<'a> {
    reader: &'a Avro,
    writer: &'a Avro,
    known: HashMap<(At, At), bool>,
    /// Nothing is looked at any more.
    spent: bool,
}

/// Where in the reader's schema the comparison is.
#[derive(Debug, Clone, Default)]
struct Path {
    text: String,
    depth: usize,
}

impl Path {
    fn to(&self, step: impl std::fmt::Display) -> Self {
        Self {
            text: format!("{}/{step:.64}", self.text),
            depth: self.depth + 1,
        }
    }

    fn problem(&self, code: &str, what: impl std::fmt::Display) -> Vec<String> {
        let at = if self.text.is_empty() {
            "/"
        } else {
            &self.text
        };
        vec![format!("{code} at {at}: {what}")]
    }
}

impl Checker<'_> {
    fn pair(&mut self, reader: At, writer: At, path: &Path) -> Result<(), Vec<String>> {
        match self.known.get(&(reader, writer)) {
            Some(true) => return Ok(()),
            Some(false) => return Err(path.problem("TYPE_MISMATCH", "as at another place")),
            None => {}
        }
        self.spent |= self.known.len() >= PAIRS_MAX || path.depth >= DEPTH_MAX;
        if self.spent {
            return Err(too_large(path));
        }
        // What a recursive type comes back to is judged where it began.
        self.known.insert((reader, writer), true);
        let judged = self.types(reader, writer, path);
        self.known.insert((reader, writer), judged.is_ok());
        judged
    }

    fn types(&mut self, reader: At, writer: At, path: &Path) -> Result<(), Vec<String>> {
        let (one, other) = (self.reader.at(reader), self.writer.at(writer));
        match (one, other) {
            (_, Type::Union(branches)) => {
                for (index, branch) in branches.iter().enumerate() {
                    if let Err(problems) = self.pair(reader, *branch, &path.to(index)) {
                        // Between two unions, the branch as a whole has no reading.
                        return Err(match one {
                            Type::Union(_) => {
                                let kind = self.writer.at(*branch).kind();
                                let what = format!("the reader's union has nothing for {kind}");
                                path.problem("MISSING_UNION_BRANCH", what)
                            }
                            _ => problems,
                        });
                    }
                }
                Ok(())
            }
            (Type::Union(branches), _) => {
                let mut branches = branches.iter().enumerate();
                let any = branches
                    .any(|(n, at)| self.spent || self.pair(*at, writer, &path.to(n)).is_ok());
                let kind = other.kind();
                let missing = || {
                    let what = format!("the reader's union has nothing for {kind}");
                    path.problem("MISSING_UNION_BRANCH", what)
                };
                any.then_some(()).ok_or_else(missing)
            }
            (Type::Array(a), Type::Array(b)) => self.pair(*a, *b, &path.to("items")),
            (Type::Map(a), Type::Map(b)) => self.pair(*a, *b, &path.to("values")),
            (
                Type::Record { name: a, fields },
                Type::Record {
                    name: b,
                    fields: written,
                },
            ) => {
                same_name(a, b, path)?;
                self.fields(fields, written, path)
            }
            (Type::Enum { name: a, .. }, Type::Enum { name: b, .. })
            | (Type::Fixed { name: a, .. }, Type::Fixed { name: b, .. }) => {
                same_name(a, b, path)?;
                contents(one, other, path)
            }
            (one, other) if promotes(other, one) => Ok(()),
            (one, other) => {
                let what = format!("{} cannot be read as {}", other.kind(), one.kind());
                Err(path.problem("TYPE_MISMATCH", what))
            }
        }
    }

    fn fields(
        &mut self,
        fields: &[Field],
        written: &[Field],
        path: &Path,
    ) -> Result<(), Vec<String>> {
        let by_name: HashMap<&str, At> = written.iter().map(|f| (f.name.as_str(), f.at)).collect();
        let mut problems = Vec::new();
        for field in fields {
            let aliases = field.aliases.iter().map(String::as_str);
            let mut names = [field.name.as_str()].into_iter().chain(aliases);
            let path = path.to(&field.name);
            let judged = match names.find_map(|name| by_name.get(name)) {
                Some(at) => self.pair(field.at, *at, &path),
                None if field.has_default || self.has_default(field.at) => Ok(()),
                None => {
                    let what = "the writer has no such field, and it has no default";
                    Err(path.problem("READER_FIELD_MISSING_DEFAULT_VALUE", what))
                }
            };
            problems.extend(judged.err().into_iter().flatten());
            if self.spent || problems.len() >= PROBLEMS_MAX {
                problems.truncate(PROBLEMS_MAX);
                break;
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// An enum's own default stands in for the field's.
    fn has_default(&self, at: At) -> bool {
        matches!(
            self.reader.at(at),
            Type::Enum {
                has_default: true,
                ..
            }
        )
    }
}

fn too_large(path: &Path) -> Vec<String> {
    path.problem("TOO_LARGE", "the schemas are too large to be compared")
}

/// Names are compared without their namespace, as the reference implementation does.
fn same_name(reader: &Name, writer: &Name, path: &Path) -> Result<(), Vec<String>> {
    if reader.simple() == writer.simple() || reader.aliases.contains(&writer.full) {
        return Ok(());
    }
    let what = format!("{} is not {}", writer.full, reader.full);
    Err(path.problem("NAME_MISMATCH", what))
}

fn contents(reader: &Type, writer: &Type, path: &Path) -> Result<(), Vec<String>> {
    match (reader, writer) {
        (Type::Fixed { size, .. }, Type::Fixed { size: written, .. }) if size != written => {
            let what = format!("{written} bytes cannot be read as {size}");
            Err(path.problem("FIXED_SIZE_MISMATCH", what))
        }
        (
            Type::Enum {
                symbols,
                has_default: false,
                ..
            },
            Type::Enum {
                symbols: written, ..
            },
        ) => {
            let mut missing: Vec<_> = written.difference(symbols).map(String::as_str).collect();
            missing.sort_unstable();
            missing.truncate(PROBLEMS_MAX);
            if missing.is_empty() {
                return Ok(());
            }
            let what = format!("the reader has no symbol {}", missing.join(", "));
            Err(path.problem("MISSING_ENUM_SYMBOLS", what))
        }
        _ => Ok(()),
    }
}

/// Whether a value of one plain type can be read as another.
fn promotes(writer: &Type, reader: &Type) -> bool {
    use Type::{Boolean, Bytes, Double, Float, Int, Long, Null, String};
    matches!(
        (writer, reader),
        (Null, Null)
            | (Boolean, Boolean)
            | (Int, Int | Long | Float | Double)
            | (Long, Long | Float | Double)
            | (Float, Float | Double)
            | (Double, Double)
            | (Bytes | String, Bytes | String)
    )
}
