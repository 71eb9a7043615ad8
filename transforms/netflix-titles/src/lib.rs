//! Types the rows of the Netflix titles catalogue as the `csv` source gives them: one JSON object
//! whose values are all strings becomes one with numbers, lists and nulls.
//!
//! Fields keep their names and order, numbers their digits, key and headers stay. A number or list
//! that is none fails the record with a message that names the column and the value.

mod python;

use serde::Deserialize;
use wstream_guest::json::{Object, Raw};
use wstream_guest::{Failure, Output, Outputs, Record, Transform, export};

/// Columns of whole numbers; editions made with pandas write them as `51.0`.
const INTEGERS: [&str; 4] = ["release_year", "runtime", "seasons", "imdb_votes"];
const NUMBERS: [&str; 3] = ["imdb_score", "tmdb_popularity", "tmdb_score"];
const LISTS: [&str; 2] = ["genres", "production_countries"];
/// Columns of text, which only need a look whether they are empty.
const TEXTS: [&str; 6] = [
    "id",
    "title",
    "type",
    "description",
    "age_certification",
    "imdb_id",
];

const BAD_ROW: u16 = 1;
const BAD_NUMBER: u16 = 2;
const BAD_LIST: u16 = 3;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rows of an earlier release year are dropped; rows without one are kept.
    min_year: Option<i64>,
}

#[derive(Debug)]
pub struct NetflixTitles {
    config: Config,
}

impl Transform for NetflixTitles {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        Ok(Self { config })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let mut row = record
            .json()
            .map_err(|error| Failure::new(BAD_ROW, error.text()))?;
        for column in TEXTS {
            null_if_empty(&mut row, column);
        }
        for column in INTEGERS {
            number(&mut row, column, whole)?;
        }
        for column in NUMBERS {
            number(&mut row, column, |digits| digits)?;
        }
        for column in LISTS {
            list(&mut row, column)?;
        }
        let year = row.get("release_year").and_then(|year| year.as_i64());
        if self
            .config
            .min_year
            .is_some_and(|min| year.is_some_and(|year| year < min))
        {
            return Ok(());
        }
        out.send(Output::of(record).json(&row));
        Ok(())
    }
}

/// An empty column becomes null; false if it was not empty.
fn null_if_empty(row: &mut Object<'_>, column: &str) -> bool {
    let empty = row.original(column).is_some_and(|value| value.is_str(""));
    if empty {
        row.set(column, None::<&str>);
    }
    empty
}

/// Digits in a string become a number; what is a number or null already stays.
fn number(row: &mut Object<'_>, column: &str, digits: fn(&str) -> &str) -> Result<(), Failure> {
    let Some(text) = row.original(column).and_then(|value| value.as_str()) else {
        return Ok(());
    };
    if null_if_empty(row, column) {
        return Ok(());
    }
    let digits = digits(text.trim());
    match Raw::parse(digits) {
        Ok(number) if number.number().is_some() => {
            row.set(column, number);
            Ok(())
        }
        _ => Err(Failure::new(
            BAD_NUMBER,
            format!("{column} is not a number: \"{text}\""),
        )),
    }
}

/// `51.0` without its fraction; with another fraction it is no whole number, and no JSON either.
fn whole(digits: &str) -> &str {
    match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b == b'0') => {
            whole
        }
        Some(_) => "",
        None => digits,
    }
}

/// A Python list or set in a string becomes an array.
fn list(row: &mut Object<'_>, column: &str) -> Result<(), Failure> {
    let Some(text) = row.original(column).and_then(|value| value.as_str()) else {
        return Ok(());
    };
    if null_if_empty(row, column) {
        return Ok(());
    }
    let elements = python::elements(&text).map_err(|what| {
        Failure::new(
            BAD_LIST,
            format!("{column} is not a list: {what}: \"{text}\""),
        )
    })?;
    row.set(column, elements);
    Ok(())
}

export!(NetflixTitles);

#[cfg(test)]
mod tests {
    use wstream_guest::testing::check_cases;

    use super::*;

    #[test]
    fn cases_come_out_as_written() {
        check_cases::<NetflixTitles>("cases.jsonl");
    }
}
