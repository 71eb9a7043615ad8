//! Components: records as values, failures by record, components that misbehave.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::{Cause, InitError, Kind, Limits};

/// Misbehaves as a record's value asks: see its comment.
const PROBE: &str = include_str!("../../guests/component.wat");

const UNREACHABLE: &str = "wasm `unreachable` instruction executed";

/// A core module with the types of the world `transform` around it.
fn component(text: &str) -> Bytes {
    in_world("transform", text)
}

/// The probe of core modules as a component whose batches are frames: its own exports become plain
/// functions, and what it imports does nothing.
fn frames_component() -> Bytes {
    let text = crate::tests::PROBE;
    let own = [
        ("(func (export \"wstream_abi_v1\"))", ""),
        ("(func (export \"wstream_alloc\")", "(func $alloc"),
        ("(func (export \"wstream_process\")", "(func $process"),
    ];
    let text = own.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let import = |line: &str| line.trim_start().starts_with("(import ");
    let local = |line: &str| {
        let from = line.find("(func").unwrap();
        let types = line[from..].trim_end().trim_end_matches(')');
        let result = if types.contains("(result i32") {
            " (i32.const 0)"
        } else {
            ""
        };
        format!("{types}){result})")
    };
    let lines = text.lines().filter(|line| !line.ends_with(";; CURSOR"));
    let lines = lines.map(|line| {
        if import(line) {
            local(line)
        } else {
            line.to_owned()
        }
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let end = text.rfind(')').unwrap();
    in_world(
        "transform-frames",
        &format!("{}\n{FRAME_EXPORTS})", &text[..end]),
    )
}

/// init refuses a configuration of 4 bytes. A result is written to 128: its case, then the list of
/// bytes, or code and message.
const FRAME_EXPORTS: &str = r#"
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (call $alloc (local.get $size)))
  (func $refuse (result i32)
    (i32.store8 (i32.const 128) (i32.const 1))
    (i32.store16 offset=4 (i32.const 128) (i32.const 7))
    (i32.store offset=8 (i32.const 128) (i32.const 264))
    (i32.store offset=12 (i32.const 128) (i32.const 7))
    (i32.const 128))
  (func (export "wstream:transform/guest-frames@1.0.0#init")
    (param i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $len) (i32.const 4)) (then (return (call $refuse))))
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.const 128))
  (func (export "wstream:transform/guest-frames@1.0.0#process")
    (param $at i32) (param $len i32) (result i32)
    (local $packed i64)
    (local.set $packed (call $process (local.get $at) (local.get $len)))
    (if (i64.eq (local.get $packed) (i64.const -1)) (then (return (call $refuse))))
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.store offset=4 (i32.const 128)
      (i32.wrap_i64 (i64.shr_u (local.get $packed) (i64.const 32))))
    (i32.store offset=8 (i32.const 128) (i32.wrap_i64 (local.get $packed)))
    (i32.const 128))
"#;

/// A core module with a world's types around it.
fn in_world(world: &str, text: &str) -> Bytes {
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../guest-sdk/wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.validate(true).encode().unwrap().into()
}

const ROWS: [(&str, &str, &str); 8] = [
    ("!f", "guest", "as asked"),
    (
        "!l",
        "timeout",
        "a record took longer than the limit of 400 ms",
    ),
    ("!t", "trap", UNREACHABLE),
    ("!r", "trap", "call stack exhausted"),
    (
        "!m",
        "memory",
        "memory is limited to 16777216 bytes, and that of all instances to 1073741824",
    ),
    ("!c", "bad_frame", "the answer has 0 outcomes for 1 records"),
    ("!g", "trap", "list pointer/length out of bounds of memory"),
    ("!d", "none", ""),
];

#[tokio::test]
async fn a_hostile_record_costs_itself_and_nothing_more() {
    let runtime = runtime();
    let transform = tight_transform(&runtime, component(PROBE)).await;
    assert_eq!(transform.module().kind(), Kind::Component);
    for row in ROWS {
        for at in [0, 2, 4] {
            costs_itself(&transform, row, at).await;
        }
    }
    assert_eq!(transform.stats().instances, 0);
    assert_eq!(runtime.memory().0, ByteSize(0));
}

/// What a component of the other world does to a record that a core module could do too.
const FRAME_ROWS: [(&str, &str, &str); 10] = [
    ("!f", "guest", "as asked"),
    (
        "!l",
        "timeout",
        "a record took longer than the limit of 400 ms",
    ),
    ("!t", "trap", UNREACHABLE),
    ("!r", "trap", "call stack exhausted"),
    (
        "!m",
        "memory",
        "memory is limited to 16777216 bytes, and that of all instances to 1073741824",
    ),
    ("!b", "bad_frame", "bad frame at byte 4: unknown kind 9"),
    (
        "!i",
        "bad_frame",
        "bad frame at byte 0: record index 5000, the call has 1 records",
    ),
    ("!P", "trap", "list pointer/length out of bounds of memory"),
    (
        "!o",
        "output_size",
        "9437215 bytes of output, the limit is 8388608",
    ),
    ("!d", "none", ""),
];

#[tokio::test]
async fn a_hostile_frame_costs_its_record_and_nothing_more() {
    let runtime = runtime();
    let transform = tight_transform(&runtime, frames_component()).await;
    assert_eq!(transform.module().kind(), Kind::Component);
    for row in FRAME_ROWS {
        for at in [0, 2, 4] {
            costs_itself(&transform, row, at).await;
        }
    }
    assert_eq!(transform.stats().instances, 0);
    assert_eq!(runtime.memory().0, ByteSize(0));
}

#[tokio::test]
async fn a_component_of_frames_may_refuse_a_call_and_its_configuration() {
    let runtime = runtime();
    let transform = tight_transform(&runtime, frames_component()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "!R", "b"])).await;
    let failed = |index| (index, "guest", "refused".to_owned());
    assert_eq!(seen(&processed).1, [failed(0), failed(1), failed(2)]);
    let config = serde_json::value::RawValue::from_string("true".to_owned()).unwrap();
    let module = transform.module();
    let transform = Transform::new("probe", module, Some(&config), Limits::default());
    let refused = InitError::Refused {
        code: 7,
        message: "refused".to_owned(),
    };
    assert_eq!(transform.instantiate().await.map(drop), Err(refused));
}

#[tokio::test]
async fn a_refused_call_fails_all_its_records() {
    let transform = tight_transform(&runtime(), component(PROBE)).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "!R", "b"])).await;
    let failed = |index| (index, "guest", "refused".to_owned());
    assert_eq!(seen(&processed).1, [failed(0), failed(1), failed(2)]);
    assert!(processed.failures.iter().all(|f| f.code == 7));
}

#[tokio::test]
async fn records_come_back_as_they_went_in() {
    let header = |name: &'static str, value: Option<&'static [u8]>| wstream_record::Header {
        name: name.into(),
        value: value.map(Bytes::from_static),
    };
    let records = [
        record("text"),
        Record {
            value: Some(Bytes::from_static(b"\xff\x00binary")),
            key: None,
            headers: vec![
                header("a", None),
                header("", Some(b"\xfe")),
                header("a", Some(b"")),
            ],
            ..record("")
        },
        Record {
            value: None,
            key: Some(Bytes::new()),
            ..record("")
        },
    ];
    for component in [component(PROBE), frames_component()] {
        let transform = tight_transform(&runtime(), component).await;
        let mut instance = transform.instantiate().await.unwrap();
        let processed = process_all(&mut instance, batch(records.clone())).await;
        assert_eq!(processed.failures, []);
        let outputs: Vec<_> = processed.outputs.iter().map(|o| o.record.clone()).collect();
        assert_eq!(outputs, records);
    }
}

#[tokio::test]
async fn a_configuration_may_be_refused() {
    let runtime = runtime();
    let module = runtime.compile(component(PROBE)).await.unwrap();
    let start = async |config: &str| {
        let config = serde_json::value::RawValue::from_string(config.to_owned()).unwrap();
        let transform = Transform::new("probe", &module, Some(&config), Limits::default());
        transform.instantiate().await.map(drop)
    };
    assert_eq!(start("{}").await, Ok(()));
    let trapped = InitError::failed("init", Cause::Trap, UNREACHABLE);
    assert_eq!(start("123").await, Err(trapped));
    let refused = InitError::Refused {
        code: 7,
        message: "refused".to_owned(),
    };
    assert_eq!(start("true").await, Err(refused));
}

/// There is no cursor: who wrote state is told by running the call's records one at a time.
#[tokio::test]
async fn what_a_failed_record_wrote_is_not_seen_by_those_behind_it() {
    let transform = tight_transform(&runtime(), component(PROBE)).await;
    let mut instance = transform.instantiate().await.unwrap();
    let records = ["!k", "!k", "!K", "!k", "!t", "!k"];
    let processed = process_all(&mut instance, values(&records)).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["1", "2", "3", "4"]);
    assert_eq!(failures.len(), 2);
}

#[tokio::test]
async fn a_component_cut_off_anywhere_is_refused() {
    let runtime = runtime();
    let whole = component(PROBE);
    for end in (0..whole.len()).step_by(7) {
        let cut = runtime.compile(whole.slice(..end)).await;
        assert!(cut.is_err(), "{end} of {} bytes", whole.len());
    }
}
