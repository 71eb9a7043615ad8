//! A query over columns: the documents of which some value at a path passes a test, with a
//! constant score. It scans in blocks of documents, so that an intersection reads only what the
//! others let through.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tantivy::columnar::{Cardinality, Column};
use tantivy::query::{
    AllQuery, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight,
};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError};

use super::values::Test;
use crate::snapshot::{FieldRef, SegmentView, Snapshot, TypedColumn};

/// Documents looked at in one step.
const BLOCK_DOCUMENTS: u32 = 4096;
/// Up to this many ranges each is scanned by itself; more are looked up value by value.
const SCANS_MAX: usize = 4;

/// The query.
#[derive(Debug, Clone)]
pub(crate) struct ColumnQuery {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) fields: Vec<FieldRef>,
    /// Whether values below the paths count too.
    pub(crate) below: bool,
    pub(crate) test: Test,
}

impl Query for ColumnQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl ColumnQuery {
    /// Whether every document of a segment passes, seen from the ends of a column alone.
    pub(crate) fn takes_all(&self, segment: &SegmentView) -> std::io::Result<bool> {
        let cheap = matches!(self.test, Test::Any | Test::Range(_));
        let [field] = &self.fields[..] else {
            return Ok(false);
        };
        if !cheap {
            return Ok(false);
        }
        for column in segment.columns(field)? {
            let values = &column.values;
            if values.get_cardinality() != Cardinality::Full {
                continue;
            }
            let (min, max) = (values.min_value(), values.max_value());
            let mut ranges = self.test.ranges(&column)?.into_iter();
            if ranges.any(|range| *range.start() <= min && *range.end() >= max) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn scans(&self, reader: &SegmentReader) -> tantivy::Result<Vec<Scan>> {
        let Some(segment) = self.snapshot.segment(reader.segment_id()) else {
            return Err(TantivyError::InternalError(
                "the segment is of another snapshot".to_owned(),
            ));
        };
        let mut columns: Vec<TypedColumn> = Vec::new();
        for field in &self.fields {
            columns.extend(segment.columns(field)?);
            if let (true, FieldRef::Path(path)) = (self.below, field) {
                columns.extend(segment.columns_below(path)?);
            }
        }
        let mut scans = Vec::with_capacity(columns.len());
        for column in columns {
            let (min, max) = (column.values.min_value(), column.values.max_value());
            let mut ranges = self.test.ranges(&column)?;
            ranges.retain(|range| *range.start() <= max && *range.end() >= min);
            if !ranges.is_empty() {
                scans.push(Scan {
                    column: column.values,
                    ranges,
                });
            }
        }
        Ok(scans)
    }
}

impl Weight for ColumnQuery {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let segment = self.snapshot.segment(reader.segment_id());
        if let Some(segment) = segment
            && self.takes_all(segment)?
        {
            // An intersection leaves such a part out.
            let all = AllQuery.weight(EnableScoring::disabled_from_schema(reader.schema()))?;
            return all.scorer(reader, boost);
        }
        let scans = self.scans(reader)?;
        if scans.is_empty() {
            return Ok(Box::new(EmptyScorer));
        }
        let mut documents = ColumnScan {
            scans,
            end: reader.max_doc(),
            found: Vec::new(),
            at: 0,
            next: 0,
            scratch: Vec::new(),
        };
        documents.load(0);
        Ok(Box::new(ConstScorer::new(documents, boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.seek(doc) == doc {
            Ok(Explanation::new("a column's value passes", 1.0))
        } else {
            Err(TantivyError::InvalidArgument(format!(
                "document {doc} does not match"
            )))
        }
    }
}

struct Scan {
    column: Column<u64>,
    ranges: Vec<RangeInclusive<u64>>,
}

impl Scan {
    /// Adds the documents of `[from, to)` that pass; unordered, perhaps twice.
    fn collect(&self, from: DocId, to: DocId, found: &mut Vec<DocId>, scratch: &mut Vec<DocId>) {
        if self.ranges.len() <= SCANS_MAX {
            for range in &self.ranges {
                scratch.clear();
                self.column
                    .get_docids_for_value_range(range.clone(), from..to, scratch);
                found.extend_from_slice(scratch);
            }
            return;
        }
        for doc in from..to {
            let passes = self.column.values_for_doc(doc).any(|value| {
                let at = self.ranges.partition_point(|range| *range.end() < value);
                self.ranges
                    .get(at)
                    .is_some_and(|range| range.contains(&value))
            });
            if passes {
                found.push(doc);
            }
        }
    }
}

/// The documents that pass, found block by block.
struct ColumnScan {
    scans: Vec<Scan>,
    end: DocId,
    found: Vec<DocId>,
    at: usize,
    /// The first document not looked at.
    next: DocId,
    scratch: Vec<DocId>,
}

impl ColumnScan {
    /// Finds the first documents from `from` on.
    fn load(&mut self, from: DocId) {
        self.found.clear();
        self.at = 0;
        self.next = from;
        while self.found.is_empty() && self.next < self.end {
            let to = self.next.saturating_add(BLOCK_DOCUMENTS).min(self.end);
            for scan in &self.scans {
                scan.collect(self.next, to, &mut self.found, &mut self.scratch);
            }
            self.next = to;
        }
        if !self.found.is_sorted_by(|a, b| a < b) {
            self.found.sort_unstable();
            self.found.dedup();
        }
    }
}

impl DocSet for ColumnScan {
    fn advance(&mut self) -> DocId {
        if self.at < self.found.len() {
            self.at += 1;
        }
        if self.at == self.found.len() && self.next < self.end {
            self.load(self.next);
        }
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.found.last().is_none_or(|last| *last < target) {
            self.load(target.max(self.next).min(self.end));
        }
        self.at += self.found[self.at..].partition_point(|doc| *doc < target);
        if self.at == self.found.len() && self.next < self.end {
            self.load(self.next);
        }
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.found.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        self.end / 2
    }
}

/// Documents known beforehand, in order.
#[derive(Debug)]
pub(super) struct Listed {
    documents: Vec<DocId>,
    at: usize,
}

impl Listed {
    pub(super) fn new(documents: Vec<DocId>) -> Self {
        Self { documents, at: 0 }
    }
}

impl DocSet for Listed {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.documents.len());
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.at += self.documents[self.at..].partition_point(|doc| *doc < target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.documents.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        u32::try_from(self.documents.len()).unwrap_or(u32::MAX)
    }
}
