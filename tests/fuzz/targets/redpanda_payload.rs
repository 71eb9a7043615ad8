//! Any bytes as a record that a Redpanda module writes: no panic, and what is taken covers them all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream_transform::PayloadRecord;

fuzz_target!(|data: &[u8]| {
    let Ok(record) = PayloadRecord::decode(data) else {
        return;
    };
    let headers = record.headers();
    let count = headers.len();
    let fields = [record.key, record.value].into_iter().flatten().map(<[u8]>::len);
    let mut bytes: usize = fields.sum();
    let mut walked = 0;
    for (name, value) in headers {
        walked += 1;
        bytes += name.len() + value.map_or(0, <[u8]>::len);
    }
    assert_eq!(walked, count);
    // Each length takes a byte at least: key, value, the count, and two a header.
    assert!(bytes + 3 + 2 * count <= data.len());
});
