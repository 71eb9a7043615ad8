//! Writes hits: id, score, `_source`, sort values.

use serde_json::value::RawValue;
use tantivy::schema::document::Value as _;
use tantivy::{DocAddress, DocId, TantivyDocument};

use super::View;
use super::answer::HitAnswer;
use super::request::Request;
use super::sort::SortValue;
use crate::error::SearchError;
use crate::snapshot::{FieldRef, Kind, SegmentView};

/// A document that a search found.
#[derive(Debug)]
pub(super) struct Hit {
    /// Which of the searched indices.
    pub(super) index: usize,
    pub(super) segment: usize,
    pub(super) document: DocId,
    pub(super) score: Option<f32>,
    /// What it is sorted by.
    pub(super) values: Vec<SortValue>,
}

impl Hit {
    pub(super) fn answer(
        &self,
        view: &View<'_>,
        request: &Request,
    ) -> Result<HitAnswer, SearchError> {
        let segment = &view.snapshot.segments[self.segment];
        let source = match request.source.off {
            true => None,
            false => Some(self.source(view, request)?),
        };
        Ok(HitAnswer {
            index: view.shared.name.clone(),
            id: id(segment, self.document, &view.sources)?,
            score: self.score,
            source,
            sort: self.values.iter().map(SortValue::to_json).collect(),
        })
    }

    fn source(&self, view: &View<'_>, request: &Request) -> Result<Box<RawValue>, SearchError> {
        let segment = u32::try_from(self.segment).unwrap_or(u32::MAX);
        let address = DocAddress::new(segment, self.document);
        let stored: TantivyDocument = view.snapshot.searcher.doc(address)?;
        let bytes = stored
            .get_first(view.snapshot.fields.source)
            .and_then(|value| value.as_bytes())
            .ok_or_else(|| SearchError::internal("a document has no source"))?;
        request.source.apply(bytes)
    }
}

/// The id of a document: its own, or that of the record it came from.
fn id(
    segment: &SegmentView,
    document: DocId,
    sources: &[(String, i32)],
) -> Result<String, SearchError> {
    for column in segment.columns(&FieldRef::Id)? {
        let Kind::Str(strings) = &column.kind else {
            continue;
        };
        if let Some(rank) = column.values.first(document) {
            let mut id = String::new();
            strings.ord_to_str(rank, &mut id)?;
            return Ok(id);
        }
    }
    let number = |name: &str| -> Result<u64, SearchError> {
        let column = segment.number(name)?;
        Ok(column
            .and_then(|column| column.first(document))
            .unwrap_or(0))
    };
    let source = usize::try_from(number("_src")?).unwrap_or(usize::MAX);
    let (topic, partition) = sources
        .get(source)
        .ok_or_else(|| SearchError::internal("a document is of an unknown source"))?;
    let (offset, n) = (number("_off")?, number("_n")?);
    Ok(match n {
        0 => format!("{topic}-{partition}-{offset}"),
        n => format!("{topic}-{partition}-{offset}-{n}"),
    })
}
