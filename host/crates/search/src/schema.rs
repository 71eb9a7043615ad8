//! The fixed schema of every index: any JSON object fits it, so there is no mapping.
//!
//! `doc` holds every value as a column, nothing of it in postings: indexing unknown strings raw
//! costs twice to three times as much and term queries read the columns instead. `t` holds the
//! tokens of the strings by path. Strings above [`COLUMN_STRING_BYTES_MAX`] have no column value;
//! their paths are terms of `_long`, so that `exists` and `term` stay exact for them.

use tantivy::schema::{
    BytesOptions, DateOptions, DateTimePrecision, Field, IndexRecordOption, JsonObjectOptions,
    NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::{Index, IndexSettings};

use crate::tokenizer::WordTokenizer;

/// Longest string, in bytes, that sorts, aggregates and compares as a whole by column.
pub const COLUMN_STRING_BYTES_MAX: usize = 256;
/// Name of the tokenizer of `t` in the index's settings.
pub(crate) const TOKENIZER: &str = "wstream_words";
/// Size of a compressed block of stored documents before compression.
const STORE_BLOCK_BYTES: usize = 64 << 10;
/// The field of all columns.
pub(crate) const DOC: &str = "doc";

/// The fields by number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// The document's time, milliseconds.
    pub(crate) ts: Field,
    /// The number of its source in the payload's table.
    pub(crate) src: Field,
    /// Its offset in that source.
    pub(crate) off: Field,
    /// Which output of the record it is.
    pub(crate) n: Field,
    /// Its own id, for keyed documents only.
    pub(crate) id: Field,
    /// Its text.
    pub(crate) source: Field,
    /// Paths whose string is too long for a column.
    pub(crate) long: Field,
    /// Columns.
    pub(crate) doc: Field,
    /// Tokens.
    pub(crate) text: Field,
}

/// Builds the schema.
pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let number = NumericOptions::default().set_fast();
    let raw = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let words = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let millis = DateOptions::default()
        .set_fast()
        .set_precision(DateTimePrecision::Milliseconds);
    let id = TextOptions::default()
        .set_indexing_options(raw.clone())
        .set_fast("raw");
    let fields = Fields {
        ts: builder.add_date_field("_ts", millis),
        src: builder.add_u64_field("_src", number.clone()),
        off: builder.add_u64_field("_off", number.clone()),
        n: builder.add_u64_field("_n", number),
        id: builder.add_text_field("_id", id),
        source: builder.add_bytes_field("_source", BytesOptions::default().set_stored()),
        long: builder.add_text_field("_long", TextOptions::default().set_indexing_options(raw)),
        doc: builder.add_json_field(
            DOC,
            JsonObjectOptions::default()
                .set_expand_dots_enabled()
                .set_fast("raw"),
        ),
        text: builder.add_json_field(
            "t",
            JsonObjectOptions::default()
                .set_expand_dots_enabled()
                .set_indexing_options(words),
        ),
    };
    (builder.build(), fields)
}

/// How documents are stored.
pub(crate) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::Zstd(ZstdCompressor {
            compression_level: Some(1),
        }),
        docstore_blocksize: STORE_BLOCK_BYTES,
        ..IndexSettings::default()
    }
}

/// Makes the index know its tokenizer; needed after each open.
pub(crate) fn register(index: &Index) {
    index
        .tokenizers()
        .register(TOKENIZER, WordTokenizer::default());
}
