//! What retention takes: pure functions of what a partition holds and of its topic's settings.
//!
//! Old stretches go as a whole, oldest first, and none that holds what is not committed. By age a
//! stretch goes when all of it is expired, be it the newest; by bytes the oldest go as long as what
//! stays is at least what is to be kept, and the newest stays. By the records' own time a record
//! counts as at most as new as when it was appended here: one from the year 2100 goes with those
//! that came with it, instead of holding the partition until then.

use std::time::Duration;

use wstream_record::{Offset, Timestamp};

use crate::store::Extent;
use crate::topic::{RetentionBy, TopicConfig};

/// A stream does not roll more often than this for the sake of retention.
const ROLL_AGE_MIN: Duration = Duration::from_secs(60);

/// Where the log is to start; `None` if it may stay as it is.
pub(crate) fn start_wanted(
    extents: &[Extent],
    committed: Offset,
    config: &TopicConfig,
    now: Timestamp,
) -> Option<Offset> {
    if !config.cleanup.deletes() {
        return None;
    }
    let mut bytes: u64 = extents.iter().map(|e| e.bytes).sum();
    let mut start = None;
    for (at, extent) in extents.iter().enumerate() {
        let newest = at + 1 == extents.len();
        let spare = bytes - extent.bytes;
        let over = config.retention_bytes.is_some_and(|keep| spare >= keep.0) && !newest;
        let expired = config
            .retention_age
            .is_some_and(|age| is_expired(extent, config.retention_by, age, now));
        if extent.next > committed || !(over || expired) {
            break;
        }
        bytes = spare;
        start = Some(extent.next);
    }
    start
}

fn is_expired(extent: &Extent, by: RetentionBy, age: Duration, now: Timestamp) -> bool {
    let newest = match by {
        RetentionBy::Record if extent.largest != Timestamp::NONE => {
            extent.largest.min(extent.appended)
        }
        RetentionBy::Record | RetentionBy::Append => extent.appended,
    };
    newest.0.saturating_add(millis(age)) < now.0
}

/// The age at which a stream rolls, so that what retention takes is given back in time, and
/// compaction reaches what was appended within the topic's `segment.ms`.
pub(crate) fn roll_age_ms<'a>(topics: impl Iterator<Item = &'a TopicConfig>) -> Option<i64> {
    let age = |config: &TopicConfig| {
        let kept = config.retention_age.unwrap_or(Duration::MAX);
        config.segment_age.min(kept).max(ROLL_AGE_MIN)
    };
    topics.map(age).min().map(millis)
}

/// If retention goes by the records' own time: the age at which they go, in milliseconds.
pub(crate) fn expires_after(config: &TopicConfig) -> Option<i64> {
    let by_record = config.retention_by == RetentionBy::Record && config.cleanup.deletes();
    config.retention_age.filter(|_| by_record).map(millis)
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use wstream_record::ByteSize;

    use super::*;
    use crate::topic::Cleanup;

    const SECOND: Duration = Duration::from_secs(1);

    /// Five stretches of 100 bytes and 10 offsets, appended at 1,000, 2,000, ..., whose records are
    /// of the times given.
    fn extents(largest: [i64; 5]) -> Vec<Extent> {
        (0..5)
            .zip(largest)
            .map(|(n, largest)| Extent {
                first: Offset(n * 10),
                next: Offset(n * 10 + 10),
                bytes: 100,
                appended: Timestamp(1_000 * (n + 1)),
                largest: Timestamp(largest),
            })
            .collect()
    }

    #[test]
    fn the_oldest_go_and_never_what_is_not_committed() {
        let config = TopicConfig::default;
        let bytes = |keep| TopicConfig {
            retention_bytes: Some(ByteSize(keep)),
            ..config()
        };
        let age = |by| TopicConfig {
            retention_age: Some(SECOND),
            retention_by: by,
            ..config()
        };
        let old = [1, 2, 3, 4, 5];
        let far = [i64::MAX, 2, 3, Timestamp::MAX_VALID.0, 5];
        let by_append = || age(RetentionBy::Append);
        let by_record = || age(RetentionBy::Record);
        let compacted = TopicConfig {
            cleanup: Cleanup::Compact,
            ..bytes(0)
        };
        // settings, times of records, now, committed, start
        let rows = [
            (config(), old, 1 << 40, 50, None),
            (bytes(500), old, 0, 50, None),
            (bytes(499), old, 0, 50, None),
            (bytes(400), old, 0, 50, Some(10)),
            (bytes(150), old, 0, 50, Some(30)),
            (bytes(0), old, 0, 50, Some(40)),
            (bytes(0), old, 0, 25, Some(20)),
            (compacted, old, 0, 50, None),
            (by_append(), old, 2_000, 50, None),
            (by_append(), old, 2_001, 50, Some(10)),
            (by_append(), old, 6_001, 50, Some(50)),
            (by_append(), old, 6_001, 49, Some(40)),
            (by_record(), old, 1_005, 50, Some(40)),
            // A time to come counts as when it came.
            (by_record(), far, 2_000, 50, None),
            (by_record(), far, 2_001, 50, Some(30)),
            (by_record(), far, 5_000, 50, Some(30)),
            (by_record(), far, 5_001, 50, Some(50)),
            (by_record(), [1, -1, -1, -1, -1], 4_001, 50, Some(30)),
        ];
        for (config, largest, now, committed, start) in rows {
            let wanted = start_wanted(
                &extents(largest),
                Offset(committed),
                &config,
                Timestamp(now),
            );
            assert_eq!(wanted, start.map(Offset), "{config:?} at {now}");
        }
        assert_eq!(start_wanted(&[], Offset(0), &bytes(0), Timestamp(0)), None);
    }

    #[test]
    fn streams_roll_as_the_shortest_retention_wants() {
        let age = |seconds| TopicConfig {
            retention_age: Some(SECOND * seconds),
            ..TopicConfig::default()
        };
        assert_eq!(roll_age_ms([].iter()), None);
        assert_eq!(roll_age_ms([age(3_600), age(90)].iter()), Some(90_000));
        assert_eq!(roll_age_ms([age(1)].iter()), Some(60_000));
    }
}
