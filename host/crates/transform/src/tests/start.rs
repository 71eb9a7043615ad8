//! How instances start, and how they do not.

use serde_json::value::RawValue;
use wstream_record::ManualClock;

use super::*;
use crate::{Cause, InitError};

const FAIL: &str = r#"(import "wstream_v1" "fail" (func $fail (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "no such field")"#;

/// `SMALLEST` with an init of this body, and `fail` at hand.
fn with_init(body: &str) -> String {
    let init = format!(
        r#"(func (export "wstream_init") (param $at i32) (param $len i32) (result i32) {body})"#
    );
    smallest_with(&init).replace(r#"(memory (export "memory") 1)"#, FAIL)
}

/// Modules and what their start must answer.
fn rows() -> Vec<(String, InitError)> {
    let failed = |step, cause, message: &str| InitError::failed(step, cause, message);
    let told = "(call $fail (i32.const 5) (i32.const 100) (i32.const 13))";
    let unreachable = "wasm `unreachable` instruction executed";
    let refused = |code, message: &str| InitError::Refused {
        code,
        message: message.to_owned(),
    };
    let memory = "memory is limited to 16777216 bytes, and that of all instances to 1073741824";
    vec![
        (
            with_init(&format!("{told} (i32.const -1)")),
            refused(5, "no such field"),
        ),
        (with_init("(i32.const 3)"), refused(0, "it returned 3")),
        (
            with_init(&format!("{told} (unreachable)")),
            failed("wstream_init", Cause::Trap, "no such field"),
        ),
        (
            smallest_with(r#"(func $s (unreachable)) (start $s)"#),
            failed("instantiation", Cause::Trap, unreachable),
        ),
        (
            smallest_with(r#"(func (export "_initialize") (unreachable))"#),
            failed("_initialize", Cause::Trap, unreachable),
        ),
        (
            smallest_with(
                r#"(func (export "wstream_init") (param i32 i32) (result i32) (i32.const 0))"#,
            )
            .replace("(i32.const 8)", "(i32.const 0)"),
            failed(
                "wstream_init",
                Cause::BadFrame,
                "wstream_alloc returned 0 for 2 bytes",
            ),
        ),
        (
            smallest_with(r#"(func (export "wstream_cursor") (result i32) (i32.const 65533))"#),
            failed(
                "wstream_cursor",
                Cause::BadFrame,
                "the cursor at 0xfffd is outside memory of 65536 bytes",
            ),
        ),
        (
            SMALLEST.replace(r#"(export "memory") 1"#, r#"(export "memory") 300"#),
            failed("instantiation", Cause::Memory, memory),
        ),
        (
            smallest_with("(table 2000000 funcref)"),
            failed("instantiation", Cause::Memory, memory),
        ),
    ]
}

#[tokio::test]
async fn a_module_that_does_not_start_says_why() {
    let runtime = runtime();
    for (text, error) in rows() {
        let transform = transform(&runtime, &text, tight()).await;
        let started = transform.instantiate().await;
        assert_eq!(started.map(drop), Err(error), "{text}");
        assert_eq!(transform.stats().instances, 0);
    }
    assert_eq!(runtime.memory().0, ByteSize(0));
}

#[tokio::test]
async fn starting_has_ten_seconds() {
    let clock = ManualClock::default();
    let config = RuntimeConfig {
        clock: clock.clock(),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let transform = transform(
        &runtime,
        &with_init("(loop $l (br $l)) (i32.const 0)"),
        tight(),
    )
    .await;
    let starting = transform.clone();
    let starting = tokio::spawn(async move { starting.instantiate().await.map(drop) });
    // The clock may be read for the first time only after it was moved: move it again and again.
    while !starting.is_finished() {
        clock.advance(Duration::from_secs(11));
        tokio::task::yield_now().await;
    }
    let message = "starting took longer than the limit of 10000 ms";
    let error = InitError::failed("wstream_init", Cause::Timeout, message);
    assert_eq!(starting.await.unwrap(), Err(error));
}

#[tokio::test]
async fn the_configuration_arrives_and_the_order_of_steps_holds() {
    // Each step traps unless the one before it has run; init wants 12 bytes that end in a brace.
    let text = r#"(module
      (memory (export "memory") 1)
      (global $step (mut i32) (i32.const 0))
      (func $next (param $from i32)
        (if (i32.ne (global.get $step) (local.get $from)) (then (unreachable)))
        (global.set $step (i32.add (local.get $from) (i32.const 1))))
      (func $start (call $next (i32.const 0)))
      (start $start)
      (func (export "_initialize") (call $next (i32.const 1)))
      (func (export "wstream_init") (param $at i32) (param $len i32) (result i32)
        (call $next (i32.const 2))
        (i32.or
          (i32.ne (local.get $len) (i32.const 12))
          (i32.ne (i32.load8_u offset=11 (local.get $at)) (i32.const 0x7d))))
      (func (export "wstream_cursor") (result i32) (call $next (i32.const 3)) (i32.const 16))
      (func (export "wstream_abi_v1") (unreachable))
      (func (export "wstream_alloc") (param i32) (result i32) (i32.const 64))
      (func (export "wstream_process") (param i32 i32) (result i64)
        (call $next (i32.const 4)) (i64.const 0)))"#;
    let module = runtime().compile(wasm(text)).await.unwrap();
    let config = RawValue::from_string(r#"{"year":199}"#.to_owned()).unwrap();
    let transform = Transform::new("t", &module, Some(&config), Limits::default());
    let mut instance = transform.instantiate().await.unwrap();
    assert_eq!(
        process_all(&mut instance, values(&["a"])).await.failures,
        []
    );
    let without = Transform::new("t", &module, None, Limits::default());
    let error = without.instantiate().await.map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module refused its configuration (code 0): it returned 1"
    );
}

/// An instance that cannot be replaced leaves the records undone instead of failing them.
#[tokio::test]
async fn records_wait_when_no_fresh_instance_starts() {
    let transform = transform(&runtime(), PROBE, tight()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let too_little = Limits {
        memory: ByteSize::kib(64),
        ..tight()
    };
    // The running instance keeps what it has; the next one does not fit.
    let warm = process_all(&mut instance, values(&["a"])).await;
    assert_eq!(warm.failures, []);
    transform.set_limits(too_little);
    let processed = instance.process(values(&["a", "!t", "b"])).await;
    assert_eq!(seen(&processed), (vec![], vec![]));
    let error = processed.error.unwrap().to_string();
    assert!(
        error.starts_with("instantiation ended with memory:"),
        "{error}"
    );
    transform.set_limits(tight());
    let processed = process_all(&mut instance, processed.rest.unwrap()).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["a", "b"]);
    assert_eq!(failures.len(), 1);
}
