//! Guests that do their worst: the cause by name, the neighbours delivered, the host bounded.

use wstream_record::ByteSize;

use super::*;

const STOPPED: &str = "a record took longer than the limit of 400 ms";
const MEMORY: &str = "memory is limited to 16777216 bytes, and that of all instances to 1073741824";
const MEMORY_ZERO: &str = "wstream_alloc returned 0 for 41 bytes";
const UNREACHABLE: &str = "wasm `unreachable` instruction executed";

/// What the probe does to a record, and the failure it must give.
const ROWS: [(&str, &str, &str); 17] = [
    ("!l", "timeout", STOPPED),
    ("!s", "timeout", STOPPED),
    ("!t", "trap", UNREACHABLE),
    ("!T", "trap", "told"),
    ("!e", "trap", "first line"),
    ("!z", "trap", "integer divide by zero"),
    ("!r", "trap", "call stack exhausted"),
    (
        "!p",
        "trap",
        "100 bytes at 0xfffffff0, given to an import, are outside memory",
    ),
    ("!a", "trap", "oh no at :4:2"),
    ("!m", "memory", MEMORY),
    ("!x", "exit", "proc_exit(3)"),
    (
        "!o",
        "output_size",
        "9437215 bytes of output, the limit is 8388608",
    ),
    ("!b", "bad_frame", "bad frame at byte 4: unknown kind 9"),
    (
        "!i",
        "bad_frame",
        "bad frame at byte 0: record index 5000, the call has 1 records",
    ),
    (
        "!P",
        "bad_frame",
        "output of 16 bytes at 0x7fffffff is outside memory of 262144 bytes",
    ),
    ("!f", "guest", "as asked"),
    ("!c", "trap", UNREACHABLE),
];

/// Every row, at the first, a middle and the last place of a call, with and without a cursor.
#[tokio::test]
async fn a_hostile_record_costs_itself_and_nothing_more() {
    let runtime = runtime();
    for text in [PROBE.to_owned(), probe_without_cursor()] {
        let transform = transform(&runtime, &text, tight()).await;
        for row in ROWS {
            for at in [0, 2, 4] {
                costs_itself(&transform, row, at).await;
            }
        }
        assert_eq!(transform.stats().instances, 0);
    }
    assert_eq!(runtime.memory().0, ByteSize(0));
}

#[tokio::test]
async fn a_refused_call_fails_all_its_records_and_nothing_is_replayed() {
    let transform = transform(&runtime(), PROBE, tight()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "!R", "b"])).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, Vec::<String>::new());
    let failed = |index| (index, "guest", "refused".to_owned());
    assert_eq!(failures, [failed(0), failed(1), failed(2)]);
    assert!(processed.failures.iter().all(|f| f.code == 7));
    let stats = transform.stats();
    assert_eq!((stats.calls, stats.restarts), (1, 0));
}

/// What a call ends with when `wstream_alloc` or the packed answer is wrong.
#[tokio::test]
async fn wild_answers_are_named() {
    let grow = "(if (result i32) (i32.eq (memory.grow (i32.const 60000)) (i32.const -1))";
    let refused = format!("{grow} (then (i32.const 0)) (else (i32.const 8)))");
    let refused_trap = format!("{grow} (then (unreachable)) (else (i32.const 8)))");
    let rows = [
        (
            "(i32.const 0)",
            "",
            "bad_frame",
            "wstream_alloc returned 0 for 41 bytes",
        ),
        (&refused, "", "memory", MEMORY_ZERO),
        (&refused_trap, "", "memory", MEMORY),
        ("(unreachable)", "", "trap", UNREACHABLE),
        (
            "(i32.const 0x7ffffff0)",
            "",
            "bad_frame",
            "buffer of 41 bytes at 0x7ffffff0 is outside memory of 65536 bytes",
        ),
        (
            "(i32.const -1)",
            "",
            "bad_frame",
            "buffer of 41 bytes at 0xffffffff is outside memory of 65536 bytes",
        ),
        (
            "",
            "(i64.const -2)",
            "bad_frame",
            "output of 4294967294 bytes at 0xffffffff is outside memory of 65536 bytes",
        ),
        (
            "",
            "(i64.const 0xffffffff)",
            "bad_frame",
            "output of 4294967295 bytes at 0x0 is outside memory of 65536 bytes",
        ),
        (
            "",
            "(i64.const 0x0000ffff00000002)",
            "bad_frame",
            "output of 2 bytes at 0xffff is outside memory of 65536 bytes",
        ),
        (
            "",
            "(i64.const 0x0000fff000000003)",
            "bad_frame",
            "bad frame at byte 0: record index needs 4 bytes, 3 are left",
        ),
        ("", "(i64.const -1)", "guest", "the module refused the call"),
    ];
    let runtime = runtime();
    for (alloc, process, name, message) in rows {
        let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
        let (alloc, process) = (or(alloc, "(i32.const 8)"), or(process, "(i64.const 0)"));
        let transform = transform(&runtime, &smallest_doing(&alloc, &process), tight()).await;
        let mut instance = transform.instantiate().await.unwrap();
        let processed = process_all(&mut instance, values(&["a", "b"])).await;
        let (outputs, failures) = seen(&processed);
        assert_eq!(outputs, Vec::<String>::new());
        let failed = |index| (index, name, message.to_owned());
        assert_eq!(failures, [failed(0), failed(1)], "{alloc} {process}");
    }
    let wild_but_empty = smallest_doing("(i32.const 8)", "(i64.const 0xfffffff000000000)");
    let transform = transform(&runtime, &wild_but_empty, tight()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "b"])).await;
    assert_eq!(seen(&processed), (vec![], vec![]));
}

#[tokio::test]
async fn a_flapping_cursor_does_not_stretch_the_time() {
    let flapping = r#"
      (func (export "wstream_cursor") (result i32) (i32.const 16))"#;
    let process = "(local $n i32) (loop $l
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (i32.store (i32.const 16) (i32.rem_u (local.get $n) (i32.const 3)))
        (br $l)) (unreachable)";
    let text = smallest_with(flapping).replace("(i64.const 0)", process);
    let transform = transform(&runtime(), &text, tight()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let processed = process_all(&mut instance, values(&["a", "b", "c"])).await;
    let (_, failures) = seen(&processed);
    let failed = |index| (index, "timeout", STOPPED.to_owned());
    assert_eq!(failures, [failed(0), failed(1), failed(2)]);
}

#[tokio::test]
async fn a_looping_guest_starves_nobody_and_ends_when_nobody_waits() {
    let config = RuntimeConfig {
        threads: 1,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let hour = Limits {
        record_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let looping = transform(&runtime, PROBE, hour).await;
    let mut instance = looping.instantiate().await.unwrap();
    let running = tokio::spawn(async move { instance.process(values(&["!l"])).await });
    let module = looping.module().clone();
    let innocent = Transform::new("innocent", &module, None, tight());
    let mut instance = innocent.instantiate().await.unwrap();
    for _ in 0..10 {
        let processed = process_all(&mut instance, values(&["a"])).await;
        assert_eq!(seen(&processed), (vec!["a".to_owned()], vec![]));
    }
    assert!(!running.is_finished());
    assert_eq!(looping.stats().instances, 1);
    running.abort();
    // The guest thread runs in turns, so the looping one sees soon that it was given up.
    for _ in 0..100_000 {
        if looping.stats().instances == 0 {
            return;
        }
        assert!(
            process_all(&mut instance, values(&["a"]))
                .await
                .failures
                .is_empty()
        );
    }
    panic!("the looping guest did not end");
}

#[tokio::test]
async fn limits_change_while_a_call_runs() {
    let hour = Limits {
        record_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let transform = transform(&runtime(), PROBE, hour).await;
    let mut instance = transform.instantiate().await.unwrap();
    let running = tokio::spawn(async move { process_all(&mut instance, values(&["!l"])).await });
    transform.set_limits(tight());
    let processed = running.await.unwrap();
    assert_eq!(seen(&processed).1, [(0, "timeout", STOPPED.to_owned())]);
}

#[tokio::test]
async fn all_instances_share_one_budget() {
    let config = RuntimeConfig {
        memory_total: ByteSize::mib(8),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).unwrap();
    let first = transform(&runtime, PROBE, Limits::default()).await;
    let mut holding = first.instantiate().await.unwrap();
    let processed = process_all(&mut holding, values(&["!M", "!M", "!M", "!M"])).await;
    assert_eq!(processed.failures, []);
    let second = transform(&runtime, PROBE, Limits::default()).await;
    let mut hungry = second.instantiate().await.unwrap();
    let processed = process_all(&mut hungry, values(&["a", "!m", "b"])).await;
    let (outputs, failures) = seen(&processed);
    assert_eq!(outputs, ["a", "b"]);
    let message = "memory is limited to 67108864 bytes, and that of all instances to 8388608";
    assert_eq!(failures, [(1, "memory", message.to_owned())]);
    let (used, max) = runtime.memory();
    assert!(used <= max);
    drop(holding);
    drop(hungry);
    assert_eq!(runtime.memory().0, ByteSize(0));
}

/// Outputs of 9 MiB each, limit 16: a batch of forty does not sit in memory at once.
#[tokio::test]
async fn large_outputs_come_in_parts() {
    let limits = Limits {
        output_bytes: ByteSize::mib(16),
        ..Limits::default()
    };
    let transform = transform(&runtime(), PROBE, limits).await;
    let mut instance = transform.instantiate().await.unwrap();
    let mut next = Some(values(&["!o"; 40]));
    let (mut parts, mut indices) = (0, Vec::new());
    while let Some(batch) = next {
        let processed = instance.process(batch).await;
        let bytes: usize = processed
            .outputs
            .iter()
            .map(|o| o.record.payload_bytes())
            .sum();
        assert!(bytes <= 128 << 20, "{bytes}");
        assert_eq!(processed.failures, []);
        indices.extend(processed.outputs.iter().map(|o| o.index));
        next = processed.rest;
        parts += 1;
    }
    assert!(parts > 1);
    assert_eq!(indices, (0..40).collect::<Vec<_>>());
}
