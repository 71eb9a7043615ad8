//! Any bytes as record batches: no panic, memory within the bound, and what reads well stays the
//! same through a codec.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wstream_record::{Compression, RecordBatch};

const PLAIN_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::copy_from_slice(data);
    while let Ok(Some(batch)) = RecordBatch::take_first(&mut bytes) {
        let Ok(records) = wstream_kafka::records(&batch, PLAIN_BYTES_MAX) else {
            continue;
        };
        if batch.header().compression != Compression::None {
            continue;
        }
        for codec in [Compression::Lz4, Compression::Zstd, Compression::Snappy] {
            let packed = wstream_kafka::compress(&batch, codec).expect("any batch can be packed");
            let again = wstream_kafka::records(&packed, PLAIN_BYTES_MAX);
            assert_eq!(again.expect("what was packed unpacks"), records);
        }
    }
});
