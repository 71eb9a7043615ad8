//! Bounds that others than topics name too.

/// Most partitions of one topic.
pub const PARTITIONS_MAX: i32 = 10_000;
