//! Ids, versions and levels, deletions, and what is found again at the next start.

use wstream_log::Log;
use wstream_record::Clock;

use super::*;

fn avro(text: &str) -> Schema {
    Schema {
        kind: SchemaKind::Avro,
        text: text.to_owned(),
        references: Vec::new(),
    }
}

fn json(text: &str) -> Schema {
    Schema {
        kind: SchemaKind::Json,
        ..avro(text)
    }
}

/// A record with these fields, each an int, the last ones with a default.
fn record(plain: &[&str], optional: &[&str]) -> Schema {
    let plain = plain
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"int"}}"#));
    let optional = optional
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"int","default":0}}"#));
    let fields: Vec<_> = plain.chain(optional).collect();
    avro(&format!(
        r#"{{"type":"record","name":"R","fields":[{}]}}"#,
        fields.join(",")
    ))
}

fn referring(text: &str, subject: &str, version: u32) -> Schema {
    Schema {
        references: vec![Reference {
            name: "other".to_owned(),
            subject: subject.to_owned(),
            version,
        }],
        ..avro(text)
    }
}

struct Bench {
    log: Log,
    schemas: Schemas,
}

impl Bench {
    async fn new() -> Self {
        let log = Log::in_memory(Clock::system());
        let schemas = Schemas::open(log.metadata().clone()).unwrap();
        Self { log, schemas }
    }

    /// As a node finds it at its next start.
    async fn reopen(&mut self) {
        self.schemas = Schemas::open(self.log.metadata().clone()).unwrap();
    }

    /// Registers; the id and the version.
    async fn register(&self, subject: &str, schema: Schema) -> (u32, u32) {
        let registered = self.schemas.register(subject, schema).await.unwrap();
        (registered.id.0, registered.version)
    }

    async fn refused(&self, subject: &str, schema: Schema) -> String {
        let refused = self.schemas.register(subject, schema).await;
        refused.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn the_same_schema_has_one_id_and_under_a_subject_one_version() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.register("a", record(&["x"], &[])).await, (1, 1));
    assert_eq!(bench.register("a", record(&["x"], &["y"])).await, (2, 2));
    assert_eq!(bench.register("a", record(&["x"], &[])).await, (1, 1));
    assert_eq!(bench.register("b", record(&["x"], &["y"])).await, (2, 1));
    let spaced = avro(
        " { \"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}],\"type\":\"record\"}",
    );
    assert_eq!(bench.register("c", spaced).await, (1, 1));
    assert_eq!(bench.register("d", json("\ttrue")).await, (3, 1));
    for _ in 0..2 {
        let schemas = &bench.schemas;
        assert_eq!(schemas.subjects("", Filter::Live), ["a", "b", "c", "d"]);
        assert_eq!(schemas.versions("a", Filter::Live).unwrap(), [1, 2]);
        // The text is the one that came first.
        assert_eq!(*schemas.by_id(SchemaId(1)).unwrap(), record(&["x"], &[]));
        assert_eq!(schemas.by_id(SchemaId(3)).unwrap().text, "\ttrue");
        assert_eq!(schemas.by_id(SchemaId(4)), None);
        let latest = schemas.by_subject("a", None).unwrap();
        assert_eq!((latest.version, latest.id), (2, SchemaId(2)));
        assert_eq!(schemas.by_subject("a", Some(1)).unwrap().id, SchemaId(1));
        assert_eq!(schemas.by_subject("a", Some(3)), None);
        let uses = schemas.uses(SchemaId(1), Filter::Live).unwrap();
        let uses: Vec<_> = uses
            .iter()
            .map(|held| (&*held.subject, held.version))
            .collect();
        assert_eq!(uses, [("a", 1), ("c", 1)]);
        let found = schemas
            .look_up("b", record(&["x"], &["y"]), Filter::Live)
            .await;
        assert_eq!(found.unwrap().id, SchemaId(2));
        bench.reopen().await;
    }
    assert_eq!(bench.register("e", json("false")).await, (4, 1));
}

#[tokio::test]
async fn registrations_at_the_same_time_get_ids_and_versions_of_their_own() {
    let mut bench = Bench::new().await;
    let registrations = (0..40).map(|number: u32| {
        let schemas = bench.schemas.clone();
        async move {
            // Each schema comes twice, and every second one under a subject of its own.
            let text = format!(r#"{{"const":{}}}"#, number / 2);
            let subject = if number.is_multiple_of(2) {
                "a"
            } else {
                &*format!("b{number}")
            };
            let registered = schemas.register(subject, json(&text)).await.unwrap();
            (
                number / 2,
                registered.id.0,
                registered.version,
                number.is_multiple_of(2),
            )
        }
    });
    let mut done = futures_util::future::join_all(registrations).await;
    done.sort_unstable();
    for pair in done.chunks(2) {
        assert_eq!(pair[0].1, pair[1].1, "one schema has two ids: {pair:?}");
    }
    let mut ids: Vec<_> = done.iter().map(|(_, id, ..)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    let mut versions: Vec<_> = done.iter().filter(|d| d.3).map(|d| d.2).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    bench.reopen().await;
    assert_eq!(bench.schemas.versions("a", Filter::Live).unwrap().len(), 20);
    assert_eq!(bench.schemas.subjects("b", Filter::Live).len(), 20);
}

#[tokio::test]
async fn a_change_whose_caller_goes_is_made_whole() {
    let bench = Bench::new().await;
    for number in 0..50 {
        let subject = format!("s{number}");
        let text = format!(r#"{{"const":{number}}}"#);
        let register = bench.schemas.register(&subject, json(&text));
        // Polled a few times, and dropped.
        let few = async {
            for _ in 0..number % 7 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            registered = register => drop(registered.unwrap()),
            () = few => {}
        }
    }
    // Each of them was begun, so each is made.
    let all = async {
        while bench.schemas.subjects("s", Filter::Live).len() < 50 {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
    waited.expect("a change was cut off");
    let last = bench.register("last", json("true")).await;
    let mut reopened = Bench::new().await;
    reopened.log = bench.log.clone();
    reopened.reopen().await;
    for subject in reopened.schemas.subjects("", Filter::Live) {
        let held = reopened.schemas.by_subject(&subject, None).unwrap();
        let expected = match subject.strip_prefix('s') {
            Some(number) => format!(r#"{{"const":{number}}}"#),
            None => "true".to_owned(),
        };
        assert_eq!(held.schema.text, expected);
        assert_eq!(
            bench.schemas.by_id(held.id).map(|s| s.text.clone()),
            Some(expected)
        );
    }
    assert_eq!(
        reopened.schemas.by_subject("last", None).unwrap().id.0,
        last.0
    );
}

#[tokio::test]
async fn deletion_is_soft_first_and_an_id_is_never_given_again() {
    let mut bench = Bench::new().await;
    bench.register("a", record(&["x"], &[])).await;
    bench.register("a", record(&["x"], &["y"])).await;
    bench.register("a", record(&["x"], &["y", "z"])).await;
    let schemas = bench.schemas.clone();
    let said = |result: Result<u32, SchemasError>| result.map_err(|e| e.to_string());
    let not_deleted = "subject \"a\" version 3 was not deleted before being permanently deleted";
    let permanent = schemas.delete_version("a", At::Version(3), true).await;
    assert_eq!(said(permanent), Err(not_deleted.to_owned()));
    assert_eq!(
        schemas
            .delete_version("a", At::Latest, false)
            .await
            .unwrap(),
        3
    );
    let again = schemas.delete_version("a", At::Version(3), false).await;
    assert!(said(again).unwrap_err().contains("was soft deleted"));
    assert_eq!(schemas.versions("a", Filter::Live).unwrap(), [1, 2]);
    assert_eq!(schemas.versions("a", Filter::All).unwrap(), [1, 2, 3]);
    assert_eq!(schemas.versions("a", Filter::DeletedOnly).unwrap(), [3]);
    assert!(schemas.by_id(SchemaId(3)).is_some());
    // Registered again it is the same schema, and another version.
    assert_eq!(
        bench.register("a", record(&["x"], &["y", "z"])).await,
        (3, 4)
    );

    assert_eq!(schemas.delete_subject("a", false).await.unwrap(), [1, 2, 4]);
    let again = schemas
        .delete_subject("a", false)
        .await
        .unwrap_err()
        .to_string();
    assert!(again.contains("was soft deleted"), "{again}");
    assert_eq!(schemas.subjects("", Filter::Live), Vec::<String>::new());
    assert_eq!(schemas.subjects("", Filter::DeletedOnly), ["a"]);
    assert_eq!(schemas.by_subject("a", None), None);
    bench.reopen().await;
    let schemas = bench.schemas.clone();
    assert_eq!(schemas.subjects("", Filter::All), ["a"]);
    assert_eq!(
        schemas.delete_subject("a", true).await.unwrap(),
        [1, 2, 3, 4]
    );
    let gone = schemas
        .delete_subject("a", true)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(gone, "subject \"a\" not found");
    assert_eq!(schemas.by_id(SchemaId(3)), None);
    bench.reopen().await;
    assert_eq!(
        bench.schemas.subjects("", Filter::All),
        Vec::<String>::new()
    );
    assert_eq!(bench.register("a", record(&["x"], &[])).await, (4, 1));
}

#[tokio::test]
async fn what_is_referred_to_stays_and_is_needed() {
    let mut bench = Bench::new().await;
    let color = avro(r#"{"type":"enum","name":"Color","symbols":["RED"]}"#);
    let paint = r#"{"type":"record","name":"Paint","fields":[{"name":"c","type":"Color"}]}"#;
    let refused = bench.refused("paint", avro(paint)).await;
    assert_eq!(refused, "invalid schema: there is no type \"Color\"");
    let refused = bench.refused("paint", referring(paint, "color", 1)).await;
    assert!(
        refused.contains("reference \"other\" does not resolve"),
        "{refused}"
    );
    bench.register("color", color.clone()).await;
    assert_eq!(
        bench.register("paint", referring(paint, "color", 1)).await,
        (2, 1)
    );
    // A reference of a reference.
    let wall = r#"{"type":"array","items":"Paint"}"#;
    assert_eq!(
        bench.register("wall", referring(wall, "paint", 1)).await,
        (3, 1)
    );
    // The text is the same, and what it refers to is not.
    bench.register("color2", color).await;
    assert_eq!(
        bench.register("paint", referring(paint, "color2", 1)).await,
        (4, 2)
    );
    bench.reopen().await;
    let schemas = &bench.schemas;
    assert_eq!(
        schemas.referring("color", At::Latest).unwrap(),
        [SchemaId(2)]
    );
    for delete in [
        schemas.delete_subject("color", false).await.map(drop),
        schemas
            .delete_version("color", At::Version(1), false)
            .await
            .map(drop),
    ] {
        let error = delete.unwrap_err().to_string();
        assert_eq!(
            error,
            "one or more references exist to subject \"color\" version 1"
        );
    }
    schemas.delete_subject("wall", false).await.unwrap();
    schemas.delete_subject("paint", false).await.unwrap();
    assert_eq!(schemas.delete_subject("color", false).await.unwrap(), [1]);
}

#[tokio::test]
async fn levels_decide_what_may_follow() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.schemas.level(None), Some(Level::Backward));
    assert_eq!(bench.schemas.level(Some("a")), None);
    bench.register("a", record(&["x"], &[])).await;
    let refused = bench.refused("a", record(&["x", "y"], &[])).await;
    assert!(
        refused.contains("version 1: READER_FIELD_MISSING_DEFAULT_VALUE at /y"),
        "{refused}"
    );
    let rows = [
        // (level, a schema after {x} and {x, y = 0}, may it follow)
        (Level::Backward, record(&["y"], &[]), true),
        (Level::BackwardTransitive, record(&["y"], &[]), false),
        (Level::Forward, record(&["x", "z"], &[]), true),
        (Level::Forward, record(&["y"], &[]), false),
        (Level::ForwardTransitive, record(&["x", "z"], &[]), true),
        (Level::Full, record(&[], &["y"]), false),
        (Level::Full, record(&["x"], &["z"]), true),
        (Level::FullTransitive, record(&["x"], &["y", "z"]), true),
        (Level::None, json("true"), true),
        (Level::Backward, json("true"), false),
    ];
    bench.register("a", record(&["x"], &["y"])).await;
    for (level, schema, follows) in rows {
        bench.schemas.set_level(Some("a"), level).await.unwrap();
        bench.reopen().await;
        assert_eq!(bench.schemas.level(Some("a")), Some(level));
        let verdict = bench
            .schemas
            .compare("a", None, schema.clone())
            .await
            .unwrap();
        assert_eq!(
            verdict.problems.is_empty(),
            follows,
            "{level:?} {schema:?}: {verdict:?}"
        );
    }
    assert_eq!(
        bench.schemas.reset_level(Some("a")).await.unwrap(),
        Level::Backward
    );
    let error = bench
        .schemas
        .reset_level(Some("a"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("subject \"a\" does not have"), "{error}");
    bench.schemas.set_level(None, Level::None).await.unwrap();
    bench.reopen().await;
    assert_eq!(bench.schemas.level(None), Some(Level::None));
    bench.register("a", json("true")).await;
    bench.schemas.reset_level(None).await.unwrap();
    let verdict = bench.schemas.compare("a", None, json("{}")).await.unwrap();
    assert_eq!(verdict.problems, Vec::<String>::new());
    assert!(
        verdict
            .note
            .unwrap()
            .contains("JSON schemas are not compared")
    );
}

#[tokio::test]
async fn bounds_are_refused_with_their_values() {
    let bench = Bench::new().await;
    let long = "x".repeat(TEXT_BYTES_MAX.0 as usize + 1);
    let many = Schema {
        references: vec![
            Reference {
                name: "n".to_owned(),
                subject: "s".to_owned(),
                version: 1,
            };
            101
        ],
        ..json("true")
    };
    let name = "n".repeat(256);
    const TOO_LARGE: &str = "the schema has";
    let rows = [
        ("a", json(&long), TOO_LARGE),
        ("a", many, "the schema has 101 references, more than 100"),
        (&*name, json("true"), "invalid subject"),
        ("", json("true"), "invalid subject \"\""),
        (":.context:a", json("true"), "invalid subject"),
        ("a\nb", json("true"), "invalid subject"),
        ("a", json("1"), "invalid schema: a JSON Schema is"),
    ];
    for (subject, schema, said) in rows {
        let error = bench.refused(subject, schema).await;
        let said = said.replace("1MiB + 1", "1048577B");
        assert!(
            error.starts_with(&said) || error.contains("has 1048577"),
            "{error}"
        );
    }
    bench.schemas.set_level(None, Level::None).await.unwrap();
    bench.register("a", json("true")).await;
    {
        // As a thousand registrations leave it, and ten thousand.
        let mut state = bench.schemas.0.state.write();
        let full = state.subjects.get_mut("a").unwrap();
        let version = full.0[&1].clone();
        full.0
            .extend((1..=VERSIONS_MAX as u32).map(|number| (number, version.clone())));
        let names = (1..SUBJECTS_MAX).map(|number| format!("s{number}"));
        state
            .subjects
            .extend(names.map(|name| (name, state::Subject::default())));
    }
    let error = bench.refused("a", json("false")).await;
    assert_eq!(
        error,
        "subject \"a\" has 1000 versions: delete some permanently"
    );
    assert_eq!(bench.register("a", json(" true")).await.0, 1);
    let error = bench.refused("one more", json("true")).await;
    assert_eq!(error, "there are 10000 subjects: delete some permanently");
}
