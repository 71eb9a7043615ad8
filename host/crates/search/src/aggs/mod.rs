//! Aggregations: exact counts over columns, computed segment by segment and merged by key.
//!
//! A request becomes a tree of [`Spec`]s. Each segment fills a tree of collectors with blocks of
//! documents and answers [`Partial`]s, which add up across segments and indices whatever types
//! their paths have; the last step orders, cuts and words them as Elasticsearch does.
//! tantivy's own aggregations are not used: they cannot filter by any query, know no calendar,
//! and split a path of mixed types into buckets that cannot be added up afterwards.

mod answer;
mod interval;
mod options;
mod partial;
mod request;
mod segment;
mod sketch;
mod slots;
mod strings;
mod values;

pub(crate) use answer::answer;
pub(crate) use partial::{Partial, merge_all};
pub(crate) use request::{Spec, is_certain, keep_frequent, parse};
pub(crate) use segment::{Collector, prepare, to_f64};
pub(crate) use values::BLOCK_DOCUMENTS;

use crate::error::SearchError;

/// Most buckets in an answer.
pub(crate) const BUCKETS_MAX: usize = 65_536;
/// Most buckets while collecting.
const BUCKETS_COLLECTED_MAX: usize = 4 << 20;

fn too_many_buckets(limit: usize) -> SearchError {
    SearchError::new(
        400,
        "too_many_buckets_exception",
        format!(
            "Trying to create too many buckets. Must be less than or equal to: [{limit}] but this number of buckets was exceeded."
        ),
    )
    .in_shard()
}
