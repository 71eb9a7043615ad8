//! Any text as a document of the index, beside another parser: what the index takes is an object
//! of JSON, and it refuses an object only for a bound that it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use wstream_search::hostile::document;

fuzz_target!(|text: &str| {
    let theirs = serde_json::from_str::<Map<String, Value>>(text);
    match (document(text), theirs) {
        (Ok(elements), Ok(map)) => assert!(elements > map.len()),
        (Ok(_), Err(error)) => {
            // The other parser has a limit of depth, and refuses numbers out of the range of f64.
            let why = error.to_string();
            let limit = why.contains("recursion limit") || why.contains("number out of range");
            assert!(limit, "taken, though {why}");
        }
        (Err(reason), Ok(_)) => assert!(reason.contains("limit"), "refused: {reason}"),
        (Err(_), Err(_)) => {}
    }
});
