//! Any bytes as a module's output frame: no panic, no entry after a fault, indices in order, and
//! entries that cover the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wstream_transform::{Entries, EntryBody};

fuzz_target!(|data: &[u8]| {
    // The first two bytes are the number of records of the call.
    let Some((count, frame)) = data.split_first_chunk() else {
        return;
    };
    let count = u32::from(u16::from_le_bytes(*count));
    let (mut last, mut bytes, mut faulty) = (0, 0, false);
    for entry in Entries::new(frame, count) {
        assert!(!faulty, "an entry after a fault");
        let Ok(entry) = entry else {
            faulty = true;
            continue;
        };
        assert!(entry.index >= last && entry.index < count);
        last = entry.index;
        bytes += entry.bytes;
        if let EntryBody::Output(output) = entry.body {
            let headers = output.headers.count_left();
            assert_eq!(output.headers.count(), headers);
        }
    }
    assert!(faulty || bytes == frame.len());
});
