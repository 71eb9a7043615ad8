//! What one search sees of an index: its segments at the last commit, with their columns by path.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tantivy::columnar::{
    Column, ColumnType, ColumnarReader, DynamicColumn, DynamicColumnHandle, StrColumn,
};
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::{Searcher, SegmentReader};

use crate::document::PATH_SEPARATOR;
use crate::index::Shared;
use crate::schema::{DOC, Fields};

/// A field as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum FieldRef {
    /// `@timestamp`: the document's time, which every document has.
    Timestamp,
    /// `_id`.
    Id,
    /// A path into the document, keys separated by [`PATH_SEPARATOR`].
    Path(String),
}

/// What the numbers of a column stand for.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Ranks in the column's dictionary.
    Str(StrColumn),
    I64,
    U64,
    F64,
    Bool,
    /// Nanoseconds since 1970.
    Date,
}

/// The values of one type at one path, as numbers in the order of the values.
#[derive(Debug, Clone)]
pub(crate) struct TypedColumn {
    pub(crate) kind: Kind,
    pub(crate) values: Column<u64>,
}

/// A path of a segment and the kind of its column; `None` where only long strings stand.
pub(crate) type PathEntry = (String, Option<ColumnType>);

/// What is known of a segment; segments never change but for deletions.
#[derive(Debug)]
pub(crate) struct SegmentInfo {
    columnar: ColumnarReader,
    paths: OnceLock<Arc<Vec<PathEntry>>>,
}

/// One segment as a search sees it.
#[derive(Debug, Clone)]
pub(crate) struct SegmentView {
    pub(crate) reader: SegmentReader,
    info: Arc<SegmentInfo>,
}

/// All segments as a search sees them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) searcher: Searcher,
    pub(crate) segments: Vec<SegmentView>,
    pub(crate) fields: Fields,
    by_id: HashMap<SegmentId, usize>,
}

/// Keeps the last snapshot and what is known of its segments.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCache(Mutex<Option<Arc<Snapshot>>>);

impl SnapshotCache {
    /// The snapshot of the last commit.
    pub(crate) fn get(&self, shared: &Shared) -> tantivy::Result<Arc<Snapshot>> {
        let searcher = shared.reader.searcher();
        let mut last = self.0.lock();
        if let Some(snapshot) = &*last
            && snapshot.searcher.generation().generation_id()
                == searcher.generation().generation_id()
        {
            return Ok(Arc::clone(snapshot));
        }
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        let mut by_id = HashMap::new();
        for reader in searcher.segment_readers() {
            let known = last.as_ref().and_then(|s| s.segment(reader.segment_id()));
            let info = match known {
                Some(view) => Arc::clone(&view.info),
                None => Arc::new(SegmentInfo {
                    columnar: ColumnarReader::open(
                        reader.open_read(SegmentComponent::FastFields)?,
                    )?,
                    paths: OnceLock::new(),
                }),
            };
            by_id.insert(reader.segment_id(), segments.len());
            segments.push(SegmentView {
                reader: reader.clone(),
                info,
            });
        }
        let snapshot = Arc::new(Snapshot {
            searcher,
            segments,
            fields: shared.fields,
            by_id,
        });
        *last = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

impl Snapshot {
    /// The view of a segment by its id.
    pub(crate) fn segment(&self, id: SegmentId) -> Option<&SegmentView> {
        self.segments.get(*self.by_id.get(&id)?)
    }

    /// What a field name of a request means here, and whether it asks for whole strings only:
    /// `x.keyword` is `x` unless there is such a path, because clients of Elasticsearch's default
    /// mapping write it.
    pub(crate) fn resolve(&self, name: &str) -> std::io::Result<(FieldRef, bool)> {
        match name {
            "@timestamp" => return Ok((FieldRef::Timestamp, false)),
            "_id" => return Ok((FieldRef::Id, true)),
            _ => {}
        }
        let path = to_path(name);
        if let Some(parent) = name.strip_suffix(".keyword")
            && !self.has_path(&path)?
        {
            return Ok((FieldRef::Path(to_path(parent)), true));
        }
        Ok((FieldRef::Path(path), false))
    }

    /// Whether some document has a value at exactly this path.
    pub(crate) fn has_path(&self, path: &str) -> std::io::Result<bool> {
        for segment in &self.segments {
            if segment.has_path(path, self.fields)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Paths that hold strings: what an unfielded word is looked for in.
    pub(crate) fn text_paths(&self) -> std::io::Result<Vec<String>> {
        self.paths_where(|kind| matches!(kind, None | Some(ColumnType::Str)))
    }

    /// Paths that hold numbers.
    pub(crate) fn number_paths(&self) -> std::io::Result<Vec<String>> {
        self.paths_where(|kind| {
            matches!(
                kind,
                Some(ColumnType::I64 | ColumnType::U64 | ColumnType::F64)
            )
        })
    }

    fn paths_where(
        &self,
        wanted: impl Fn(Option<ColumnType>) -> bool,
    ) -> std::io::Result<Vec<String>> {
        let mut paths = BTreeSet::new();
        for segment in &self.segments {
            let all = segment.paths(self.fields)?;
            let found = all.iter().filter(|(_, kind)| wanted(*kind));
            paths.extend(found.map(|(path, _)| path.clone()));
        }
        Ok(paths.into_iter().collect())
    }
}

impl SegmentView {
    /// The columns of a path, one for each type of value.
    pub(crate) fn columns(&self, field: &FieldRef) -> std::io::Result<Vec<TypedColumn>> {
        let name = match field {
            FieldRef::Timestamp => "_ts",
            FieldRef::Id => "_id",
            FieldRef::Path(path) => &format!("{DOC}{PATH_SEPARATOR}{path}"),
        };
        open_all(&self.info.columnar.read_columns(name)?)
    }

    /// The columns of every path below one.
    pub(crate) fn columns_below(&self, path: &str) -> std::io::Result<Vec<TypedColumn>> {
        let name = format!("{DOC}{PATH_SEPARATOR}{path}");
        open_all(&self.info.columnar.read_subpath_columns(&name)?)
    }

    /// A number that every document has: `_src`, `_off` or `_n`.
    pub(crate) fn number(&self, name: &str) -> std::io::Result<Option<Column<u64>>> {
        let columns = open_all(&self.info.columnar.read_columns(name)?)?;
        Ok(columns.into_iter().next().map(|column| column.values))
    }

    fn has_path(&self, path: &str, fields: Fields) -> std::io::Result<bool> {
        let name = format!("{DOC}{PATH_SEPARATOR}{path}");
        if !self.info.columnar.read_columns(&name)?.is_empty() {
            return Ok(true);
        }
        let paths = self.paths(fields)?;
        Ok(paths
            .iter()
            .any(|(known, kind)| kind.is_none() && known == path))
    }

    /// Every path of the segment with the types of its values.
    pub(crate) fn paths(&self, fields: Fields) -> std::io::Result<Arc<Vec<PathEntry>>> {
        if let Some(paths) = self.info.paths.get() {
            return Ok(Arc::clone(paths));
        }
        let prefix = format!("{DOC}{PATH_SEPARATOR}");
        let mut paths: Vec<PathEntry> = Vec::new();
        for (name, handle) in self.info.columnar.iter_columns()? {
            if let Some(path) = name.strip_prefix(&prefix) {
                paths.push((path.to_owned(), Some(handle.column_type())));
            }
        }
        let long = self
            .reader
            .inverted_index(fields.long)
            .map_err(std::io::Error::other)?;
        let mut terms = long.terms().stream()?;
        while terms.advance() {
            let path = String::from_utf8_lossy(terms.key()).into_owned();
            paths.push((path, None));
        }
        Ok(Arc::clone(self.info.paths.get_or_init(|| Arc::new(paths))))
    }
}

fn open_all(handles: &[DynamicColumnHandle]) -> std::io::Result<Vec<TypedColumn>> {
    let mut columns = Vec::with_capacity(handles.len());
    for handle in handles {
        let kind = match handle.column_type() {
            ColumnType::Str => {
                let DynamicColumn::Str(column) = handle.open()? else {
                    continue;
                };
                let values = column.ords().clone();
                columns.push(TypedColumn {
                    kind: Kind::Str(column),
                    values,
                });
                continue;
            }
            ColumnType::I64 => Kind::I64,
            ColumnType::U64 => Kind::U64,
            ColumnType::F64 => Kind::F64,
            ColumnType::Bool => Kind::Bool,
            ColumnType::DateTime => Kind::Date,
            ColumnType::Bytes | ColumnType::IpAddr => continue,
        };
        if let Some(values) = handle.open_u64_lenient()? {
            columns.push(TypedColumn { kind, values });
        }
    }
    Ok(columns)
}

/// `a.b` as tantivy writes it inside.
pub(crate) fn to_path(name: &str) -> String {
    name.replace('.', &PATH_SEPARATOR.to_string())
}
