//! What parses, what does not, and what can be read with what.

use super::*;

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
}

fn field(name: &str, rest: &str) -> String {
    format!(r#"{{"name":"{name}",{rest}}}"#)
}

#[test]
fn schemas_of_the_specification_parse() {
    let rows = [
        r#""string""#.to_owned(),
        r#"{"type":"long","logicalType":"timestamp-millis"}"#.to_owned(),
        r#"{"type":{"type":"array","items":"int"}}"#.to_owned(),
        "[]".to_owned(),
        r#"["null","string",{"type":"fixed","name":"F","size":16}]"#.to_owned(),
        r#"{"type":"enum","name":"E","symbols":["A","B"],"default":"B"}"#.to_owned(),
        // A list: a type that names itself, with and without its namespace.
        record(r#"{"name":"a","type":["null","R"],"default":null},{"name":"b","type":"n.R"}"#),
        record(r#"{"name":"a","type":["null","int"],"default":3}"#),
        record(r#"{"name":"a","type":{"type":"map","values":"R"},"default":{}}"#),
        record(r#"{"name":"a","type":"bytes","default":"x","doc":"y","order":"ignore","own":1}"#),
    ];
    for text in rows {
        if let Err(error) = Avro::parse(&[], &text) {
            panic!("{text}: {error}");
        }
    }
}

#[test]
fn what_is_no_schema_says_why() {
    let nested = format!("{}\"int\"{}", "[".repeat(200), "]".repeat(200));
    let rows = [
        ("{", "not JSON"),
        (nested.as_str(), "not JSON"),
        ("7", "7 is no schema"),
        (r#"{"name":"R"}"#, "no \"type\""),
        (r#""other""#, "no type \"other\""),
        (r#"{"type":"array"}"#, "needs \"items\""),
        (r#"["int","int"]"#, "twice"),
        (r#"["int",["null"]]"#, "directly in a union"),
        (r#"{"type":"record","fields":[]}"#, "no name"),
        (
            r#"{"type":"record","name":"a-b","fields":[]}"#,
            "not a name",
        ),
        (
            r#"{"type":"record","name":"string","fields":[]}"#,
            "of Avro itself",
        ),
        (r#"{"type":"record","name":"R"}"#, "no fields"),
        (
            r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#,
            "no proper name",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#,
            "no type",
        ),
        (r#"{"type":"fixed","name":"F","size":-1}"#, "no size"),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "twice"),
        (
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
            "not a symbol",
        ),
        (
            r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#,
            "defined twice",
        ),
    ];
    for (text, reason) in rows {
        let error = Avro::parse(&[], text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    for (kind, value) in [
        ("\"int\"", "\"a\""),
        ("\"int\"", "2147483648"),
        ("[\"null\",\"int\"]", "\"a\""),
        ("{\"type\":\"array\",\"items\":\"int\"}", "[null]"),
        ("\"R\"", "{}"),
    ] {
        let text = record(&field("a", &format!(r#""type":{kind},"default":{value}"#)));
        // A record whose field has a default is made of nothing.
        let error = Avro::parse(&[], &text).err();
        assert_eq!(error.is_none(), kind == "\"R\"", "{text}: {error:?}");
    }
}

#[test]
fn types_of_references_are_known() {
    let inner = r#"{"type":"enum","name":"n.E","symbols":["A"]}"#;
    let outer = record(&field("e", r#""type":"E""#));
    assert!(Avro::parse(&[], &outer).is_err());
    let twice = format!(r#"["{}","n.E"]"#, "n.R");
    assert!(Avro::parse(&[inner, &outer], &twice).is_ok());
    // What a reference says is compared as well, not its name.
    let wider = r#"{"type":"enum","name":"n.E","symbols":["A","B"]}"#;
    let old = Avro::parse(&[inner], &outer).unwrap();
    let new = Avro::parse(&[wider], &outer).unwrap();
    assert_eq!(can_read(&new, &old), Ok(()));
    let problems = can_read(&old, &new).unwrap_err();
    assert_eq!(
        problems,
        ["MISSING_ENUM_SYMBOLS at /e: the reader has no symbol B"]
    );
}

/// (reader, writer, what is said; nothing where it can be read)
const PAIRS: &[(&str, &str, &str)] = &[
    (r#""long""#, r#""int""#, ""),
    (r#""int""#, r#""long""#, "TYPE_MISMATCH"),
    (r#""string""#, r#""bytes""#, ""),
    (r#""double""#, r#""float""#, ""),
    (r#"["null","long"]"#, r#""int""#, ""),
    (r#""int""#, r#"["null","int"]"#, "TYPE_MISMATCH"),
    (r#""int""#, r#"["int"]"#, ""),
    (
        r#"["null","int"]"#,
        r#"["int","string"]"#,
        "MISSING_UNION_BRANCH",
    ),
    (r#"["null"]"#, r#""int""#, "MISSING_UNION_BRANCH"),
    (
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"array","items":"int"}"#,
        "",
    ),
    (
        r#"{"type":"map","values":"int"}"#,
        r#"{"type":"map","values":"long"}"#,
        "TYPE_MISMATCH",
    ),
    (
        r#"{"type":"fixed","name":"a.F","size":2}"#,
        r#"{"type":"fixed","name":"b.F","size":2}"#,
        "",
    ),
    (
        r#"{"type":"fixed","name":"F","size":2}"#,
        r#"{"type":"fixed","name":"F","size":3}"#,
        "FIXED_SIZE_MISMATCH",
    ),
    (
        r#"{"type":"fixed","name":"F","size":2}"#,
        r#"{"type":"fixed","name":"G","size":2}"#,
        "NAME_MISMATCH",
    ),
    (
        r#"{"type":"fixed","name":"F","aliases":["G"],"size":2}"#,
        r#"{"type":"fixed","name":"G","size":2}"#,
        "",
    ),
    (
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#,
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        "",
    ),
];

#[test]
fn what_can_be_read_follows_the_rules_of_resolution() {
    for (reader, writer, said) in PAIRS {
        let parse = |text| Avro::parse(&[], text).unwrap();
        match can_read(&parse(reader), &parse(writer)) {
            Ok(()) => assert_eq!(*said, "", "{reader} reads {writer}"),
            Err(problems) => assert!(
                !said.is_empty() && problems[0].starts_with(said),
                "{reader} reads {writer}: {problems:?}"
            ),
        }
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| field(name, r#""type":"int""#));
    let with_default = field("b", r#""type":"int","default":1"#);
    let renamed = field("z", r#""type":"long","aliases":["a"]"#);
    let itself = field("r", r#""type":["null","R"],"default":null"#);
    let rows = [
        (format!("{a},{with_default}"), a.clone(), vec![]),
        (a.clone(), format!("{a},{b}"), vec![]),
        (renamed, a.clone(), vec![]),
        (format!("{a},{itself}"), format!("{a},{itself}"), vec![]),
        (format!("{a},{b},{c}"), a, vec!["/b", "/c"]),
    ];
    for (reader, writer, missing) in rows {
        let parse = |fields: &str| Avro::parse(&[], &record(fields)).unwrap();
        let problems = can_read(&parse(&reader), &parse(&writer))
            .err()
            .unwrap_or_default();
        let expected: Vec<_> = missing
            .iter()
            .map(|at| {
                format!(
                    "READER_FIELD_MISSING_DEFAULT_VALUE at {at}: \
                     the writer has no such field, and it has no default"
                )
            })
            .collect();
        assert_eq!(problems, expected, "{reader} reads {writer}");
    }
}

#[test]
fn hostile_schemas_end_within_their_bounds() {
    // Records inside each other far deeper than JSON can be nested.
    let chain = |count: usize| {
        let mut types = vec![r#"{"type":"record","name":"T0","fields":[]}"#.to_owned()];
        for n in 1..count {
            let inner = n - 1;
            types.push(format!(
                r#"{{"type":"record","name":"T{n}","fields":[{{"name":"a","type":"T{inner}"}}]}}"#
            ));
        }
        types.reverse();
        types
    };
    let mut types = chain(5_000);
    types.reverse();
    let refs: Vec<_> = types[..4_999].iter().map(String::as_str).collect();
    let deep = Avro::parse(&refs, &types[4_999]).unwrap();
    assert!(can_read(&deep, &deep).unwrap_err()[0].starts_with("TOO_LARGE"));
    // Unions whose branches are all compared with each other.
    let wide = |kind: &str| {
        let branch = |n| format!(r#"{{"type":"fixed","name":"{kind}{n}","size":1}}"#);
        let branches: Vec<_> = (0..5_000).map(branch).collect();
        Avro::parse(&[], &format!("[{}]", branches.join(","))).unwrap()
    };
    assert!(can_read(&wide("F"), &wide("G")).is_err());
    // A default that fits no branch of a union, at any depth.
    let branch = |n| {
        format!(
            r#"{{"type":"record","name":"B{n}","fields":[{{"name":"a","type":"U"}},
            {{"name":"no{n}","type":"int"}}]}}"#
        )
    };
    let branches: Vec<_> = (0..20).map(branch).collect();
    let mut value = "1".to_owned();
    for _ in 0..50 {
        value = format!(r#"{{"a":{{"u":{value}}}}}"#);
    }
    let text = format!(
        r#"{{"type":"record","name":"U","fields":[{{"name":"u","type":[{}],"default":{value}}}]}}"#,
        branches.join(",")
    );
    let error = Avro::parse(&[], &text).unwrap_err();
    assert!(error.contains("takes too long"), "{error}");
}
