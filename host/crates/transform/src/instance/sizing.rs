//! How many records a call gets: about 100 ms of work at the measured rate, so that failures waste
//! little and limits are looked at often.

use std::time::Duration;

use wstream_record::StoredRecord;

use crate::frame::record_bytes;

/// Records of the first call.
const RECORDS_FIRST: usize = 16;
/// Records of any call.
const RECORDS_MAX: usize = 1000;
/// Bytes of a call's records in the frame; a larger record goes alone.
const BYTES_MAX: usize = 1 << 20;
/// What a call aims to take.
const CALL_TIME: Duration = Duration::from_millis(100);

/// The measured rate of an instance.
#[derive(Debug, Default)]
pub(super) struct Sizing {
    nanos_per_record: Option<f64>,
}

impl Sizing {
    /// Records of `records` that the next call gets; at least one.
    pub(super) fn next(&self, records: &[StoredRecord]) -> usize {
        let wanted = self.nanos_per_record.map_or(RECORDS_FIRST, |nanos| {
            let fit = CALL_TIME.as_nanos() as f64 / nanos.max(1.0);
            // A float above the range becomes the largest integer.
            (fit as usize).clamp(1, RECORDS_MAX)
        });
        let mut bytes = 0;
        let fitting = records.iter().take(wanted).take_while(|record| {
            bytes += record_bytes(&record.record);
            bytes <= BYTES_MAX
        });
        fitting.count().max(1)
    }

    /// A call of so many records took so long. Half the old rate is kept: rates jitter.
    pub(super) fn measured(&mut self, records: usize, took: Duration) {
        let now = took.as_nanos() as f64 / records.max(1) as f64;
        let rate = self.nanos_per_record.map_or(now, |old| (old + now) / 2.0);
        self.nanos_per_record = Some(rate);
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::{Offset, Record};

    use super::*;

    fn records(sizes: impl Iterator<Item = usize>) -> Vec<StoredRecord> {
        sizes
            .map(|size| StoredRecord {
                offset: Offset(0),
                record: Record {
                    value: Some(vec![0; size].into()),
                    ..Record::default()
                },
            })
            .collect()
    }

    #[test]
    fn calls_follow_the_measured_rate() {
        let many = records(std::iter::repeat_n(10, 3000));
        let rows = [
            (None, 16),
            (Some(Duration::from_nanos(1)), 1000),
            (Some(Duration::from_millis(1)), 100),
            (Some(Duration::from_millis(99)), 1),
            (Some(Duration::from_secs(50)), 1),
            (Some(Duration::ZERO), 1000),
        ];
        for (per_record, expected) in rows {
            let mut sizing = Sizing::default();
            if let Some(took) = per_record {
                sizing.measured(1, took);
            }
            assert_eq!(sizing.next(&many), expected, "{per_record:?}");
        }
    }

    #[test]
    fn calls_stay_below_a_mebibyte_and_a_larger_record_goes_alone() {
        let mut sizing = Sizing::default();
        sizing.measured(1000, Duration::from_micros(1));
        let quarters = records(std::iter::repeat_n((256 << 10) - 28, 10));
        assert_eq!(sizing.next(&quarters), 4);
        let large_first = records([5 << 20, 1].into_iter());
        assert_eq!(sizing.next(&large_first), 1);
        let large_second = records([1, 5 << 20].into_iter());
        assert_eq!(sizing.next(&large_second), 1);
    }
}
