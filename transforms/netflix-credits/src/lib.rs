//! Types the rows of the Netflix credits as the `csv` source gives them: `person_id` becomes a
//! number, an empty column null.
//!
//! Fields keep their names and order, the number its digits, key and headers stay.

use wstream_guest::json::Raw;
use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, Transform, export};

const PERSON: &str = "person_id";
const TEXTS: [&str; 4] = ["id", "name", "character", "role"];

const BAD_ROW: u16 = 1;
const BAD_NUMBER: u16 = 2;

#[derive(Debug)]
pub struct NetflixCredits;

impl Transform for NetflixCredits {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let mut row = record
            .json()
            .map_err(|error| Failure::new(BAD_ROW, error.text()))?;
        for column in TEXTS {
            if row.original(column).is_some_and(|value| value.is_str("")) {
                row.set(column, None::<&str>);
            }
        }
        if let Some(text) = row.original(PERSON).and_then(|value| value.as_str()) {
            match Raw::parse(text.trim()) {
                Ok(number) if number.as_i64().is_some() => row.set(PERSON, number),
                _ if text.is_empty() => row.set(PERSON, None::<&str>),
                _ => {
                    let message = format!("{PERSON} is not a number: \"{text}\"");
                    return Err(Failure::new(BAD_NUMBER, message));
                }
            }
        }
        out.send(Output::of(record).json(&row));
        Ok(())
    }
}

export!(NetflixCredits);

#[cfg(test)]
mod tests {
    use wstream_guest::testing::check_cases;

    use super::*;

    #[test]
    fn cases_come_out_as_written() {
        check_cases::<NetflixCredits>("cases.jsonl");
    }
}
