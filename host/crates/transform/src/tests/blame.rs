//! Which record is blamed, and what runs again for it.

use proptest::prelude::*;

use super::*;

/// Calls and fresh instances that a batch of 16 costs with a trap at one place.
#[tokio::test]
async fn a_trap_costs_one_rerun_with_a_cursor_and_single_calls_without() {
    let runtime = runtime();
    let without = probe_without_cursor();
    // With a cursor: the call, the records below again, the records behind.
    let rows = [
        (PROBE, 0, 2, 1),
        (PROBE, 5, 3, 1),
        (PROBE, 15, 2, 1),
        (&without, 0, 17, 2),
        (&without, 5, 17, 2),
        (&without, 15, 17, 2),
    ];
    for (text, at, calls, restarts) in rows {
        let transform = transform(&runtime, text, tight()).await;
        let mut instance = transform.instantiate().await.unwrap();
        let mut records = ["a"; 16];
        records[at] = "!t";
        let processed = process_all(&mut instance, values(&records)).await;
        assert_eq!(processed.outputs.len(), 15);
        // After the last record failed, nothing needed a fresh instance.
        let restarts = if at == 15 && calls == 17 {
            restarts - 1
        } else {
            restarts
        };
        let stats = transform.stats();
        assert_eq!(
            (stats.calls, stats.restarts),
            (calls, restarts),
            "trap at {at}"
        );
        assert_eq!(stats.records, 16);
        assert_eq!(stats.failures, [("trap", 1)].into());
    }
}

/// Every record keeps a mebibyte for good; none of them is to blame when 16 are used up.
#[tokio::test]
async fn memory_is_blamed_on_a_record_only_when_it_fails_alone() {
    let runtime = runtime();
    for text in [PROBE.to_owned(), probe_without_cursor()] {
        let transform = transform(&runtime, &text, tight()).await;
        let mut instance = transform.instantiate().await.unwrap();
        let processed = process_all(&mut instance, values(&["!M"; 50])).await;
        assert_eq!(processed.failures, []);
        assert_eq!(processed.outputs.len(), 50);
        assert!(transform.stats().restarts > 2);
    }
}

#[tokio::test]
async fn metrics_of_a_failed_call_are_discarded() {
    let transform = transform(&runtime(), PROBE, tight()).await;
    let mut instance = transform.instantiate().await.unwrap();
    let records = ["!w", "a", "!t", "!w", "b", "!b", "!w"];
    let processed = process_all(&mut instance, values(&records)).await;
    assert_eq!(processed.failures.len(), 2);
    let stats = transform.stats();
    assert_eq!(stats.metrics["seen"], crate::Metric::Counter(3.0));
}

/// What a record becomes, whatever happens to its neighbours.
fn expected(value: &str) -> (usize, Option<(&'static str, &'static str)>) {
    match value {
        "!d" => (0, None),
        "!2" => (2, None),
        "!f" => (0, Some(("guest", "as asked"))),
        "!t" | "!c" => (0, Some(("trap", "wasm `unreachable` instruction executed"))),
        "!T" => (0, Some(("trap", "told"))),
        "!e" => (0, Some(("trap", "first line"))),
        "!x" => (0, Some(("exit", "proc_exit(3)"))),
        "!a" => (0, Some(("trap", "oh no at :4:2"))),
        "!b" => (
            0,
            Some(("bad_frame", "bad frame at byte 4: unknown kind 9")),
        ),
        _ => (1, None),
    }
}

fn any_values() -> impl Strategy<Value = Vec<&'static str>> {
    let plain = prop::sample::select(vec!["a", "b", "", "!d", "!2", "!f", "!M"]);
    let hostile = prop::sample::select(vec!["!t", "!T", "!e", "!x", "!a", "!b", "!c"]);
    let one = prop_oneof![6 => plain, 1 => hostile];
    prop::collection::vec(one, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_record_gets_its_own_outcome_in_order(records in any_values(), cursor in any::<bool>()) {
        let text = if cursor { PROBE.to_owned() } else { probe_without_cursor() };
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let processed = tokio.block_on(async {
            let transform = transform(&runtime(), &text, tight()).await;
            let mut instance = transform.instantiate().await.unwrap();
            process_all(&mut instance, values(&records)).await
        });
        let outputs: Vec<_> = processed.outputs.iter().map(|o| o.index).collect();
        let wanted = (0u32..).zip(&records);
        let wanted_outputs: Vec<_> = wanted
            .clone()
            .flat_map(|(i, value)| std::iter::repeat_n(i, expected(value).0))
            .collect();
        let wanted_failures: Vec<_> = wanted
            .filter_map(|(i, value)| expected(value).1.map(|(n, m)| (i, n, m.to_owned())))
            .collect();
        prop_assert_eq!(outputs, wanted_outputs);
        prop_assert_eq!(seen(&processed).1, wanted_failures);
    }
}
