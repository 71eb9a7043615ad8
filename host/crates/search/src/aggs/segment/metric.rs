//! Metrics of one segment: count, sum, smallest and largest; distinct values.

use tantivy::DocId;

use super::super::partial::{Partial, Stats};
use super::super::request::{Metric, What};
use super::super::sketch::{Sketch, hash};
use super::super::slots::Slots;
use super::lane::to_f64;
use super::{Block, Pairs, for_each_pair};
use crate::error::SearchError;
use crate::snapshot::{Kind, TypedColumn};

/// A metric in the making.
pub(super) struct MetricNode<'p> {
    metric: &'p Metric,
    lanes: Vec<MetricLane>,
    /// By parent.
    stats: Vec<Stats>,
}

struct MetricLane {
    column: TypedColumn,
    block: Block,
    /// Values seen, by parent; for distinct values.
    seen: Option<Slots>,
}

impl<'p> MetricNode<'p> {
    pub(super) fn new(metric: &'p Metric, columns: Vec<TypedColumn>, root: bool) -> Self {
        let any_type = matches!(metric.what, What::ValueCount | What::Cardinality);
        let lanes = columns
            .into_iter()
            .filter(|column| any_type || !matches!(column.kind, Kind::Str(_)))
            .map(|column| {
                let (min, max) = (column.values.min_value(), column.values.max_value());
                let seen = (metric.what == What::Cardinality).then(|| Slots::new(min, max, root));
                MetricLane {
                    column,
                    block: Block::default(),
                    seen,
                }
            });
        Self {
            metric,
            lanes: lanes.collect(),
            stats: Vec::new(),
        }
    }

    pub(super) fn collect(&mut self, documents: &[DocId], pairs: Pairs<'_>) {
        let parents = match pairs {
            None => 1,
            Some(pairs) => pairs
                .iter()
                .map(|(_, parent)| *parent as usize + 1)
                .max()
                .unwrap_or(0),
        };
        if self.stats.len() < parents {
            self.stats.resize(parents, Stats::default());
        }
        let stats = &mut self.stats;
        for lane in &mut self.lanes {
            lane.block.load(&lane.column, documents);
            let (block, kind) = (&lane.block, &lane.column.kind);
            if let Some(seen) = &mut lane.seen {
                for_each_pair(documents.len(), pairs, |place, parent| {
                    for value in block.of(place) {
                        seen.number(parent, *value);
                    }
                });
                continue;
            }
            let dates = matches!(kind, Kind::Date);
            for_each_pair(documents.len(), pairs, |place, parent| {
                let stats = &mut stats[parent as usize];
                for value in block.of(place) {
                    stats.add(to_f64(kind, *value));
                }
                stats.dates |= dates;
            });
        }
        if let Some(missing) = self.metric.missing {
            let lanes = &self.lanes;
            for_each_pair(documents.len(), pairs, |place, parent| {
                if lanes.iter().all(|lane| lane.block.of(place).is_empty()) {
                    stats[parent as usize].add(missing);
                }
            });
        }
    }

    pub(super) fn finish(mut self, parents: usize) -> Result<Vec<Partial>, SearchError> {
        if self.metric.what != What::Cardinality {
            self.stats.resize(parents, Stats::default());
            return Ok(self.stats.into_iter().map(Partial::Stats).collect());
        }
        let mut sketches = vec![Sketch::default(); parents];
        for lane in &self.lanes {
            let Some(seen) = &lane.seen else {
                continue;
            };
            let hashes = hashes(&lane.column.kind, seen.pairs())?;
            for ((parent, _), hash) in seen.pairs().iter().zip(hashes) {
                sketches[*parent as usize].add(hash);
            }
        }
        Ok(sketches.into_iter().map(Partial::Distinct).collect())
    }
}

/// Hashes of values that are equal whatever segment and column they stand in.
fn hashes(kind: &Kind, pairs: &[(u32, u64)]) -> Result<Vec<u64>, SearchError> {
    let Kind::Str(strings) = kind else {
        let number = |(_, raw): &(u32, u64)| hash(to_f64(kind, *raw).to_bits());
        return Ok(pairs.iter().map(number).collect());
    };
    let mut of_rank: Vec<u64> = pairs.iter().map(|(_, rank)| *rank).collect();
    of_rank.sort_unstable();
    of_rank.dedup();
    let mut hashes = Vec::with_capacity(of_rank.len());
    strings
        .dictionary()
        .sorted_ords_to_term_cb(&of_rank, |term| {
            hashes.push(hash(term));
        })?;
    let find = |(_, rank): &(u32, u64)| {
        let at = of_rank.binary_search(rank).unwrap_or(0);
        hashes.get(at).copied().unwrap_or(0)
    };
    Ok(pairs.iter().map(find).collect())
}
