//! The schema takes what the reader takes and refuses what it refuses, as far as shape goes.

use serde_json::{Value, json};

use super::*;

/// Checks a value against a schema: the keywords that our schema uses, and no other.
#[expect(
    clippy::too_many_lines,
    reason = "one arm for each keyword of the schema"
)]
fn fits(schema: &Value, value: &Value, root: &Value) -> Result<(), String> {
    const SILENT: [&str; 6] = [
        "$schema",
        "$defs",
        "title",
        "description",
        "default",
        "examples",
    ];
    let Some(keywords) = schema.as_object() else {
        return if schema == &json!(false) {
            Err(format!("{value} is not allowed"))
        } else {
            Ok(())
        };
    };
    for (keyword, told) in keywords
        .iter()
        .filter(|(keyword, _)| !SILENT.contains(&keyword.as_str()))
    {
        let ok = match keyword.as_str() {
            "$ref" => {
                let path = told.as_str().unwrap().strip_prefix('#').unwrap();
                fits(root.pointer(path).unwrap(), value, root)?;
                true
            }
            "type" => told.as_array().map_or_else(
                || is(told, value),
                |kinds| kinds.iter().any(|kind| is(kind, value)),
            ),
            "const" => told == value,
            "enum" => told.as_array().unwrap().contains(value),
            "oneOf" => {
                told.as_array()
                    .unwrap()
                    .iter()
                    .filter(|s| fits(s, value, root).is_ok())
                    .count()
                    == 1
            }
            "anyOf" => told
                .as_array()
                .unwrap()
                .iter()
                .any(|s| fits(s, value, root).is_ok()),
            "required" => told
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "minimum" => value.as_f64().is_none_or(|n| n >= told.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= told.as_f64().unwrap()),
            "minLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as u64 >= told.as_u64().unwrap()),
            "maxLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as u64 <= told.as_u64().unwrap()),
            "format" => true,
            "items" => {
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .try_for_each(|item| fits(told, item, root))?;
                true
            }
            "properties" => {
                for (name, schema) in told.as_object().unwrap() {
                    value
                        .get(name)
                        .map_or(Ok(()), |inner| fits(schema, inner, root))?;
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let further = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                for (_, inner) in further {
                    fits(told, inner, root)?;
                }
                true
            }
            other => panic!("teach this test the keyword {other}"),
        };
        if !ok {
            return Err(format!("{value} does not fit {keyword} {told}"));
        }
    }
    Ok(())
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no kind {other}"),
    }
}

fn schema_takes(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().unwrap();
    let schema = schema();
    fits(&schema, &serde_json::to_value(table).unwrap(), &schema)
}

#[test]
fn the_examples_fit_the_schema() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for folder in std::fs::read_dir(examples).unwrap() {
        if let Ok(text) = std::fs::read_to_string(folder.unwrap().path().join("wstream.toml")) {
            schema_takes(&text).unwrap_or_else(|wrong| panic!("{wrong} in\n{text}"));
            checked += 1;
        }
    }
    assert!(checked > 0, "there is no example");
    schema_takes(GOOD).unwrap();
    let settings = "settings = { \"cleanup.policy\" = \"compact\", \"segment.ms\" = 5 }";
    schema_takes(&GOOD.replacen("partitions = 3", settings, 1)).unwrap();
}

#[test]
fn what_the_reader_refuses_by_shape_does_not_fit_the_schema() {
    let rows = [
        ("partitions = 3", "partitons = 3"),
        ("partitions = 3", "partitions = \"3\""),
        ("partitions = 3", "partitions = 0"),
        ("age = \"30d\"", "age = 30"),
        ("partitions = 3", "settings = { cleanup = \"compact\" }"),
        ("partitions = 3", "settings = { \"cleanup.policy\" = true }"),
        (
            "partitions = 3",
            "settings = { \"segment.bytes\" = 1048576 }",
        ),
        ("[sinks.live]", "[sink.live]"),
        ("type = \"csv\"", "type = \"cvs\""),
        ("type = \"csv\"\n", ""),
        ("path = \"data/titles.csv\"\n", ""),
        ("key = \"id\"", "kye = \"id\""),
        ("to = [\"titles-index\", \"live\"]", "to = \"live\""),
    ];
    for (replaced, by) in rows {
        assert!(
            schema_takes(&GOOD.replacen(replaced, by, 1)).is_err(),
            "{by}"
        );
    }
}
