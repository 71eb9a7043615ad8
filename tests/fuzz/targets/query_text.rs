//! Any text as a `query_string`: a tree or a short reason, no panic, no endless recursion.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream_search::hostile::query_text;

fuzz_target!(|text: &str| {
    if let Err(reason) = query_text(text) {
        assert!(reason.len() <= text.len() + 1000);
    }
});
