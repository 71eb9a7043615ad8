//! Reads the values of a block of documents out of a column.

use tantivy::DocId;
use tantivy::columnar::Cardinality;

use crate::snapshot::TypedColumn;

/// Most documents in a block.
pub(crate) const BLOCK_DOCUMENTS: usize = 1024;

/// The values of a block, document by document.
#[derive(Debug, Default)]
pub(super) struct Block {
    values: Vec<u64>,
    /// Where each document's values begin, and the end; empty if each has exactly one.
    starts: Vec<u32>,
    documents: Vec<DocId>,
    rows: Vec<u32>,
}

impl Block {
    pub(super) fn load(&mut self, column: &TypedColumn, documents: &[DocId]) {
        self.starts.clear();
        let column = &column.values;
        if column.get_cardinality() == Cardinality::Full {
            self.values.resize(documents.len(), 0);
            column.values.get_vals(documents, &mut self.values);
            return;
        }
        self.documents.clear();
        self.rows.clear();
        column.row_ids_for_docs(documents, &mut self.documents, &mut self.rows);
        self.values.resize(self.rows.len(), 0);
        column.values.get_vals(&self.rows, &mut self.values);
        let mut at = 0;
        for document in documents {
            self.starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            while self.documents.get(at) == Some(document) {
                at += 1;
            }
        }
        self.starts.push(u32::try_from(at).unwrap_or(u32::MAX));
    }

    /// Exactly one value for each document, if that is so.
    #[inline]
    pub(super) fn single(&self) -> Option<&[u64]> {
        self.starts.is_empty().then_some(&self.values)
    }

    /// The values of the document at a place of the block.
    #[inline]
    pub(super) fn of(&self, place: usize) -> &[u64] {
        if self.starts.is_empty() {
            return &self.values[place..=place];
        }
        &self.values[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}
