//! Keyed state through core modules: what a failed record wrote is never seen again.

use super::*;
use crate::{KeyedState, StateLimits};

/// Counts a key; see its comment.
const KEYED: &str = include_str!("../../guests/keyed.wat");

fn keyed_without_cursor() -> String {
    let keep = |line: &&str| !line.contains(";; CURSOR") && !line.contains(";; STORE");
    KEYED.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_a_failed_record_wrote_is_not_seen_by_those_behind_it() {
    let runtime = runtime();
    for text in [KEYED.to_owned(), keyed_without_cursor()] {
        for bad in ["!f", "!t"] {
            let transform = transform(&runtime, &text, tight()).await;
            let state = KeyedState::new(StateLimits::default(), wstream_record::Clock::system());
            let mut instance = transform.instantiate_with(state.clone()).await.unwrap();
            let records = ["a", "b", bad, "c", bad, bad, "d"];
            let processed = process_all(&mut instance, values(&records)).await;
            let (outputs, failures) = seen(&processed);
            assert_eq!(outputs, ["1", "2", "3", "4"], "{bad}: {failures:?}");
            let failed: Vec<_> = failures.iter().map(|(index, ..)| *index).collect();
            assert_eq!(failed, [2, 4, 5], "{bad}");
            let changes = state.take_changes();
            assert_eq!(changes.len(), 1);
            assert_eq!(changes[0].value.as_deref(), Some(&b"4"[..]));
            // A fresh instance finds what the old one left.
            drop(instance);
            let mut instance = transform.instantiate_with(state).await.unwrap();
            let processed = process_all(&mut instance, values(&["e"])).await;
            assert_eq!(seen(&processed).0, ["5"]);
        }
    }
}
