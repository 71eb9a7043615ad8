//! Looks for a time within one batch, for every store alike.

use wstream_record::{BatchError, Offset, RecordBatch, Timestamp};

use super::Found;

/// The first record of `batch` in [from, end) whose time is `at` or later. Of a compressed batch its
/// first offset, or `from` if that lies within, with the batch's largest time.
///
/// # Errors
/// The batch does not read.
pub(crate) fn find_in_batch(
    batch: &RecordBatch,
    from: Offset,
    end: Offset,
    at: Timestamp,
) -> Result<Option<Found>, BatchError> {
    let header = batch.header();
    if header.max_timestamp < at || header.base_offset >= end {
        return Ok(None);
    }
    match batch.records() {
        Ok(records) => Ok(records
            .iter()
            .find(|r| (from..end).contains(&r.offset) && r.record.timestamp >= at)
            .map(|r| Found {
                offset: r.offset,
                timestamp: r.record.timestamp,
            })),
        Err(BatchError::Compressed(_)) => Ok(Some(Found {
            offset: header.base_offset.max(from),
            timestamp: header.max_timestamp,
        })),
        Err(other) => Err(other),
    }
}
