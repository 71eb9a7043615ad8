//! Any bytes as an uploaded module: a verdict with a short message, no panic, no growth.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Twenty problems with two names of 64 characters each fit well.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = wstream_transform::inspect(data) {
        assert!(error.to_string().len() < MESSAGE_BYTES_MAX);
    }
});
