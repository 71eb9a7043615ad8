//! `_cat/indices`: a table for people, or JSON with `format=json`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use wstream_search::{IndexInfo, Search, SearchError};

use super::error::Refused;
use super::{Parameters, answer};

/// The columns that are shown unless `h` names others.
const COLUMNS: &[&str] = &[
    "health",
    "status",
    "index",
    "uuid",
    "pri",
    "rep",
    "docs.count",
    "docs.deleted",
    "store.size",
    "pri.store.size",
    "dataset.size",
];
/// Columns of numbers, which stand at the right.
const NUMBERS: &[&str] = &[
    "pri",
    "rep",
    "docs.count",
    "docs.deleted",
    "store.size",
    "pri.store.size",
    "dataset.size",
];
/// Short names of columns.
const SHORT: &[(&str, &str)] = &[
    ("h", "health"),
    ("s", "status"),
    ("i", "index"),
    ("idx", "index"),
    ("id", "uuid"),
    ("p", "pri"),
    ("r", "rep"),
    ("dc", "docs.count"),
    ("docsCount", "docs.count"),
    ("dd", "docs.deleted"),
    ("ss", "store.size"),
    ("storeSize", "store.size"),
];

pub(super) async fn indices(search: State<Search>, parameters: Parameters) -> Response {
    table(&search, "*", &parameters).await
}

pub(super) async fn indices_of(
    search: State<Search>,
    Path(target): Path<String>,
    parameters: Parameters,
) -> Response {
    table(&search, &target, &parameters).await
}

async fn table(search: &Search, target: &str, parameters: &Parameters) -> Response {
    let mut found = match search.list(target).await {
        Ok(found) => found,
        Err(error) => return Refused(error).into_response(),
    };
    let asked: Vec<String> = match parameters.get("h") {
        None => COLUMNS.iter().map(|c| (*c).to_owned()).collect(),
        Some(names) => names.split(',').map(|n| n.trim().to_owned()).collect(),
    };
    if let Err(error) = sort(&mut found, parameters.get("s")) {
        return Refused(error).into_response();
    }
    let plain_bytes = parameters.get("bytes").is_some_and(|b| b == "b");
    let row = |index: &IndexInfo| asked.iter().map(|c| cell(index, c, plain_bytes)).collect();
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    if parameters.get("format").is_some_and(|f| f == "json") {
        let object = |row: &Vec<String>| {
            let fields = asked
                .iter()
                .cloned()
                .zip(row.iter().map(|c| Value::from(c.as_str())));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        let value: Value = rows.iter().map(object).collect();
        return answer(StatusCode::OK, &value);
    }
    let head = parameters.get("v").is_some_and(|v| v != "false");
    let text = render(&asked, &rows, head);
    ([("content-type", "text/plain; charset=UTF-8")], text).into_response()
}

fn full_name(name: &str) -> &str {
    let long = SHORT.iter().find(|(short, _)| *short == name);
    long.map_or(name, |(_, long)| long)
}

fn cell(index: &IndexInfo, column: &str, plain_bytes: bool) -> String {
    match full_name(column) {
        "health" => "green".to_owned(),
        "status" => "open".to_owned(),
        // An index has no identity besides its name.
        "index" | "uuid" => index.name.clone(),
        "pri" => "1".to_owned(),
        "rep" => "0".to_owned(),
        "docs.count" => index.documents.to_string(),
        "docs.deleted" => index.deleted.to_string(),
        "store.size" | "pri.store.size" | "dataset.size" if plain_bytes => index.bytes.to_string(),
        "store.size" | "pri.store.size" | "dataset.size" => size(index.bytes),
        _ => String::new(),
    }
}

/// A size as Elasticsearch writes it: `999b`, `1.5kb`, `12.3mb`.
fn size(bytes: u64) -> String {
    let units = [
        (1u64 << 40, "tb"),
        (1 << 30, "gb"),
        (1 << 20, "mb"),
        (1 << 10, "kb"),
    ];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes}b"),
        Some((unit, name)) => {
            // Tenths are cut off, not rounded.
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            match tenths % 10 {
                0 => format!("{}{name}", tenths / 10),
                tenth => format!("{}.{tenth}{name}", tenths / 10),
            }
        }
    }
}

fn sort(found: &mut [IndexInfo], by: Option<&String>) -> Result<(), SearchError> {
    found.sort_by(|a, b| a.name.cmp(&b.name));
    for key in by.into_iter().flat_map(|by| by.rsplit(',')) {
        let (name, order) = key.split_once(':').unwrap_or((key, "asc"));
        match full_name(name) {
            "index" | "uuid" => found.sort_by(|a, b| a.name.cmp(&b.name)),
            "docs.count" => found.sort_by_key(|i| i.documents),
            "docs.deleted" => found.sort_by_key(|i| i.deleted),
            "store.size" | "pri.store.size" | "dataset.size" => found.sort_by_key(|i| i.bytes),
            "health" | "status" | "pri" | "rep" => {}
            other => {
                let reason = format!("Unable to sort by unknown sort key `{other}`");
                return Err(SearchError::argument(reason));
            }
        }
        if order == "desc" {
            found.reverse();
        }
    }
    Ok(())
}

fn render(columns: &[String], rows: &[Vec<String>], head: bool) -> String {
    let titles = head.then(|| columns.to_vec());
    let lines: Vec<&Vec<String>> = titles.iter().chain(rows).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|c| {
            lines
                .iter()
                .filter_map(|l| l.get(c))
                .map(String::len)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(columns.iter().zip(&widths))
            .map(|(cell, (column, &width))| {
                if NUMBERS.contains(&full_name(column)) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        out.push_str(cells.join(" ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_elasticsearchs() {
        // Recorded from a real server, with `v&h=index,docs.count&s=index`.
        let want =
            "index          docs.count\nnetflix-titles       5850\nnetflix-writes          7\n";
        let columns = ["index", "docs.count"].map(str::to_owned);
        let rows = [["netflix-titles", "5850"], ["netflix-writes", "7"]];
        let rows: Vec<_> = rows.iter().map(|r| r.map(str::to_owned).to_vec()).collect();
        assert_eq!(render(&columns, &rows, true), want);
    }

    #[test]
    fn sizes_are_short() {
        let rows = [
            (0, "0b"),
            (1023, "1023b"),
            (1024, "1kb"),
            (1_600, "1.5kb"),
            (1 << 31, "2gb"),
        ];
        for (bytes, text) in rows {
            assert_eq!(size(bytes), text);
        }
    }
}
