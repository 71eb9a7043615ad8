//! Any bytes as a JSON object of the SDK, beside another parser: the same texts are objects, with
//! the same fields, also after a field was renamed, dropped and added.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use wstream_guest::json::Object;

/// Numbers that both read the same way; others are compared by their text in the unit tests.
fn plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(values) => values.iter().all(plain),
        Value::Object(map) => map.values().all(plain),
        _ => true,
    }
}

fuzz_target!(|data: &[u8]| {
    let theirs = serde_json::from_slice::<Map<String, Value>>(data);
    let ours = Object::parse(data);
    let (mut ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        // Both have a limit of depth, and one of them refuses numbers out of the range of f64.
        (Ok(_), Err(_)) | (Err(_), Err(_)) => return,
        (Err(error), Ok(map)) => panic!("refused ({error}): {map:?}"),
    };
    if !theirs.values().all(plain) {
        return;
    }
    let first = theirs.keys().next().cloned();
    let mut expected = theirs;
    if let Some(first) = first {
        ours.remove(&first);
        expected.shift_remove(&first);
    }
    ours.set("\u{e9}\"new", "a\nb");
    expected.insert("\u{e9}\"new".to_owned(), Value::from("a\nb"));
    let mut written = Vec::new();
    ours.write(&mut written);
    let again: Map<String, Value> = serde_json::from_slice(&written).expect("what is written is JSON");
    assert_eq!(again, expected);
});
