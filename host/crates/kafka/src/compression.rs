//! Records of batches however they are compressed: never more bytes than the caller allows.
//!
//! gzip, snappy (in xerial's framing, or bare as some clients send it), lz4 frames, zstd.
//! A compressed batch is stored and served as it came; only pipelines and readers unpack it.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};

use wstream_record::batch::{BATCH_HEADER_BYTES, decode_records};
use wstream_record::{BatchError, Compression, RecordBatch, StoredRecord};

/// Starts xerial's framing; two version numbers follow.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;
/// Uncompressed bytes per chunk: what xerial's library writes.
const XERIAL_CHUNK_BYTES: usize = 32 << 10;
/// The largest window a zstd frame may ask for, as a power of two: zstd's own bound.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Why the records of a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The records, once uncompressed, are malformed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The compressed bytes are malformed.
    #[error("cannot decompress {codec:?} records: {error}")]
    Corrupt {
        /// How they are compressed.
        codec: Compression,
        /// What the decoder says.
        error: io::Error,
    },
    /// There is more than the bound.
    #[error("{codec:?} records are above {bytes_max} bytes when decompressed")]
    TooLarge {
        /// How they are compressed.
        codec: Compression,
        /// The bound.
        bytes_max: usize,
    },
}

/// The records of a batch. Uncompressed ones are slices of the batch; compressed ones are slices
/// of one new buffer of at most `bytes_max` bytes.
///
/// # Errors
/// The bytes are malformed, or more than `bytes_max` when decompressed.
pub fn records(batch: &RecordBatch, bytes_max: usize) -> Result<Vec<StoredRecord>, DecodeError> {
    let header = batch.header();
    let packed = batch.records_bytes();
    let plain = match header.compression {
        Compression::None => packed,
        codec => decompress(codec, &packed, bytes_max)?,
    };
    Ok(decode_records(header, &plain)?)
}

fn decompress(codec: Compression, packed: &[u8], bytes_max: usize) -> Result<Bytes, DecodeError> {
    let corrupt = |error| DecodeError::Corrupt { codec, error };
    let plain = match codec {
        Compression::None => Ok(packed.to_vec()),
        Compression::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(packed), bytes_max),
        Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(packed), bytes_max),
        Compression::Zstd => {
            zstd::stream::read::Decoder::with_buffer(packed).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                read_bounded(decoder, bytes_max)
            })
        }
        Compression::Snappy => snappy(packed, bytes_max),
    };
    let plain = plain.map_err(corrupt)?;
    if plain.len() > bytes_max {
        return Err(DecodeError::TooLarge { codec, bytes_max });
    }
    Ok(plain.into())
}

/// At most one byte more than `bytes_max`, so that the caller sees when there was more.
fn read_bounded(from: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    from.take(bound.saturating_add(1)).read_to_end(&mut plain)?;
    Ok(plain)
}

fn snappy(packed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    let mut append = |chunk: &[u8]| -> io::Result<bool> {
        // The length is a claim: it is checked against the bound before any memory is taken.
        let length = snap::raw::decompress_len(chunk)?;
        let start = plain.len();
        let end = start.saturating_add(length);
        if end > bytes_max {
            return Ok(false);
        }
        plain.resize(end, 0);
        let written = decoder.decompress(chunk, &mut plain[start..])?;
        plain.truncate(start + written);
        Ok(true)
    };
    let mut fits = true;
    if packed.starts_with(&XERIAL_MAGIC) && packed.len() >= XERIAL_HEADER_BYTES {
        let mut rest = &packed[XERIAL_HEADER_BYTES..];
        while fits && !rest.is_empty() {
            let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "a snappy chunk is cut");
            let length = rest.try_get_i32().map_err(|_| cut())?;
            let length = usize::try_from(length).map_err(|_| cut())?;
            let (chunk, after) = rest.split_at_checked(length).ok_or_else(cut)?;
            fits = append(chunk)?;
            rest = after;
        }
    } else {
        fits = append(packed)?;
    }
    if !fits {
        // One byte too many is how the caller sees that there was more.
        plain.resize(bytes_max.saturating_add(1), 0);
    }
    Ok(plain)
}

/// The same batch with its records compressed as `codec`, as a producer would send it.
///
/// # Errors
/// The batch is compressed already, or the codec fails.
pub fn compress(batch: &RecordBatch, codec: Compression) -> Result<RecordBatch, DecodeError> {
    if batch.header().compression != Compression::None {
        return Err(BatchError::Compressed(batch.header().compression).into());
    }
    let plain = batch.records_bytes();
    let packed = pack(codec, &plain).map_err(|error| DecodeError::Corrupt { codec, error })?;
    let mut out = batch.bytes()[..BATCH_HEADER_BYTES].to_vec();
    out.extend_from_slice(&packed);
    let length =
        i32::try_from(out.len() - 12).map_err(|_| BatchError::Malformed("a batch of 2 GiB"))?;
    let attributes = (batch.header().attributes & !0b111) | attribute_bits(codec);
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    let crc = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(RecordBatch::parse(out.into())?)
}

fn attribute_bits(codec: Compression) -> i16 {
    match codec {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
    }
}

fn pack(codec: Compression, plain: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Compression::None => Ok(plain.to_vec()),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain)?;
            encoder.finish().map_err(io::Error::other)
        }
        Compression::Zstd => zstd::stream::encode_all(plain, zstd::DEFAULT_COMPRESSION_LEVEL),
        Compression::Snappy => {
            let mut out = XERIAL_MAGIC.to_vec();
            out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
            let mut encoder = snap::raw::Encoder::new();
            for chunk in plain.chunks(XERIAL_CHUNK_BYTES) {
                let packed = encoder.compress_vec(chunk)?;
                let length = u32::try_from(packed.len()).expect("a chunk of 32 KiB");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&packed);
            }
            Ok(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::{BatchBuilder, Header, Offset, Record, Timestamp};

    use super::*;

    const CODECS: [Compression; 4] = [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    const PLENTY: usize = 1 << 20;

    /// The records that `kafka-python` was given for the batches in `fixtures`.
    fn expected() -> Vec<StoredRecord> {
        let text = |s: String| Some(Bytes::from(s.into_bytes()));
        let record = |i: i64| Record {
            timestamp: Timestamp(1_700_000_000_000 + i),
            key: if i % 5 == 0 {
                None
            } else {
                text(format!("key-{i}"))
            },
            value: if i % 7 == 6 {
                None
            } else {
                text(format!(r#"{{"n":{i},"text":"the quick brown fox"}}"#))
            },
            headers: if i % 10 == 3 {
                let name = |n: &'static str| Bytes::from_static(n.as_bytes());
                let trace = Some(Bytes::from_static(b"\x00\xff"));
                vec![
                    Header {
                        name: name("trace"),
                        value: trace,
                    },
                    Header {
                        name: name("none"),
                        value: None,
                    },
                ]
            } else {
                Vec::new()
            },
        };
        (0..50)
            .map(|i| StoredRecord {
                offset: Offset(i),
                record: record(i),
            })
            .collect()
    }

    fn built() -> RecordBatch {
        let mut builder = BatchBuilder::new();
        expected().iter().for_each(|r| builder.push(&r.record));
        builder.finish(None).unwrap()
    }

    #[test]
    fn batches_of_another_client_are_read() {
        let rows: [(Compression, &[u8]); 5] = [
            (
                Compression::None,
                include_bytes!("fixtures/kafka-python-none.batch"),
            ),
            (
                Compression::Gzip,
                include_bytes!("fixtures/kafka-python-gzip.batch"),
            ),
            (
                Compression::Snappy,
                include_bytes!("fixtures/kafka-python-snappy.batch"),
            ),
            (
                Compression::Lz4,
                include_bytes!("fixtures/kafka-python-lz4.batch"),
            ),
            (
                Compression::Zstd,
                include_bytes!("fixtures/kafka-python-zstd.batch"),
            ),
        ];
        for (codec, bytes) in rows {
            let batch = RecordBatch::parse(Bytes::from_static(bytes)).unwrap();
            assert_eq!(batch.header().compression, codec);
            assert_eq!(records(&batch, PLENTY).unwrap(), expected(), "{codec:?}");
        }
    }

    #[test]
    fn what_is_compressed_here_is_read_back() {
        for codec in CODECS {
            let batch = compress(&built(), codec).unwrap();
            assert!(batch.bytes().len() < built().bytes().len(), "{codec:?}");
            assert_eq!(records(&batch, PLENTY).unwrap(), expected(), "{codec:?}");
            let again = compress(&batch, codec).unwrap_err().to_string();
            assert!(again.contains("records are compressed"), "{again}");
        }
    }

    #[test]
    fn bare_snappy_is_read_too() {
        let packed = snap::raw::Encoder::new().compress_vec(b"hello").unwrap();
        assert_eq!(snappy(&packed, 5).unwrap(), b"hello");
    }

    #[test]
    fn the_bound_holds_to_the_byte() {
        let plain = built().records_bytes().len();
        for codec in CODECS {
            let batch = compress(&built(), codec).unwrap();
            assert!(records(&batch, plain).is_ok(), "{codec:?}");
            let error = records(&batch, plain - 1).unwrap_err();
            assert!(
                matches!(error, DecodeError::TooLarge { .. }),
                "{codec:?}: {error}"
            );
        }
    }

    #[test]
    fn a_small_batch_of_many_zeros_stops_at_the_bound() {
        let mut builder = BatchBuilder::new();
        let zeros = vec![0; 8 << 20];
        builder.push_parts(Timestamp(0), None, Some(&zeros), [].into_iter());
        let bomb = builder.finish(None).unwrap();
        for codec in CODECS {
            let batch = compress(&bomb, codec).unwrap();
            let error = records(&batch, 64 << 10).unwrap_err();
            assert!(
                matches!(error, DecodeError::TooLarge { .. }),
                "{codec:?}: {error}"
            );
        }
    }

    #[test]
    fn cut_bytes_are_an_error_and_no_panic() {
        for codec in CODECS {
            let packed = pack(codec, &built().records_bytes()).unwrap();
            for len in 0..packed.len() {
                let plain = decompress(codec, &packed[..len], PLENTY);
                let whole = plain.is_ok_and(|p| p == built().records_bytes());
                // gzip's trailer and lz4's end mark carry no data, so losing a byte of those may
                // go unseen; anything else may not.
                assert!(!whole || len + 8 >= packed.len(), "{codec:?} cut at {len}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>, framed: bool) {
            let mut input = if framed { XERIAL_MAGIC.to_vec() } else { Vec::new() };
            input.extend_from_slice(&bytes);
            for codec in CODECS {
                drop(decompress(codec, &input, 1 << 16));
            }
        }
    }
}
