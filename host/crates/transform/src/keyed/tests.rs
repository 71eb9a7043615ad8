//! Keyed state against what its records wrote.

use wstream_record::ManualClock;

use super::*;

fn table(entries: u64, bytes: u64) -> (KeyedState, ManualClock) {
    let clock = ManualClock::new(Timestamp(1000));
    let bytes = ByteSize(bytes);
    let limits = StateLimits { entries, bytes };
    (KeyedState::new(limits, clock.clock()), clock)
}

fn put(state: &KeyedState, writer: u32, key: &str, value: &str) {
    state
        .put(writer, key.as_bytes(), value.as_bytes(), None)
        .unwrap();
}

fn all(state: &KeyedState) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let entries = state.scan(b"", b"", usize::MAX);
    entries.iter().map(|(k, v)| (text(k), text(v))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn a_call_sees_what_it_wrote_and_the_table_only_what_holds() {
    let (state, _) = table(10, 10_000);
    put(&state, 0, "a", "1");
    put(&state, 1, "b", "2");
    assert_eq!(all(&state), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(state.size().0, 0);
    state.commit(1);
    assert_eq!(all(&state), pairs(&[("a", "1")]));
    put(&state, 0, "a", "3");
    assert!(state.delete(0, b"a"));
    assert!(!state.delete(0, b"a"));
    assert_eq!(all(&state), pairs(&[]));
    state.discard();
    assert_eq!(all(&state), pairs(&[("a", "1")]));
    let change = StateChange {
        key: "a".into(),
        value: Some("1".into()),
        expires: None,
    };
    assert_eq!(state.take_changes(), [change]);
    assert!(state.take_changes().is_empty());
}

#[test]
fn a_writer_is_found_and_an_unknown_one_may_be_any() {
    let (state, _) = table(10, 10_000);
    put(&state, 3, "a", "1");
    assert_eq!(
        state.first_writer([1, 2, 3, 4].into_iter()),
        Some((3, true))
    );
    assert_eq!(state.first_writer([1, 4].into_iter()), None);
    put(&state, WRITER_UNKNOWN, "b", "1");
    assert_eq!(state.first_writer([1, 4].into_iter()), Some((1, false)));
}

#[test]
fn scans_merge_the_call_into_the_table_in_order() {
    let (state, _) = table(100, 100_000);
    for key in ["p/1", "p/3", "p/5", "q"] {
        put(&state, 0, key, "old");
    }
    state.commit(u32::MAX);
    put(&state, 0, "p/2", "new");
    put(&state, 0, "p/3", "new");
    state.delete(0, b"p/5");
    let scan = |after: &str, max| -> Vec<_> {
        let found = state.scan(b"p/", after.as_bytes(), max);
        let text = |(key, value): (Bytes, Bytes)| {
            let both = [key, Bytes::from("="), value].concat();
            String::from_utf8(both).unwrap()
        };
        found.into_iter().map(text).collect()
    };
    assert_eq!(scan("", 9), ["p/1=old", "p/2=new", "p/3=new"]);
    assert_eq!(scan("p/1", 1), ["p/2=new"]);
    assert_eq!(scan("p/3", 9), [""; 0]);
}

#[test]
fn limits_name_themselves_and_expired_entries_make_room() {
    let (state, clock) = table(2, 300);
    let ttl = Some(Duration::from_millis(50));
    assert_eq!(state.put(0, b"", b"v", None), Err(PutError::Key));
    let large = vec![0; STATE_VALUE_BYTES_MAX + 1];
    assert_eq!(state.put(0, b"k", &large, None), Err(PutError::Value));
    assert_eq!(state.put(0, b"k", &[0; 300], None), Err(PutError::Bytes));
    state.put(0, b"short", b"v", ttl).unwrap();
    put(&state, 0, "long", "v");
    assert_eq!(state.put(0, b"more", b"v", None), Err(PutError::Entries));
    put(&state, 0, "long", "again");
    state.commit(u32::MAX);
    assert_eq!(state.get(b"short").unwrap(), "v");
    clock.advance(Duration::from_millis(50));
    assert_eq!(state.get(b"short"), None);
    assert!(!state.delete(0, b"short"));
    state.discard();
    put(&state, 0, "more", "v");
    state.commit(u32::MAX);
    assert_eq!(all(&state), pairs(&[("long", "again"), ("more", "v")]));
    assert_eq!(state.size().0, 2);
}

#[test]
fn what_one_call_writes_is_bounded() {
    let (state, _) = table(u64::MAX, u64::MAX);
    let value = vec![0; STATE_VALUE_BYTES_MAX];
    let put = |n: u32| state.put(0, &n.to_be_bytes(), &value, None);
    let written = (0..100).take_while(|&n| put(n).is_ok()).count();
    assert_eq!(written, 63);
    assert_eq!(put(100), Err(PutError::Call));
    // The same key by the same record takes the place of what it wrote.
    assert_eq!(put(0), Ok(()));
    state.discard();
    assert_eq!(put(100), Ok(()));
}

#[test]
fn expired_entries_are_told_bit_by_bit() {
    let (state, clock) = table(10_000, 10_000_000);
    let ttl = Some(Duration::from_millis(50));
    let keys: Vec<String> = (0..1_000).map(|n| format!("k{n:04}")).collect();
    for key in &keys {
        state.put(0, key.as_bytes(), b"v", ttl).unwrap();
    }
    put(&state, 0, "stays", "v");
    state.commit(u32::MAX);
    assert!(state.changed_bytes() > 60_000);
    let first = state.take_changes();
    assert_eq!((first.len(), state.changed_bytes()), (1_001, 0));
    assert!(state.take_changes().is_empty());
    clock.advance(Duration::from_millis(50));
    // Written again before it is told, and so no expired one any more.
    put(&state, 0, "k0001", "new");
    state.commit(u32::MAX);
    let mut told = BTreeMap::new();
    for _ in 0..6 {
        let changes = state.take_changes();
        assert!(changes.len() <= 2 * (EXPIRED_MIN + 1));
        told.extend(changes.into_iter().map(|c| (c.key, c.value)));
    }
    assert_eq!(told.len(), 1_000);
    let left = told.iter().filter(|(_, value)| value.is_some());
    assert_eq!(left.map(|(k, _)| &k[..]).collect::<Vec<_>>(), [b"k0001"]);
    assert!(state.take_changes().is_empty());
    assert_eq!(all(&state), pairs(&[("k0001", "new"), ("stays", "v")]));
}

/// Seeded sequences against a plain map.
#[test]
fn random_sequences_agree_with_a_model() {
    let mut random = crate::state::Random::new([7, 11, 13, 17]);
    let (state, _) = table(1_000, 1_000_000);
    let mut committed = BTreeMap::new();
    let mut call: Vec<(u32, String, Option<String>)> = Vec::new();
    for step in 0..5_000 {
        let n = random.next();
        let key = format!("k{}", n % 20);
        let writer = u32::try_from(call.len()).unwrap() / 3;
        match (n >> 8) % 10 {
            0..=4 => {
                let value = format!("v{step}");
                put(&state, writer, &key, &value);
                call.push((writer, key, Some(value)));
            }
            5 | 6 => {
                state.delete(writer, key.as_bytes());
                call.push((writer, key, None));
            }
            7 => {
                state.discard();
                call.clear();
            }
            8 => {
                let end = u32::try_from((n >> 16) % 5).unwrap();
                state.commit(end);
                apply(&mut committed, call.drain(..).filter(|(w, ..)| *w < end));
            }
            _ => {
                state.commit(u32::MAX);
                apply(&mut committed, call.drain(..));
            }
        }
        let mut seen = committed.clone();
        apply(&mut seen, call.iter().cloned());
        let seen: Vec<_> = seen.into_iter().collect();
        assert_eq!(all(&state), seen, "step {step}");
    }
    // What was logged rebuilds the table.
    state.discard();
    let (rebuilt, _) = table(1_000, 1_000_000);
    let changes = state.take_changes();
    changes
        .into_iter()
        .for_each(|change| rebuilt.restore(change));
    assert_eq!(all(&rebuilt), all(&state));
    assert_eq!(rebuilt.size(), state.size());
}

fn apply(
    map: &mut BTreeMap<String, String>,
    writes: impl Iterator<Item = (u32, String, Option<String>)>,
) {
    for (_, key, value) in writes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
