//! Lazy editing against serde_json, which parses and edits a tree.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::*;

/// Names that collide often, with everything that needs an escape.
const NAMES: [&str; 8] = [
    "a",
    "b",
    "msg",
    "",
    "q\"\\",
    "\u{e9}\u{4e2d}",
    "\n\u{1}",
    "a/b",
];

const NUMBERS: [&str; 7] = [
    "0",
    "-0",
    "1.50",
    "1e3",
    "-12.5E-2",
    "12345678901234567890",
    "7",
];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", " ", "\n\t ", "\r\n"][..])
}

/// A string literal: as serde_json writes it, or with every UTF-16 unit escaped.
fn literal(text: &str, escaped: bool) -> String {
    if !escaped {
        return serde_json::to_string(text).unwrap();
    }
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
    format!("\"{}\"", units.collect::<String>())
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&["null", "true", "false"][..]).prop_map(str::to_owned),
        prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        (".{0,40}", any::<bool>()).prop_map(|(text, escaped)| literal(&text, escaped)),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(values, s)| format!("[{s}{}{s}]", values.join(&format!("{s},{s}")))),
            members(inner, 0..4).prop_map(|text| text),
        ]
    })
}

fn members(
    value: impl Strategy<Value = String>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    let member = (name(), any::<bool>(), value, space()).prop_map(|(name, escaped, value, s)| {
        format!("{s}{}{s}:{s}{value}{s}", literal(name, escaped))
    });
    (prop::collection::vec(member, count), space())
        .prop_map(|(members, s)| format!("{{{s}{}}}", members.join(",")))
}

fn object() -> impl Strategy<Value = String> {
    (space(), members(value(), 0..8), space()).prop_map(|(a, object, b)| format!("{a}{object}{b}"))
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(&'static str),
    Rename(&'static str, &'static str),
    Set(&'static str, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        name().prop_map(Edit::Remove),
        (name(), name()).prop_map(|(from, to)| Edit::Rename(from, to)),
        (name(), value()).prop_map(|(name, value)| Edit::Set(name, value)),
    ]
}

/// The same edits on a tree whose members keep their order.
fn apply_to_tree(map: &mut Map<String, Value>, edit: &Edit) {
    match edit {
        Edit::Remove(name) => {
            map.shift_remove(*name);
        }
        Edit::Rename(from, to) if from != to && map.contains_key(*from) => {
            let members = std::mem::take(map).into_iter();
            *map = members
                .filter(|(name, _)| name != to)
                .map(|(name, value)| {
                    if name == *from {
                        ((*to).to_owned(), value)
                    } else {
                        (name, value)
                    }
                })
                .collect();
        }
        Edit::Rename(..) => {}
        Edit::Set(name, value) => {
            map.insert((*name).to_owned(), serde_json::from_str(value).unwrap());
        }
    }
}

fn apply(object: &mut Object<'_>, edit: &Edit) {
    match edit {
        Edit::Remove(name) => {
            object.remove(name);
        }
        Edit::Rename(from, to) => {
            object.rename(from, to);
        }
        Edit::Set(name, value) => object.set(name, Raw::parse(value).unwrap()),
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    map.iter().collect()
}

/// What the whole grammar allows, as serde_json sees it without building anything.
fn is_json_object(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'))
    })
}

fn set_strings(value: &mut Value, text: &str) {
    match value {
        Value::String(old) => text.clone_into(old),
        Value::Array(values) => values.iter_mut().for_each(|v| set_strings(v, text)),
        Value::Object(map) => map.values_mut().for_each(|v| set_strings(v, text)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, ..ProptestConfig::default() })]

    #[test]
    fn edits_are_those_of_a_tree(text in object(), edits in prop::collection::vec(edit(), 0..6)) {
        let mut tree: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let mut object = Object::parse(&text).unwrap();
        for edit in &edits {
            apply_to_tree(&mut tree, edit);
            apply(&mut object, edit);
            for name in NAMES {
                let found: Option<Value> = object.get(name).map(|raw| raw.deserialize().unwrap());
                prop_assert_eq!(found.as_ref(), tree.get(name), "{}", name);
            }
        }
        let mut written = Vec::new();
        object.write(&mut written);
        let result: Map<String, Value> = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(ordered(&result), ordered(&tree), "{}", object);
        prop_assert_eq!(object.is_empty(), tree.is_empty());
    }

    #[test]
    fn without_an_edit_the_object_keeps_its_bytes(text in object()) {
        let object = Object::parse(&text).unwrap();
        prop_assert_eq!(object.to_string(), text.trim());
    }

    #[test]
    fn exactly_the_grammar_is_accepted(
        text in object(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![prop::sample::select(&b"{}[]\":,\\ 01.-eEtfnu\x00\xc3\xff"[..]), any::<u8>()],
        damage in 0..4,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match damage {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes.truncate(at),
        }
        let object = Object::parse(&bytes);
        prop_assert_eq!(object.is_ok(), is_json_object(&bytes), "{:?} {:?}", object, bytes);
        if let Ok(mut object) = object {
            object.set("b", "x");
            object.rename("a", "msg");
            prop_assert!(is_json_object(object.to_string().as_bytes()), "{}", object);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Object::parse(&bytes).is_ok(), is_json_object(&bytes));
        prop_assert_eq!(Raw::parse(&bytes).is_ok(), std::str::from_utf8(&bytes).is_ok_and(|text| {
            serde_json::from_str::<&RawValue>(text).is_ok()
        }));
    }

    #[test]
    fn a_text_is_written_and_read_as_serde_json_does(text in "\\PC*|[\\x00-\\x7f]*", escaped in any::<bool>()) {
        let written = literal(&text, escaped);
        let read = Raw::parse(&written).unwrap();
        prop_assert_eq!(read.as_str().map(String::from), Some(text.clone()));
        prop_assert!(read.is_str(&text));
        let mut own = Vec::new();
        text.write_json(&mut own);
        prop_assert_eq!(serde_json::from_slice::<String>(&own).unwrap(), text);
    }

    #[test]
    fn strings_are_mapped_at_any_depth(text in object()) {
        let mut same = Vec::new();
        map_strings(text.as_bytes(), &mut same, |_| None).unwrap();
        prop_assert_eq!(std::str::from_utf8(&same), Ok(text.as_str()));

        let mut mapped = Vec::new();
        map_strings(text.as_bytes(), &mut mapped, |_| Some("\"x\"".to_owned())).unwrap();
        let mut tree: Value = serde_json::from_str(&text).unwrap();
        set_strings(&mut tree, "\"x\"");
        prop_assert_eq!(serde_json::from_slice::<Value>(&mapped).unwrap(), tree);
    }
}

#[test]
fn untouched_bytes_stay_as_they_were_written() {
    type Row<'a> = (&'a str, fn(&mut Object<'_>), &'a str);
    let rows: [Row<'_>; 9] = [
        (
            r#"{"n": 1.50 ,"m":1e3}"#,
            |o| o.set("z", true),
            r#"{"n": 1.50 ,"m":1e3,"z":true}"#,
        ),
        (
            r#"{ "a" : 1 , "b" : 2 , "c" : 3 }"#,
            |o| {
                o.remove("b");
            },
            r#"{ "a" : 1,"c" : 3 }"#,
        ),
        (
            r#"{"a":1,"b":2}"#,
            |o| {
                o.remove("a");
            },
            r#"{"b":2}"#,
        ),
        (
            r#"{"a":1,"b":2}"#,
            |o| {
                o.remove("b");
            },
            r#"{"a":1}"#,
        ),
        (
            r#"{"a":1}"#,
            |o| {
                o.remove("a");
                o.set("b", 2);
            },
            r#"{"b":2}"#,
        ),
        (r"{}", |o| o.set("a", None::<bool>), r#"{"a":null}"#),
        (
            r#"{"a":1,"b":[2, 3]}"#,
            |o| {
                o.rename("b", "c");
            },
            r#"{"a":1,"c":[2, 3]}"#,
        ),
        (
            r#"{"a":1,"\u0062":2,"b":3}"#,
            |o| o.set("b", vec!["x"]),
            r#"{"a":1,"\u0062":["x"]}"#,
        ),
        (
            r#"{"a":1}"#,
            |o| {
                o.set("a", 2);
                o.set("a", -3);
            },
            r#"{"a":-3}"#,
        ),
    ];
    for (text, edit, wanted) in rows {
        let mut object = Object::parse(text).unwrap();
        edit(&mut object);
        assert_eq!(object.to_string(), wanted, "{text}");
    }
}

#[test]
fn a_literal_means_its_text_and_not_its_bytes() {
    // (key as written, name, whether it is meant)
    let rows = [
        (r"a\\b", r"a\b", true),
        (r"a\\b", r"a\\b", false),
        (r"\u0061", "a", true),
        (r"\u0061", r"\u0061", false),
        (r"\ud83d\ude00", "\u{1f600}", true),
        (r"\ud83d", "\u{fffd}", true),
        ("a", "b", false),
        ("", "", true),
    ];
    for (key, name, meant) in rows {
        let text = format!(r#"{{"{key}":"{key}"}}"#);
        let mut object = Object::parse(&text).unwrap();
        assert_eq!(object.contains(name), meant, "{key} {name}");
        let value = object.original(name);
        assert_eq!(value.is_some_and(|v| v.is_str(name)), meant, "{key} {name}");
        assert_eq!(object.rename(name, "n"), meant, "{key} {name}");
        assert_eq!(object.original(name).is_some(), meant, "{key} {name}");
    }
}

#[test]
fn many_fields_of_one_name_take_time_in_proportion() {
    let text = format!("{{{}\"b\":1}}", "\"a\":1,".repeat(200_000));
    let mut object = Object::parse(&text).unwrap();
    object.set("a", 2);
    object.rename("a", "c");
    object.remove("b");
    assert_eq!(object.to_string(), r#"{"c":2}"#);
}

#[test]
fn numbers_and_kinds_are_told_apart() {
    type Row<'a> = (&'a str, Kind, Option<i64>, Option<f64>, Option<bool>);
    let rows: [Row<'_>; 8] = [
        ("12", Kind::Number, Some(12), Some(12.0), None),
        ("-1.5", Kind::Number, None, Some(-1.5), None),
        ("99999999999999999999", Kind::Number, None, Some(1e20), None),
        ("true", Kind::Bool, None, None, Some(true)),
        ("null", Kind::Null, None, None, None),
        ("\"12\"", Kind::String, None, None, None),
        ("[1]", Kind::Array, None, None, None),
        (" {} ", Kind::Object, None, None, None),
    ];
    for (text, kind, whole, number, boolean) in rows {
        let raw = Raw::parse(text).unwrap();
        assert_eq!((raw.kind(), raw.as_i64()), (kind, whole), "{text}");
        assert_eq!((raw.as_f64(), raw.as_bool()), (number, boolean), "{text}");
    }
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    assert!(Object::parse(&nested(128)).is_ok());
    let error = Object::parse(&nested(129)).unwrap_err().to_string();
    assert!(error.contains("nested more than 128 deep"), "{error}");
    assert!(Object::parse(&nested(100_000)).is_err());
}

#[test]
fn paths_go_through_objects_and_arrays() {
    let text = r#"{"u":{"mail":"a"},"l":[{"mail":"b"},{"x":1},[{"mail":"c"}]],"mail":"d"}"#;
    let mut object = Object::parse(text).unwrap();
    let mut seen = Vec::new();
    for path in [
        &["u", "mail"][..],
        &["l", "mail"],
        &["mail"],
        &["u", "none"],
        &["mail", "x"],
    ] {
        object.any_at(path, &mut |value| {
            seen.push(value.to_string());
            false
        });
        object.edit_at(path, &mut |inner, name| inner.rename(name, "address"));
    }
    assert_eq!(seen, [r#""a""#, r#""b""#, r#""c""#, r#""d""#]);
    let wanted =
        r#"{"u":{"address":"a"},"l":[{"address":"b"},{"x":1},[{"address":"c"}]],"address":"d"}"#;
    assert_eq!(object.to_string(), wanted);
}
