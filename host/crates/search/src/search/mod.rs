//! Answers searches as Elasticsearch does: one pass over the matching documents of each segment
//! feeds count, aggregations and the best hits.

mod answer;
mod hits;
mod request;
mod sort;
mod source;
#[cfg(test)]
mod tests;
mod top;

use std::sync::Arc;

use serde_json::{Value, json};
use tantivy::collector::TopDocs;
use tantivy::query::{AllQuery, EnableScoring, Query, Weight};
use tantivy::{DocId, DocSet, TERMINATED};
use wstream_record::Timestamp;

pub use answer::{Answer, DocumentAnswer};
pub use request::{SearchOptions, Target, TotalHits};
pub use source::filter_answer;

use self::answer::HitAnswer;
use self::hits::Hit;
use self::request::Request;
use self::sort::{SegmentTop, sort_hits};
use crate::aggs::{self, BLOCK_DOCUMENTS, Collector, Partial, Spec, merge_all};
use crate::error::SearchError;
use crate::index::Shared;
use crate::query::{ColumnQuery, Compiled, Context};
use crate::snapshot::{SegmentView, Snapshot};

/// What is found in all indices.
#[derive(Default)]
struct Found {
    total: u64,
    partials: Vec<Partial>,
    hits: Vec<Hit>,
}

/// An index as one search sees it.
struct View<'a> {
    shared: &'a Arc<Shared>,
    snapshot: Arc<Snapshot>,
    sources: Vec<(String, i32)>,
    now: i64,
}

impl<'a> View<'a> {
    fn new(shared: &'a Arc<Shared>, now: Timestamp) -> Result<Self, SearchError> {
        Ok(Self {
            shared,
            // The sources come first: a snapshot never holds a document of an unknown one.
            snapshot: shared.snapshots.get(shared)?,
            sources: shared.source_names(),
            now: now.0,
        })
    }

    fn context(&self) -> Context<'_> {
        Context {
            snapshot: &self.snapshot,
            sources: &self.sources,
            index: &self.shared.name,
            now: self.now,
        }
    }
}

fn shards(indices: usize) -> Value {
    json!({"total": indices, "successful": indices, "skipped": 0, "failed": 0})
}

/// `_search`.
pub(crate) fn search(
    indices: &[Arc<Shared>],
    body: &Value,
    options: &SearchOptions,
    now: Timestamp,
) -> Result<Answer, SearchError> {
    let request = Request::new(body, options)?;
    let mut specs = request.specs(now.0)?;
    let views: Result<Vec<View<'_>>, SearchError> =
        indices.iter().map(|index| View::new(index, now)).collect();
    let views = views?;
    sort::check_mapped(
        &request.sort,
        views
            .iter()
            .map(|view| (&*view.snapshot, view.shared.name.as_str())),
    )?;
    let mut quick = None;
    if aggs::keep_frequent(&mut specs) {
        quick = Some(search_all(&views, &request, &specs)?);
    }
    let mut found = match quick {
        Some(found) if aggs::is_certain(&specs, &found.partials) => found,
        _ => {
            specs = request.specs(now.0)?;
            search_all(&views, &request, &specs)?
        }
    };
    sort_hits(&mut found.hits, &request.sort);
    let hits = found.hits.iter().skip(request.from).take(request.size);
    let max_score = match request.sort.is_empty() {
        true => found.hits.first().map(|hit| hit.score),
        false => None,
    };
    let hits: Result<Vec<HitAnswer>, SearchError> = hits
        .map(|hit| hit.answer(&views[hit.index], &request))
        .collect();
    let aggregations = match specs.is_empty() {
        true => None,
        false => Some(aggs::answer(&specs, found.partials, request.typed_keys)?),
    };
    Ok(Answer::new(
        shards(indices.len()),
        request.total_answer(found.total),
        max_score.flatten(),
        hits?,
        aggregations,
    ))
}

fn search_all(views: &[View<'_>], request: &Request, specs: &[Spec]) -> Result<Found, SearchError> {
    let mut found = Found::default();
    for (place, view) in views.iter().enumerate() {
        search_index(place, view, request, specs, &mut found)?;
    }
    Ok(found)
}

fn search_index(
    place: usize,
    view: &View<'_>,
    request: &Request,
    specs: &[Spec],
    found: &mut Found,
) -> Result<(), SearchError> {
    let context = view.context();
    let compiled = request.compile(&context)?;
    let prepared = aggs::prepare(specs, &context)?;
    let wanted = request.from + request.size;
    let by_score = compiled.scored && request.sort.is_empty() && wanted > 0;
    if by_score {
        found
            .hits
            .extend(best_scored(place, view, &*compiled.query, wanted)?);
    }
    let scores = sort::needs_scores(&request.sort);
    let weight = weigh(&compiled, &view.snapshot, scores)?;
    for (ordinal, segment) in view.snapshot.segments.iter().enumerate() {
        let weight = match takes_all(&compiled, scores, segment)? {
            true => None,
            false => weight.as_deref(),
        };
        let mut collector = match specs.is_empty() {
            true => None,
            false => Some(Collector::new(&prepared, segment)?),
        };
        let mut top = match by_score || wanted == 0 {
            true => None,
            false => Some(SegmentTop::new(request, view, segment, ordinal)?),
        };
        if collector.is_none() && top.is_none() {
            found.total += count_in(segment, weight)?;
            continue;
        }
        let mut count = 0;
        if let (true, Some(top), Some(weight)) = (scores, &mut top, weight) {
            top.take_scored(segment, weight)?;
        }
        for_each_block(segment, weight, |documents| {
            count += documents.len() as u64;
            if let Some(collector) = &mut collector {
                collector.collect(documents)?;
            }
            match &mut top {
                Some(top) if !scores => top.take(documents),
                _ => {}
            }
            Ok(())
        })?;
        found.total += count;
        if let Some(collector) = collector {
            merge_all(&mut found.partials, collector.finish()?);
        }
        if let Some(top) = top {
            found.hits.extend(top.finish(place, ordinal)?);
        }
    }
    Ok(())
}

/// Whether a range or the like lets all documents of a segment pass, as most segments of a log do.
fn takes_all(
    compiled: &Compiled,
    scores: bool,
    segment: &SegmentView,
) -> Result<bool, SearchError> {
    Ok(match compiled.query.downcast_ref::<ColumnQuery>() {
        Some(query) if !scores => query.takes_all(segment)?,
        _ => false,
    })
}

/// `None` stands for all documents.
fn weigh(
    compiled: &Compiled,
    snapshot: &Snapshot,
    scores: bool,
) -> Result<Option<Box<dyn Weight>>, SearchError> {
    if !scores && compiled.query.is::<AllQuery>() {
        return Ok(None);
    }
    let scoring = if scores {
        EnableScoring::enabled_from_searcher(&snapshot.searcher)
    } else {
        EnableScoring::disabled_from_searcher(&snapshot.searcher)
    };
    Ok(Some(compiled.query.weight(scoring)?))
}

fn best_scored(
    place: usize,
    view: &View<'_>,
    query: &dyn Query,
    wanted: usize,
) -> Result<Vec<Hit>, SearchError> {
    let collector = TopDocs::with_limit(wanted).order_by_score();
    let best = view.snapshot.searcher.search(query, &collector)?;
    Ok(best
        .into_iter()
        .map(|(score, address)| Hit {
            index: place,
            segment: address.segment_ord as usize,
            document: address.doc_id,
            score: Some(score),
            values: Vec::new(),
        })
        .collect())
}

fn count_in(segment: &SegmentView, weight: Option<&dyn Weight>) -> Result<u64, SearchError> {
    Ok(match weight {
        None => u64::from(segment.reader.num_docs()),
        Some(weight) => u64::from(weight.count(&segment.reader)?),
    })
}

/// Calls `each` with the matching documents that are not deleted, in order.
fn for_each_block(
    segment: &SegmentView,
    weight: Option<&dyn Weight>,
    mut each: impl FnMut(&[DocId]) -> Result<(), SearchError>,
) -> Result<(), SearchError> {
    let alive = segment.reader.alive_bitset();
    let mut block: Vec<DocId> = Vec::with_capacity(BLOCK_DOCUMENTS + 64);
    let mut scorer = match weight {
        Some(weight) => Some(weight.scorer(&segment.reader, 1.0)?),
        None => None,
    };
    let (mut next, end) = (0, segment.reader.max_doc());
    let mut buffer = [0; tantivy::COLLECT_BLOCK_BUFFER_LEN];
    loop {
        block.clear();
        match &mut scorer {
            None => {
                let to = end.min(next + u32::try_from(BLOCK_DOCUMENTS).unwrap_or(u32::MAX));
                block.extend(next..to);
                next = to;
            }
            Some(scorer) => {
                while block.len() < BLOCK_DOCUMENTS && scorer.doc() != TERMINATED {
                    let filled = scorer.fill_buffer(&mut buffer);
                    block.extend_from_slice(&buffer[..filled]);
                }
            }
        }
        if block.is_empty() {
            return Ok(());
        }
        if let Some(alive) = alive {
            block.retain(|document| alive.is_alive(*document));
        }
        each(&block)?;
    }
}

/// `_count`.
pub(crate) fn count(
    indices: &[Arc<Shared>],
    body: &Value,
    options: &SearchOptions,
    now: Timestamp,
) -> Result<Value, SearchError> {
    if let Some(other) = body
        .as_object()
        .and_then(|body| body.keys().find(|key| *key != "query"))
    {
        return Err(SearchError::parsing(format!(
            "request does not support [{other}]"
        )));
    }
    let request = Request::new(body, options)?;
    let mut total = 0;
    for index in indices {
        let view = View::new(index, now)?;
        let compiled = request.compile(&view.context())?;
        let weight = weigh(&compiled, &view.snapshot, false)?;
        for segment in &view.snapshot.segments {
            total += count_in(segment, weight.as_deref())?;
        }
    }
    Ok(json!({"count": total, "_shards": shards(indices.len())}))
}

/// `_doc/{id}`.
pub(crate) fn get(
    index: &Arc<Shared>,
    id: &str,
    options: &SearchOptions,
    now: Timestamp,
) -> Result<DocumentAnswer, SearchError> {
    let view = View::new(index, now)?;
    let request = Request::new(&Value::Null, options)?;
    let compiled = view.context().ids(&[id.to_owned()]);
    let found = best_scored(0, &view, &*compiled.query, 1)?;
    match found.first() {
        Some(hit) => Ok(DocumentAnswer::of(hit.answer(&view, &request)?)),
        None => Ok(DocumentAnswer::missing(&index.name, id)),
    }
}
