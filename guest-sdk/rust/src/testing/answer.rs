//! Reads an answer frame as strictly as the host does, so that the SDK's tests see what it would
//! refuse.

use crate::frame::{FrameError, Reader};
use crate::{Failure, Headers};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was sent, in order; nothing if the record was dropped.
    Sent(Vec<Sent>),
    /// Why it failed.
    Failed(Failure),
}

impl Default for Answer {
    fn default() -> Self {
        Self::Sent(Vec::new())
    }
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The output's name.
    pub output: String,
    /// The partition asked for; `None` is by key.
    pub partition: Option<i32>,
    /// The time set; `None` is the record's.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Answer {
    /// The value of the only output, as text.
    ///
    /// # Panics
    /// The record failed, or there is not exactly one output with a value that is UTF-8.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Sent(sent) if sent.len() == 1 => {
                let value = sent.first().and_then(|s| s.value.clone());
                String::from_utf8(value.expect("a value")).expect("UTF-8")
            }
            other => panic!("not one output: {other:?}"),
        }
    }

    /// Whether the record was dropped: no output and no failure.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        matches!(self, Self::Sent(sent) if sent.is_empty())
    }

    /// The message of the failure.
    ///
    /// # Panics
    /// The record did not fail.
    #[must_use]
    pub fn failure(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.text(),
            Self::Sent(sent) => panic!("not a failure: {sent:?}"),
        }
    }
}

/// What became of each of `count` records.
///
/// # Errors
/// The frame is one that the host refuses.
pub fn read_answer(frame: &[u8], count: usize, names: &[&str]) -> Result<Vec<Answer>, FrameError> {
    let mut answers = vec![Answer::default(); count];
    let mut reader = Reader::new(frame);
    let mut last = 0;
    while !reader.rest().is_empty() {
        let index = reader.u32()? as usize;
        let [kind] = reader.bytes(1)? else {
            return Err(FrameError);
        };
        let answer = answers
            .get_mut(index)
            .filter(|_| index >= last)
            .ok_or(FrameError)?;
        last = index;
        match (kind, answer) {
            (0, Answer::Sent(sent)) => sent.push(read_output(&mut reader, names)?),
            (1, answer) if answer.is_dropped() => {
                let code = reader.u16()?;
                let message = String::from_utf8_lossy(reader.sized()?).into_owned();
                let failure = Failure::new(code, message);
                if failure.code() != code {
                    return Err(FrameError);
                }
                *answer = Answer::Failed(failure);
            }
            _ => return Err(FrameError),
        }
    }
    Ok(answers)
}

fn read_output(reader: &mut Reader<'_>, names: &[&str]) -> Result<Sent, FrameError> {
    let output = usize::from(reader.u16()?);
    let partition = reader.i32()?;
    let timestamp_ms = reader.i64()?;
    let key = reader.nullable()?.map(<[u8]>::to_vec);
    let value = reader.nullable()?.map(<[u8]>::to_vec);
    let headers = Headers::read(reader)?;
    let headers = headers
        .iter()
        .map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec)));
    if partition < -1 || (timestamp_ms < -1 && timestamp_ms != i64::MIN) {
        return Err(FrameError);
    }
    Ok(Sent {
        output: names.get(output).ok_or(FrameError)?.to_string(),
        partition: Some(partition).filter(|&p| p >= 0),
        timestamp_ms: Some(timestamp_ms).filter(|&t| t >= -1),
        key,
        value,
        headers: headers.collect(),
    })
}
