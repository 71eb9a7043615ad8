//! Avro schemas: a schema that parses here names only types it defines or its references define,
//! and its defaults fit their fields.
//!
//! Types stand in one list and name each other by place, so that recursive ones are plain. What
//! is judged is hostile: depth and work have bounds.
//! It reads and writes no data, and does not look at logical types.

mod compatible;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

pub(super) use compatible::can_read;

/// Comparisons of a default with a type; a schema that needs more is refused.
const DEFAULT_STEPS_MAX: usize = 1_000_000;
/// Names that types of one's own cannot have.
const RESERVED: [&str; 13] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum",
    "array", "map", "fixed",
];

/// A schema with every type it uses.
#[derive(Debug)]
pub(super) struct Avro {
    types: Vec<Type>,
    root: At,
}

/// A type's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct At(usize);

#[derive(Debug)]
enum Type {
    /// Named, and its definition is being read.
    Begun,
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(At),
    Map(At),
    Union(Vec<At>),
    Record {
        name: Name,
        fields: Vec<Field>,
    },
    Enum {
        name: Name,
        symbols: HashSet<String>,
        has_default: bool,
    },
    Fixed {
        name: Name,
        size: u64,
    },
}

#[derive(Debug)]
struct Name {
    full: String,
    /// Full names.
    aliases: Vec<String>,
}

#[derive(Debug)]
struct Field {
    name: String,
    aliases: Vec<String>,
    has_default: bool,
    at: At,
}

impl Name {
    fn simple(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(space, _)| space)
    }
}

impl Type {
    fn primitive(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// What kind it is, in the words of the specification.
    fn kind(&self) -> &'static str {
        match self {
            Self::Begun | Self::Record { .. } => "record",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Enum { .. } => "enum",
            Self::Fixed { .. } => "fixed",
        }
    }

    fn name(&self) -> Option<&Name> {
        match self {
            Self::Record { name, .. } | Self::Enum { name, .. } | Self::Fixed { name, .. } => {
                Some(name)
            }
            _ => None,
        }
    }
}

impl Avro {
    /// Reads a schema; `referenced` are the schemas it may name types of, each after those that it
    /// needs itself.
    ///
    /// # Errors
    /// The text says what does not fit.
    pub(super) fn parse(referenced: &[&str], text: &str) -> Result<Self, String> {
        let texts = referenced.iter().copied().chain([text]);
        let values: Result<Vec<Value>, _> = texts.map(serde_json::from_str).collect();
        let values = values.map_err(|error| format!("it is not JSON: {error}"))?;
        let mut parser = Parser::default();
        let mut root = At(0);
        for value in &values {
            root = parser.any(value, "")?;
        }
        let mut steps = DEFAULT_STEPS_MAX;
        for default in &parser.defaults {
            if !fits(&parser.types, default.value, default.at, &mut steps) {
                let Default { record, field, .. } = default;
                let why = if steps == 0 {
                    "takes too long to check"
                } else {
                    "does not fit its type"
                };
                return Err(format!("the default of field {field:?} of {record} {why}"));
            }
        }
        let types = parser.types;
        Ok(Self { types, root })
    }

    fn at(&self, at: At) -> &Type {
        &self.types[at.0]
    }
}

/// A default, checked once all types are known.
#[derive(Debug)]
struct Default<'a> {
    record: String,
    field: String,
    value: &'a Value,
    at: At,
}

#[derive(Debug, Default)]
struct Parser<'a> {
    types: Vec<Type>,
    names: HashMap<String, At>,
    defaults: Vec<Default<'a>>,
}

impl<'a> Parser<'a> {
    fn push(&mut self, kind: Type) -> At {
        self.types.push(kind);
        At(self.types.len() - 1)
    }

    /// Any schema. As deep as JSON may be nested, which serde_json bounds.
    fn any(&mut self, value: &'a Value, space: &str) -> Result<At, String> {
        match value {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => self.union(branches, space),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.object(kind, object, space),
                Some(nested @ (Value::Object(_) | Value::Array(_))) => self.any(nested, space),
                _ => Err("an object has no \"type\"".to_owned()),
            },
            _ => Err(format!("{} is no schema", short(value))),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<At, String> {
        if let Some(primitive) = Type::primitive(name) {
            return Ok(self.push(primitive));
        }
        let inside = self.names.get(&full(name, space));
        let known = inside.or_else(|| self.names.get(name)).copied();
        known.ok_or_else(|| format!("there is no type {name:?}"))
    }

    fn object(
        &mut self,
        kind: &str,
        object: &'a Map<String, Value>,
        space: &str,
    ) -> Result<At, String> {
        let inner = |key: &str| {
            let found = object.get(key);
            found.ok_or_else(|| format!("type {kind:?} needs {key:?}"))
        };
        match kind {
            "record" | "error" => self.record(object, space),
            "enum" => self.enumeration(object, space),
            "fixed" => self.fixed(object, space),
            "array" => {
                let items = self.any(inner("items")?, space)?;
                Ok(self.push(Type::Array(items)))
            }
            "map" => {
                let values = self.any(inner("values")?, space)?;
                Ok(self.push(Type::Map(values)))
            }
            _ => self.named(kind, space),
        }
    }

    fn union(&mut self, branches: &'a [Value], space: &str) -> Result<At, String> {
        let mut places = Vec::with_capacity(branches.len());
        let mut seen = HashSet::new();
        for branch in branches {
            let at = self.any(branch, space)?;
            let kind = &self.types[at.0];
            // A record that is being read has its name only in the list of names.
            let name = match kind {
                Type::Union(_) => return Err("a union stands directly in a union".to_owned()),
                Type::Begun => format!("#{}", at.0),
                kind => kind
                    .name()
                    .map_or_else(|| kind.kind(), |n| &n.full)
                    .to_owned(),
            };
            if !seen.insert(name) {
                return Err(format!("a union has {} twice", short(branch)));
            }
            places.push(at);
        }
        Ok(self.push(Type::Union(places)))
    }

    /// Makes a name known; its type is filled in with `Parser::define`.
    fn begin(&mut self, object: &Map<String, Value>, space: &str) -> Result<(At, Name), String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let name = text("name").ok_or("a record, enum or fixed has no name")?;
        let full_name = full(name, text("namespace").unwrap_or(space));
        if !full_name.split('.').all(is_name) {
            return Err(format!("{full_name:?} is not a name"));
        }
        if RESERVED.contains(&full_name.as_str()) {
            return Err(format!(
                "{full_name:?} is the name of a type of Avro itself"
            ));
        }
        let mut name = Name {
            full: full_name,
            aliases: Vec::new(),
        };
        let aliases = names(object.get("aliases"))?;
        let space = name.namespace().to_owned();
        name.aliases = aliases.iter().map(|alias| full(alias, &space)).collect();
        let at = self.push(Type::Begun);
        if self.names.insert(name.full.clone(), at).is_some() {
            return Err(format!("{:?} is defined twice", name.full));
        }
        Ok((at, name))
    }

    fn record(&mut self, object: &'a Map<String, Value>, space: &str) -> Result<At, String> {
        let (at, name) = self.begin(object, space)?;
        let listed = object.get("fields").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| format!("record {} has no fields", name.full))?;
        let space = name.namespace().to_owned();
        let mut fields: Vec<Field> = Vec::with_capacity(listed.len());
        let mut seen = HashSet::new();
        for field in listed {
            let field_name = field
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !is_name(field_name) {
                let field = short(field);
                return Err(format!(
                    "a field of {} has no proper name: {field}",
                    name.full
                ));
            }
            if !seen.insert(field_name) {
                return Err(format!("{} has field {field_name:?} twice", name.full));
            }
            let kind = field.get("type");
            let kind = kind.ok_or_else(|| format!("field {field_name:?} has no type"))?;
            let place = self.any(kind, &space)?;
            if let Some(value) = field.get("default") {
                self.defaults.push(Default {
                    record: name.full.clone(),
                    field: field_name.to_owned(),
                    value,
                    at: place,
                });
            }
            fields.push(Field {
                name: field_name.to_owned(),
                aliases: names(field.get("aliases"))?,
                has_default: field.get("default").is_some(),
                at: place,
            });
        }
        self.types[at.0] = Type::Record { name, fields };
        Ok(at)
    }

    fn enumeration(&mut self, object: &Map<String, Value>, space: &str) -> Result<At, String> {
        let (at, name) = self.begin(object, space)?;
        if object.get("symbols").is_none() {
            return Err(format!("enum {} has no symbols", name.full));
        }
        let listed = names(object.get("symbols"))?;
        if let Some(bad) = listed.iter().find(|symbol| !is_name(symbol)) {
            return Err(format!("{bad:?} is not a symbol of an enum"));
        }
        let count = listed.len();
        let symbols: HashSet<_> = listed.into_iter().collect();
        if symbols.len() < count {
            return Err(format!("enum {} has a symbol twice", name.full));
        }
        let default = object.get("default");
        let known = |value: &Value| value.as_str().is_some_and(|s| symbols.contains(s));
        if default.is_some_and(|value| !known(value)) {
            return Err(format!("the default of enum {} is not a symbol", name.full));
        }
        self.types[at.0] = Type::Enum {
            name,
            symbols,
            has_default: default.is_some(),
        };
        Ok(at)
    }

    fn fixed(&mut self, object: &Map<String, Value>, space: &str) -> Result<At, String> {
        let (at, name) = self.begin(object, space)?;
        let size = object.get("size").and_then(Value::as_u64);
        let size = size.ok_or_else(|| format!("fixed {} has no size", name.full))?;
        self.types[at.0] = Type::Fixed { name, size };
        Ok(at)
    }
}

/// Whether a default can be a value of a type; gives up, with `steps` at 0, where that takes long.
/// As deep as the default is nested.
fn fits(types: &[Type], value: &Value, at: At, steps: &mut usize) -> bool {
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    match &types[at.0] {
        Type::Begun => false,
        Type::Null => value.is_null(),
        Type::Boolean => value.is_boolean(),
        Type::Int => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Type::Long => value.is_i64(),
        Type::Float | Type::Double => value.is_number(),
        Type::Bytes | Type::String | Type::Enum { .. } | Type::Fixed { .. } => value.is_string(),
        Type::Array(items) => value
            .as_array()
            .is_some_and(|all| all.iter().all(|value| fits(types, value, *items, steps))),
        Type::Map(values) => value
            .as_object()
            .is_some_and(|all| all.values().all(|value| fits(types, value, *values, steps))),
        Type::Union(branches) => branches.iter().any(|at| fits(types, value, *at, steps)),
        Type::Record { fields, .. } => value.as_object().is_some_and(|object| {
            fields.iter().all(|field| {
                let value = object.get(&field.name);
                value.map_or(field.has_default, |value| {
                    fits(types, value, field.at, steps)
                })
            })
        }),
    }
}

/// A name with its namespace.
fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    bytes.next().is_some_and(first) && bytes.all(|b| first(b) || b.is_ascii_digit())
}

/// A list of texts; nothing is an empty one.
fn names(value: Option<&Value>) -> Result<Vec<String>, String> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let list = value.as_array().map(|list| {
        let texts = list.iter().map(|text| text.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    list.flatten()
        .ok_or_else(|| format!("{} is not a list of names", short(value)))
}

/// The beginning of a value, for messages.
fn short(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
