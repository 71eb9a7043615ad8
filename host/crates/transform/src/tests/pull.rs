//! Redpanda transforms: records pulled, outputs by record, programs that end or misbehave.

use super::*;
use crate::{Cause, InitError, Service};

const STOPPED: &str = "a record took longer than the limit of 400 ms";
const UNREACHABLE: &str = "wasm `unreachable` instruction executed";
const MEMORY: &str = "memory is limited to 16777216 bytes, and that of all instances to 1073741824";

/// What the program does on a record, and the failure it must give.
const ROWS: [(&str, &str, &str); 12] = [
    ("!l", "timeout", STOPPED),
    ("!s", "timeout", STOPPED),
    ("!t", "trap", UNREACHABLE),
    ("!e", "trap", "first line"),
    ("!r", "trap", "call stack exhausted"),
    ("!m", "memory", MEMORY),
    ("!g", "memory", MEMORY),
    ("!x", "exit", "proc_exit(3)"),
    ("!R", "exit", "the program ended: _start returned"),
    (
        "!o",
        "output_size",
        "9437215 bytes of output, the limit is 8388608",
    ),
    (
        "!p",
        "trap",
        "100 bytes at 0xfffffff0, given to an import, are outside memory",
    ),
    ("!b", "none", ""),
];

/// Every row at the first, a middle and the last place of a batch. What was done before it is not
/// done again.
#[tokio::test]
async fn a_hostile_record_costs_itself_and_nothing_more() {
    let runtime = runtime();
    let transform = tight_transform(&runtime, wasm(PULL)).await;
    for row in ROWS {
        for at in [0, 2, 4] {
            // One call ends, one does the rest; memory that ran out is tried again alone. After a
            // call that took long, the next ones get as few records as one each.
            let most = if row.1 == "timeout" { 6 } else { 3 };
            let calls = costs_itself(&transform, row, at).await;
            assert!(calls <= most, "{row:?} at {at}: {calls} calls");
        }
    }
    assert_eq!(transform.stats().instances, 0);
    assert_eq!(runtime.memory().0, ByteSize(0));
}

#[tokio::test]
async fn what_was_written_at_one_record_is_no_reason_at_the_next() {
    let transform = tight_transform(&runtime(), wasm(PULL)).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["!w", "!t", "!w", "!e"])).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["!w", "!w"]);
    let failures: Vec<_> = failures.iter().map(|f| (f.0, f.2.as_str())).collect();
    assert_eq!(failures, [(1, UNREACHABLE), (3, "first line")]);
}

#[tokio::test]
async fn a_batch_that_is_left_unread_is_a_broken_order() {
    let transform = tight_transform(&runtime(), wasm(PULL)).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "!n", "b"])).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["a", "b"]);
    let message = "it asked for another batch after 2 of 3 records".to_owned();
    assert_eq!(failures, [(1, "bad_frame", message)]);
}

#[tokio::test]
async fn outputs_go_by_the_names_of_topics_and_keep_time_and_headers() {
    let runtime = runtime();
    let module = runtime.compile(wasm(PULL)).await.unwrap();
    let service = Service {
        output_topics: vec!["first".to_owned(), "second".to_owned()],
        ..Service::default()
    };
    let transform = Transform::with("probe", &module, service);
    let mut instance = transform.instantiate().await.unwrap();
    let mut twice = record("!2");
    twice.headers = vec![wstream_record::Header {
        name: "h".into(),
        value: None,
    }];
    let negative = Record {
        timestamp: Timestamp(-1),
        ..record("late")
    };
    let records = [twice.clone(), record("!u"), negative.clone(), record("!d")];
    let processed = process_all(&mut instance, batch(records)).await;
    assert_eq!(processed.failures, []);
    let outputs = processed.outputs.iter();
    let outputs: Vec<_> = outputs
        .map(|o| (o.index, o.output, o.record.clone()))
        .collect();
    assert_eq!(
        outputs,
        [(0, 0, twice.clone()), (0, 1, twice), (2, 0, negative)]
    );
    assert!(processed.outputs.iter().all(|o| o.partition.is_none()));
}

/// A program that writes what it finds of its environment and arguments to stderr and traps.
const ECHO_ENVIRONMENT: &str = r#"(module
  (import "redpanda_transform" "check_abi_version_1" (func))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $i i32)
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 256) (i32.const 1024)))
    (drop (call $sizes (i32.const 0) (i32.const 8)))
    (drop (call $environ (i32.const 256) (i32.add (i32.const 1024) (i32.load (i32.const 4)))))
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 8))))
    ;; Zeroes become bars.
    (local.set $i (i32.const 1024))
    (loop $l
      (if (i32.eqz (i32.load8_u (local.get $i))) (then (i32.store8 (local.get $i) (i32.const 124))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.add (i32.const 1024) (i32.load (i32.const 20))))))
    (drop (call $print (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 32)))
    (unreachable))
)"#;

#[tokio::test]
async fn the_configuration_is_the_environment() {
    let runtime = runtime();
    let module = runtime.compile(wasm(ECHO_ENVIRONMENT)).await.unwrap();
    let start = async |config: &str| {
        let config = serde_json::value::RawValue::from_string(config.to_owned()).unwrap();
        let service = Service {
            config: Some(&config),
            input_topic: Some("in"),
            output_topics: vec!["out".to_owned(), "more".to_owned()],
            ..Service::default()
        };
        let transform = Transform::with("upper", &module, service);
        transform.instantiate().await.map(drop).unwrap_err()
    };
    let found = "upper|LEVEL=3|NAME=a b|REDPANDA_INPUT_TOPIC=in|REDPANDA_OUTPUT_TOPIC_0=out|\
                 REDPANDA_OUTPUT_TOPIC_1=more|";
    let expected = InitError::Failed {
        step: "_start",
        cause: Cause::Trap,
        message: found.to_owned(),
    };
    assert_eq!(start(r#"{"NAME": "a b", "LEVEL": 3}"#).await, expected);
    let refused = [
        (
            r#"{"A=B": ""}"#,
            "\"A=B\" is no name of an environment variable",
        ),
        (
            r#"{"A": "b\n"}"#,
            "the environment variable A has more than 2048 bytes or control",
        ),
    ];
    for (config, message) in refused {
        let InitError::Refused { message: found, .. } = start(config).await else {
            panic!("{config}");
        };
        assert!(found.starts_with(message), "{found}");
    }
}

#[tokio::test]
async fn a_program_that_ends_before_it_asks_for_records_does_not_start() {
    let runtime = runtime();
    let ends = |body: &str| {
        format!(
            r#"(module (import "redpanda_transform" "check_abi_version_1" (func))
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 1) (func (export "_start") {body}))"#
        )
    };
    let rows = [
        ("", Cause::Exit, "it returned before it asked for records"),
        ("(call $exit (i32.const 2))", Cause::Exit, "proc_exit(2)"),
        ("(unreachable)", Cause::Trap, UNREACHABLE),
    ];
    for (body, cause, message) in rows {
        let transform = tight_transform(&runtime, wasm(&ends(body))).await;
        let error = transform.instantiate().await.map(drop).unwrap_err();
        let expected = InitError::failed("_start", cause, message);
        assert_eq!(error, expected);
    }
}

/// Written state of the records before the one that failed holds, as their outputs do.
#[tokio::test]
async fn keyed_state_of_finished_records_survives_the_program() {
    let transform = tight_transform(&runtime(), wasm(PULL)).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["!k", "!k", "!K", "!k", "!t", "!k"])).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["1", "2", "3", "4"]);
    assert_eq!(failures.len(), 2);
}
