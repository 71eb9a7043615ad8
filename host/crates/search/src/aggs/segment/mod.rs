//! Collects the aggregations of one segment.
//!
//! A collector takes blocks of documents together with the buckets of their parent. A path with
//! values of several types has a lane for each; lanes are added up by key at the end.

mod filled;
mod lane;
mod metric;

use tantivy::query::{EnableScoring, Weight};
use tantivy::{DocId, DocSet, TERMINATED};

pub(crate) use self::lane::to_f64;

use self::lane::Lane;
use self::metric::MetricNode;
use super::partial::{Bucket, Partial};
use super::request::{Kind, Spec};
use super::values::Block;
use super::{BUCKETS_COLLECTED_MAX, too_many_buckets};
use crate::error::SearchError;
use crate::query::Context;
use crate::snapshot::{FieldRef, SegmentView};

/// An aggregation with its fields and queries compiled for one index.
pub(crate) struct Prepared<'s> {
    spec: &'s Spec,
    field: Option<FieldRef>,
    filters: Vec<Box<dyn Weight>>,
    subs: Vec<Prepared<'s>>,
}

/// Compiles aggregations for an index.
pub(crate) fn prepare<'s>(
    specs: &'s [Spec],
    context: &Context<'_>,
) -> Result<Vec<Prepared<'s>>, SearchError> {
    let weight = |compiled: crate::query::Compiled| {
        let scoring = EnableScoring::disabled_from_searcher(&context.snapshot.searcher);
        compiled.query.weight(scoring)
    };
    let mut prepared = Vec::with_capacity(specs.len());
    for spec in specs {
        let field = match &spec.kind {
            Kind::Terms(terms) => Some(&terms.field),
            Kind::Histogram(histogram) => Some(&histogram.field),
            Kind::DateHistogram(histogram) => Some(&histogram.field),
            Kind::Range(ranges) => Some(&ranges.field),
            Kind::Metric(metric) => Some(&metric.field),
            Kind::Filter(_) | Kind::Filters(_) | Kind::Missing(_) => None,
        };
        let mut filters = Vec::new();
        match &spec.kind {
            Kind::Filter(query) => filters.push(weight(context.compile(query)?)?),
            Kind::Filters(named) => {
                for (_, query) in &named.queries {
                    filters.push(weight(context.compile(query)?)?);
                }
            }
            Kind::Missing(field) => {
                let query = serde_json::json!({"bool": {"must_not": {"exists": {"field": field}}}});
                filters.push(weight(context.compile(&query)?)?);
            }
            _ => {}
        }
        prepared.push(Prepared {
            spec,
            field: field
                .map(|name| context.snapshot.resolve(name))
                .transpose()?
                .map(|(field, _)| field),
            filters,
            subs: prepare(&spec.subs, context)?,
        });
    }
    Ok(prepared)
}

/// The aggregations of one segment in the making.
pub(crate) struct Collector<'p> {
    nodes: Vec<Node<'p>>,
}

/// Documents of a block by their place in it, with the bucket they belong to; `None` is all of
/// them in bucket 0.
type Pairs<'a> = Option<&'a [(u32, u32)]>;

fn for_each_pair(documents: usize, pairs: Pairs<'_>, mut each: impl FnMut(usize, u32)) {
    match pairs {
        None => (0..documents).for_each(|place| each(place, 0)),
        Some(pairs) => pairs
            .iter()
            .for_each(|(place, parent)| each(*place as usize, *parent)),
    }
}

fn short(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

enum Node<'p> {
    Keys(KeysNode<'p>),
    Filters(FilterNode<'p>),
    Metric(MetricNode<'p>),
}

impl<'p> Collector<'p> {
    pub(crate) fn new(
        prepared: &'p [Prepared<'_>],
        segment: &SegmentView,
    ) -> Result<Self, SearchError> {
        Ok(Self {
            nodes: nodes(prepared, segment, true)?,
        })
    }

    /// Takes matching documents, in order, at most a block at once.
    pub(crate) fn collect(&mut self, documents: &[DocId]) -> Result<(), SearchError> {
        for node in &mut self.nodes {
            node.collect(documents, None)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<Partial>, SearchError> {
        let mut partials = Vec::with_capacity(self.nodes.len());
        for node in self.nodes {
            partials.extend(node.finish(1)?);
        }
        Ok(partials)
    }
}

fn nodes<'p>(
    prepared: &'p [Prepared<'_>],
    segment: &SegmentView,
    root: bool,
) -> Result<Vec<Node<'p>>, SearchError> {
    prepared
        .iter()
        .map(|prepared| Node::new(prepared, segment, root))
        .collect()
}

/// For each bucket the contributions of its sub-aggregations.
fn finish_all(nodes: Vec<Node<'_>>, buckets: usize) -> Result<Vec<Vec<Partial>>, SearchError> {
    let mut of_bucket: Vec<Vec<Partial>> = (0..buckets)
        .map(|_| Vec::with_capacity(nodes.len()))
        .collect();
    for node in nodes {
        for (bucket, partial) in of_bucket.iter_mut().zip(node.finish(buckets)?) {
            bucket.push(partial);
        }
    }
    Ok(of_bucket)
}

impl<'p> Node<'p> {
    fn new(
        prepared: &'p Prepared<'_>,
        segment: &SegmentView,
        root: bool,
    ) -> Result<Self, SearchError> {
        let columns = match &prepared.field {
            Some(field) => segment.columns(field)?,
            None => Vec::new(),
        };
        Ok(match &prepared.spec.kind {
            Kind::Metric(metric) => Self::Metric(MetricNode::new(metric, columns, root)),
            Kind::Filter(_) | Kind::Filters(_) | Kind::Missing(_) => {
                Self::Filters(FilterNode::new(prepared, segment)?)
            }
            kind => {
                let mut lanes = Vec::new();
                for column in columns {
                    let children = nodes(&prepared.subs, segment, false)?;
                    lanes.extend(Lane::new(kind, column, children, root)?);
                }
                let missing = match lane::missing_key(kind) {
                    Some(key) => Some(MissingLane {
                        key,
                        counts: Vec::new(),
                        children: nodes(&prepared.subs, segment, false)?,
                    }),
                    None => None,
                };
                Self::Keys(KeysNode {
                    kind,
                    lanes,
                    missing,
                    pairs: Vec::new(),
                })
            }
        })
    }

    fn collect(&mut self, documents: &[DocId], pairs: Pairs<'_>) -> Result<(), SearchError> {
        if pairs.is_some_and(<[_]>::is_empty) {
            return Ok(());
        }
        match self {
            Self::Keys(node) => node.collect(documents, pairs),
            Self::Filters(node) => node.collect(documents, pairs),
            Self::Metric(node) => {
                node.collect(documents, pairs);
                Ok(())
            }
        }
    }

    /// The contributions below each of `parents` buckets.
    fn finish(self, parents: usize) -> Result<Vec<Partial>, SearchError> {
        match self {
            Self::Keys(node) => node.finish(parents),
            Self::Filters(node) => node.finish(parents),
            Self::Metric(node) => node.finish(parents),
        }
    }
}

/// Terms, histograms and ranges: buckets by key.
struct KeysNode<'p> {
    kind: &'p Kind,
    lanes: Vec<Lane<'p>>,
    missing: Option<MissingLane<'p>>,
    /// Documents without a value, for `missing`.
    pairs: Vec<(u32, u32)>,
}

/// The bucket of documents without a value.
struct MissingLane<'p> {
    key: lane::LaneKey,
    /// By parent.
    counts: Vec<u64>,
    children: Vec<Node<'p>>,
}

impl KeysNode<'_> {
    fn collect(&mut self, documents: &[DocId], pairs: Pairs<'_>) -> Result<(), SearchError> {
        for lane in &mut self.lanes {
            lane.collect(documents, pairs)?;
        }
        let Some(missing) = &mut self.missing else {
            return Ok(());
        };
        self.pairs.clear();
        for_each_pair(documents.len(), pairs, |place, parent| {
            if self.lanes.iter().all(|lane| lane.is_empty_at(place)) {
                self.pairs.push((short(place), parent));
            }
        });
        for (_, parent) in &self.pairs {
            let parent = *parent as usize;
            if missing.counts.len() <= parent {
                missing.counts.resize(parent + 1, 0);
            }
            missing.counts[parent] += 1;
        }
        for child in &mut missing.children {
            child.collect(documents, Some(&self.pairs))?;
        }
        Ok(())
    }

    fn finish(self, parents: usize) -> Result<Vec<Partial>, SearchError> {
        let mut partials: Vec<Partial> = (0..parents).map(|_| lane::empty(self.kind)).collect();
        for lane in self.lanes {
            lane.finish(self.kind, &mut partials)?;
        }
        if let Some(missing) = self.missing {
            let subs = finish_all(missing.children, missing.counts.len())?;
            for (parent, (count, subs)) in missing.counts.into_iter().zip(subs).enumerate() {
                if count > 0 {
                    lane::put(
                        &mut partials[parent],
                        missing.key.clone(),
                        Bucket {
                            count,
                            subs,
                            covered: 0,
                        },
                    );
                }
            }
        }
        Ok(partials)
    }
}

/// Filters: buckets by query.
struct FilterNode<'p> {
    matching: Vec<tantivy::BitSet>,
    /// Whether the documents that match none have a bucket behind the others.
    other: bool,
    counts: Vec<u64>,
    children: Vec<Node<'p>>,
    pairs: Vec<(u32, u32)>,
}

impl<'p> FilterNode<'p> {
    fn new(prepared: &'p Prepared<'_>, segment: &SegmentView) -> Result<Self, SearchError> {
        let mut matching = Vec::with_capacity(prepared.filters.len());
        for weight in &prepared.filters {
            let mut documents = tantivy::BitSet::with_max_value(segment.reader.max_doc());
            let mut scorer = weight.scorer(&segment.reader, 1.0)?;
            while scorer.doc() != TERMINATED {
                documents.insert(scorer.doc());
                scorer.advance();
            }
            matching.push(documents);
        }
        Ok(Self {
            matching,
            other: matches!(&prepared.spec.kind, Kind::Filters(filters) if filters.other.is_some()),
            counts: Vec::new(),
            children: nodes(&prepared.subs, segment, false)?,
            pairs: Vec::new(),
        })
    }

    fn width(&self) -> usize {
        self.matching.len() + usize::from(self.other)
    }

    fn collect(&mut self, documents: &[DocId], pairs: Pairs<'_>) -> Result<(), SearchError> {
        self.pairs.clear();
        let width = self.width();
        for_each_pair(documents.len(), pairs, |place, parent| {
            let first = parent as usize * width;
            let mut none = true;
            for (i, matching) in self.matching.iter().enumerate() {
                if matching.contains(documents[place]) {
                    none = false;
                    self.pairs.push((short(place), short(first + i)));
                }
            }
            if none && self.other {
                self.pairs.push((short(place), short(first + width - 1)));
            }
        });
        for (_, bucket) in &self.pairs {
            let bucket = *bucket as usize;
            if bucket > BUCKETS_COLLECTED_MAX {
                return Err(too_many_buckets(BUCKETS_COLLECTED_MAX));
            }
            if self.counts.len() <= bucket {
                self.counts.resize(bucket + 1, 0);
            }
            self.counts[bucket] += 1;
        }
        for child in &mut self.children {
            child.collect(documents, Some(&self.pairs))?;
        }
        Ok(())
    }

    fn finish(mut self, parents: usize) -> Result<Vec<Partial>, SearchError> {
        let width = self.width();
        self.counts.resize(parents * width, 0);
        let subs = finish_all(self.children, parents * width)?;
        let mut buckets = self
            .counts
            .into_iter()
            .zip(subs)
            .map(|(count, subs)| Bucket {
                count,
                subs,
                covered: 0,
            });
        Ok((0..parents)
            .map(|_| Partial::Places(buckets.by_ref().take(width).collect()))
            .collect())
    }
}
