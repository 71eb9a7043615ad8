//! Guests that do their worst: the cause by name, the neighbours delivered, the host bounded.

use std::time::Duration;

use wstream_record::ByteSize;

use super::*;

fn tight() -> Limits {
    Limits {
        record_time: Duration::from_millis(50),
        memory: ByteSize::mib(16),
        ..Limits::default()
    }
}

const STOPPED: &str = "a record took longer than the limit of 50 ms";
const MEMORY: &str = "memory is limited to 16777216 bytes, and that of all instances to 1073741824";
const UNREACHABLE: &str = "wasm `unreachable` instruction executed";

/// What the probe does to a record, and the failure it must give.
const ROWS: [(&str, &str, &str); 18] = [
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
    ("!R", "guest", "refused"),
];

/// Every row, at the first, a middle and the last place of a call, with and without a cursor.
#[tokio::test]
async fn a_hostile_record_costs_itself_and_nothing_more() {
    let runtime = runtime();
    for text in [PROBE.to_owned(), probe_without_cursor()] {
        let transform = transform(&runtime, &text, tight()).await;
        for (value, name, message) in ROWS {
            if value == "!R" {
                continue;
            }
            for at in [0, 2, 4] {
                let mut records = ["a", "b", "c", "d", "e"];
                records[at] = value;
                let mut instance = transform.instantiate().await.unwrap();
                let processed = process_all(&mut instance, values(&records)).await;
                let (outputs, failures) = seen(&processed);
                let mut neighbours = records.to_vec();
                neighbours.remove(at);
                assert_eq!(outputs, neighbours, "{value} at {at}: {failures:?}");
                let expected = (at as u32, name, message.to_owned());
                assert_eq!(failures, [expected], "{value} at {at}");
                // The instance, or its replacement, goes on.
                let processed = process_all(&mut instance, values(&["next"])).await;
                assert_eq!(seen(&processed).0, ["next"], "{value} at {at}");
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
