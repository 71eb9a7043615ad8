//! Reads the records of an uncompressed batch, and leaves some of them out.
//!
//! Nothing here trusts a length. What `RecordBatch::retain` keeps it copies as it is encoded: offset,
//! time, key, value and headers of a record never change by it.

use bytes::Bytes;

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, CRC_START, Compression, HEADERS_MAX,
    LENGTH_PREFIX_BYTES, RecordBatch,
};
use crate::varint;
use crate::{Header, Record, StoredRecord, Timestamp};

/// The shortest record: length, attributes, two deltas, null key, null value, no headers.
const RECORD_BYTES_MIN: usize = 7;

impl RecordBatch {
    /// The batch with only those records that `keep` answers `true` for, at the offsets they have;
    /// `None` if it keeps none. First and last offset, times, attributes, epoch and producer stay
    /// what they were; the largest timestamp may so be that of a record that is no longer there.
    ///
    /// # Errors
    /// The records are compressed or malformed.
    pub fn retain(
        &self,
        mut keep: impl FnMut(&StoredRecord) -> bool,
    ) -> Result<Option<Self>, BatchError> {
        if self.header.compression != Compression::None {
            return Err(BatchError::Compressed(self.header.compression));
        }
        let all = self.records_bytes();
        let mut rest: &[u8] = &all;
        let mut out = Vec::with_capacity(self.bytes.len());
        out.extend_from_slice(self.bytes.get(..BATCH_HEADER_BYTES).unwrap_or_default());
        let mut kept = 0_i32;
        for _ in 0..self.header.records {
            let before = rest;
            let record = take_record(&self.header, &all, &mut rest)?;
            if keep(&record) {
                let encoded = before.len() - rest.len();
                out.extend_from_slice(before.get(..encoded).unwrap_or_default());
                kept += 1;
            }
        }
        if !rest.is_empty() {
            return Err(BatchError::Malformed("bytes after the last record"));
        }
        if kept == 0 {
            return Ok(None);
        }
        if kept == self.header.records {
            return Ok(Some(self.clone()));
        }
        let length = i32::try_from(out.len() - LENGTH_PREFIX_BYTES)
            .expect("it is shorter than a batch whose length is an i32");
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[57..61].copy_from_slice(&kept.to_be_bytes());
        let crc = crc32c::crc32c(&out[CRC_START..]);
        out[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
        Ok(Some(Self {
            bytes: out.into(),
            header: BatchHeader {
                records: kept,
                ..self.header
            },
        }))
    }
}

/// Reads the records of a batch from their uncompressed bytes.
///
/// # Errors
/// The bytes are not exactly the records that the header counts.
pub fn decode_records(
    header: &BatchHeader,
    records: &Bytes,
) -> Result<Vec<StoredRecord>, BatchError> {
    let count = usize::try_from(header.records).unwrap_or(0);
    if count > records.len() / RECORD_BYTES_MIN {
        return Err(BatchError::Malformed(
            "record count is above what the bytes can hold",
        ));
    }
    let mut out = Vec::with_capacity(count);
    let mut rest: &[u8] = records;
    for _ in 0..count {
        out.push(take_record(header, records, &mut rest)?);
    }
    if rest.is_empty() {
        Ok(out)
    } else {
        Err(BatchError::Malformed("bytes after the last record"))
    }
}

/// Takes the first record off the front of `rest`, which is part of `all`.
fn take_record(
    header: &BatchHeader,
    all: &Bytes,
    rest: &mut &[u8],
) -> Result<StoredRecord, BatchError> {
    let length = varint::take(rest).and_then(|n| usize::try_from(n).ok());
    let (mut body, after) = length
        .and_then(|n| rest.split_at_checked(n))
        .ok_or(BatchError::Malformed("a record is cut"))?;
    let record = decode_record(header, all, &mut body).ok_or(BatchError::Malformed(
        "a record's fields do not fit its length",
    ))?;
    if !body.is_empty() {
        return Err(BatchError::Malformed("bytes after a record's headers"));
    }
    *rest = after;
    Ok(record)
}

fn decode_record(header: &BatchHeader, all: &Bytes, body: &mut &[u8]) -> Option<StoredRecord> {
    let (_attributes, rest) = body.split_first()?;
    *body = rest;
    let timestamp_delta = varint::take(body)?;
    let offset_delta = varint::take(body)?;
    if !(0..=i64::from(header.last_offset_delta)).contains(&offset_delta) {
        return None;
    }
    let key = take_nullable(all, body)?;
    let value = take_nullable(all, body)?;
    let count = usize::try_from(varint::take(body)?).ok()?;
    if count > HEADERS_MAX || count > body.len() / 2 {
        return None;
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let name = take_nullable(all, body)??;
        headers.push(Header {
            name,
            value: take_nullable(all, body)?,
        });
    }
    let log_append_time = header.attributes & (1 << 3) != 0;
    let timestamp = if log_append_time {
        header.max_timestamp
    } else {
        Timestamp(header.base_timestamp.0.checked_add(timestamp_delta)?)
    };
    let record = Record {
        timestamp,
        key,
        value,
        headers,
    };
    Some(StoredRecord {
        offset: header.base_offset.plus(offset_delta),
        record,
    })
}

/// A length, -1 for null, then the bytes. The outer `None` is an error.
#[expect(clippy::option_option, reason = "absent and malformed are two things")]
fn take_nullable(all: &Bytes, body: &mut &[u8]) -> Option<Option<Bytes>> {
    let length = varint::take(body)?;
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok().filter(|&n| n <= body.len())?;
    let (bytes, rest) = body.split_at(length);
    *body = rest;
    Some(Some(all.slice_ref(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence};

    fn batch(count: i32) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for n in 0..count {
            builder.push(&Record {
                timestamp: Timestamp(1_000 + i64::from(n % 7) * 100),
                key: (n % 3 != 0).then(|| Bytes::from(format!("key {n}"))),
                value: (n % 5 != 0).then(|| Bytes::from(vec![b'v'; n.unsigned_abs() as usize])),
                headers: vec![Header::text("n", n.to_string())],
            });
        }
        let stamp = ProducerStamp {
            id: ProducerId(7),
            epoch: ProducerEpoch(3),
            sequence: Sequence(40),
        };
        let batch = builder.finish(Some(stamp)).unwrap();
        batch.at(Offset(500), LeaderEpoch(9))
    }

    #[test]
    fn what_is_retained_stays_as_it_was() {
        let batch = batch(200);
        let whole = batch.records().unwrap();
        let rows: [fn(&StoredRecord) -> bool; 5] = [
            |r| r.offset == Offset(500),
            |r| r.offset == Offset(699),
            |r| r.offset.0 % 2 == 1,
            |r| r.record.key.is_some(),
            |r| !(Offset(520)..Offset(680)).contains(&r.offset),
        ];
        for keep in rows {
            let kept = batch.retain(keep).unwrap().unwrap();
            let expected: Vec<_> = whole.iter().filter(|r| keep(r)).cloned().collect();
            assert_eq!(kept.records().unwrap(), expected);
            let records = i32::try_from(expected.len()).unwrap();
            let header = BatchHeader {
                records,
                ..*batch.header()
            };
            assert_eq!(kept.header(), &header);
            assert_eq!(RecordBatch::parse(kept.bytes().clone()), Ok(kept.clone()));
            // Twice is as once.
            assert_eq!(kept.retain(keep), Ok(Some(kept.clone())));
        }
    }

    #[test]
    fn all_or_nothing_is_retained() {
        let batch = batch(5);
        assert_eq!(batch.retain(|_| true), Ok(Some(batch.clone())));
        assert_eq!(batch.retain(|_| false), Ok(None));
    }

    #[test]
    fn attributes_come_along() {
        let mut bytes = batch(9).into_bytes().to_vec();
        // Log-append time, transactional.
        bytes[22] = 0b1_1000;
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
        let batch = RecordBatch::parse(bytes.into()).unwrap();
        let kept = batch.retain(|r| r.offset > Offset(503)).unwrap().unwrap();
        assert_eq!(kept.header().attributes, 0b1_1000);
        let last = kept.records().unwrap().pop().unwrap();
        assert_eq!(last.record.timestamp, batch.header().max_timestamp);
    }

    #[test]
    fn what_does_not_read_is_refused() {
        let mut compressed = batch(3).into_bytes().to_vec();
        compressed[22] = 4;
        let compressed = RecordBatch::parse_trusted(compressed.into()).unwrap();
        assert_eq!(
            compressed.retain(|_| true),
            Err(BatchError::Compressed(Compression::Zstd))
        );
        for (at, value) in [(60, 2), (60, 4), (BATCH_HEADER_BYTES, 0xfe)] {
            let mut bytes = batch(3).into_bytes().to_vec();
            bytes[at] = value;
            if at == 60 && value == 4 {
                bytes[26] = 3;
            }
            let broken = RecordBatch::parse_trusted(bytes.into()).unwrap();
            let refused = broken.retain(|_| true);
            assert!(matches!(refused, Err(BatchError::Malformed(_))), "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_never_panic(at in BATCH_HEADER_BYTES..200_usize, value: u8, odd: bool) {
            let mut bytes = batch(12).into_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let batch = RecordBatch::parse_trusted(bytes.into()).unwrap();
            drop(batch.retain(|r| (r.offset.0 % 2 == 1) == odd));
        }
    }
}
