//! Queries over the words of strings: terms of the field `t`, whose keys are path and word.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::bytes::Regex;
use tantivy::query::{
    BooleanQuery, ConstScorer, EmptyQuery, EnableScoring, Explanation, Occur, PhraseQuery, Query,
    Scorer, TermQuery, Weight,
};
use tantivy::schema::document::Value as _;
use tantivy::schema::{Field, IndexRecordOption, Type};
use tantivy::{
    DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyDocument, TantivyError, Term,
};

use super::columns::Listed;
use crate::document::PATH_SEPARATOR;
use crate::schema::Fields;
use crate::tokenizer::words;

/// Most different words that a pattern may stand for in one segment.
const EXPANSIONS_MAX: usize = 10_000;

/// The key of a word at a path, without the field.
fn word_key(path: &str, word: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + word.len() + 2);
    key.extend_from_slice(path.as_bytes());
    key.push(0);
    key.push(Type::Str.to_code());
    key.extend_from_slice(word.as_bytes());
    key
}

/// The term of a word at a path.
pub(crate) fn word_term(field: Field, path: &str, word: &str) -> Term {
    let mut term = Term::from_field_json_path(field, "", false);
    term.truncate_value_bytes(0);
    term.append_bytes(&word_key(path, word));
    term
}

/// How the words of a text must stand in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// One of them, or as many as `minimum_should_match` says.
    Any(usize),
    /// All of them.
    All,
    /// In this order, with up to so many moves.
    Phrase(u32),
}

/// A text in the words of a path; `None` when the text has no words.
pub(crate) fn text_query(
    fields: Fields,
    path: &str,
    text: &str,
    how: Match,
) -> Option<Box<dyn Query>> {
    let words = words(text);
    let term = |word: &str| word_term(fields.text, path, word);
    let single = |word: &str| -> Box<dyn Query> {
        Box::new(TermQuery::new(term(word), IndexRecordOption::WithFreqs))
    };
    match (&words[..], how) {
        ([], _) => None,
        ([(_, word)], _) => Some(single(word)),
        (words, Match::Phrase(slop)) => {
            let terms = words.iter().map(|(at, word)| (*at, term(word))).collect();
            Some(Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop)))
        }
        (words, Match::All) => {
            let all = words.iter().map(|(_, word)| single(word)).collect();
            Some(Box::new(BooleanQuery::intersection(all)))
        }
        (words, Match::Any(least)) => {
            let any = words.iter().map(|(_, word)| single(word)).collect();
            let least = least.clamp(1, words.len());
            Some(Box::new(BooleanQuery::union_with_minimum_required_clauses(
                any, least,
            )))
        }
    }
}

/// Documents with a word at a path that fits a pattern.
#[derive(Debug, Clone)]
pub(crate) struct WordPattern {
    pub(crate) fields: Fields,
    pub(crate) paths: Vec<String>,
    pub(crate) regex: Arc<Regex>,
    pub(crate) prefix: String,
}

impl Query for WordPattern {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for WordPattern {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let index = reader.inverted_index(self.fields.text)?;
        let mut found = BTreeSet::new();
        let mut expansions = 0;
        for path in &self.paths {
            let start = word_key(path, "").len();
            let key = word_key(path, &self.prefix);
            let mut stream = index.terms().range().ge(&key).into_stream()?;
            while stream.advance() && stream.key().starts_with(&key) {
                if !stream
                    .key()
                    .get(start..)
                    .is_some_and(|word| self.regex.is_match(word))
                {
                    continue;
                }
                expansions += 1;
                if expansions > EXPANSIONS_MAX {
                    return Err(TantivyError::InvalidArgument(format!(
                        "the pattern stands for more than {EXPANSIONS_MAX} words"
                    )));
                }
                let mut postings =
                    index.read_postings_from_terminfo(stream.value(), IndexRecordOption::Basic)?;
                while postings.doc() != TERMINATED {
                    found.insert(postings.doc());
                    postings.advance();
                }
            }
        }
        let found: Vec<DocId> = found.into_iter().collect();
        Ok(Box::new(ConstScorer::new(Listed::new(found), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("a word fits the pattern", 1.0))
    }
}

/// Documents with a string too long for a column at a path.
pub(crate) fn long_string(fields: Fields, path: &str) -> Box<dyn Query> {
    let term = Term::from_field_text(fields.long, path);
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// Documents whose long string at a path is exactly `text`: found by words, checked by the
/// stored document.
#[derive(Debug, Clone)]
pub(crate) struct LongEqual {
    fields: Fields,
    path: String,
    text: Arc<str>,
}

impl LongEqual {
    pub(crate) fn new(fields: Fields, path: &str, text: &str) -> Self {
        Self {
            fields,
            path: path.to_owned(),
            text: text.into(),
        }
    }

    fn candidates(&self) -> Box<dyn Query> {
        let long = long_string(self.fields, &self.path);
        match text_query(self.fields, &self.path, &self.text, Match::All) {
            Some(words) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, words),
                (Occur::Must, long),
            ])),
            None => long,
        }
    }
}

impl Query for LongEqual {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let candidates = match scoring.searcher() {
            Some(searcher) => {
                let scoring = EnableScoring::disabled_from_searcher(searcher);
                self.candidates().weight(scoring)?
            }
            None => EmptyQuery.weight(scoring)?,
        };
        Ok(Box::new(LongEqualWeight {
            query: self.clone(),
            candidates,
        }))
    }
}

struct LongEqualWeight {
    query: LongEqual,
    candidates: Box<dyn Weight>,
}

impl Weight for LongEqualWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut candidates = self.candidates.scorer(reader, 1.0)?;
        let store = reader.get_store_reader(1)?;
        let mut found = Vec::new();
        while candidates.doc() != TERMINATED {
            let doc = candidates.doc();
            let stored: TantivyDocument = store.get(doc)?;
            let source = stored.get_first(self.query.fields.source);
            let value = source
                .and_then(|value| value.as_bytes())
                .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
            if value.is_some_and(|value| holds(&value, &self.query.path, &self.query.text)) {
                found.push(doc);
            }
            candidates.advance();
        }
        Ok(Box::new(ConstScorer::new(Listed::new(found), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("the stored string is equal", 1.0))
    }
}

/// Whether `value` has the string `text` at a path; keys may hold dots.
fn holds(value: &serde_json::Value, path: &str, text: &str) -> bool {
    match value {
        serde_json::Value::String(string) => path.is_empty() && string == text,
        serde_json::Value::Array(elements) => elements.iter().any(|e| holds(e, path, text)),
        serde_json::Value::Object(members) => members.iter().any(|(key, member)| {
            let key = key.replace('.', &PATH_SEPARATOR.to_string());
            path.strip_prefix(key.as_str()).is_some_and(|rest| {
                rest.is_empty() && holds(member, "", text)
                    || rest
                        .strip_prefix(PATH_SEPARATOR)
                        .is_some_and(|rest| holds(member, rest, text))
            })
        }),
        _ => false,
    }
}
