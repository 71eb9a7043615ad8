//! Decodes the output frame of an untrusted module.

use wstream_record::{PartitionId, Timestamp};

/// The first fault of an output frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad frame at byte {at}: {fault}")]
pub struct BadFrame {
    /// Where the field begins.
    pub at: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field of an output frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("{field} needs {needed} bytes, {left} are left")]
    Short {
        field: &'static str,
        needed: usize,
        left: usize,
    },
    #[error("record index {index}, the call has {count} records")]
    IndexOutOfRange { index: u32, count: u32 },
    #[error("record index {index} after {earlier}")]
    IndexFell { index: u32, earlier: u32 },
    #[error("unknown kind {0}")]
    Kind(u8),
    #[error("a failure beside another entry of record {0}")]
    FailureBeside(u32),
    #[error("partition {0} is below -1")]
    Partition(i32),
    #[error("timestamp {0} is below -1")]
    Timestamp(i64),
    #[error("{field} length {length} is below -1")]
    Length { field: &'static str, length: i32 },
    #[error("failure code {0} is the host's")]
    Code(u16),
}

/// One entry of an output frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record of the call it belongs to.
    pub index: u32,
    /// Bytes the entry takes in the frame.
    pub bytes: usize,
    /// What it says.
    pub body: EntryBody<'a>,
}

/// What an entry says of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody<'a> {
    /// One output.
    Output(OutputEntry<'a>),
    /// The record failed.
    Failure {
        /// The module's own code, 0 to 999.
        code: u16,
        /// Not necessarily UTF-8.
        message: &'a [u8],
    },
}

/// An output as it stands in the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputEntry<'a> {
    /// 0 is the default output.
    pub output: u16,
    /// `None` is by key.
    pub partition: Option<PartitionId>,
    /// `None` is the input record's.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, checked.
    pub headers: Headers<'a>,
}

/// The headers of an output: an iterator over name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers<'a> {
    count: u32,
    cursor: Cursor<'a>,
}

impl Headers<'_> {
    /// How many are left.
    #[must_use]
    pub fn count_left(&self) -> usize {
        self.count as usize
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        self.cursor.header().ok()
    }
}

/// Iterates over the entries of a frame and ends after the first fault.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    count: u32,
    last: Option<(u32, u8)>,
}

const KIND_OUTPUT: u8 = 0;
const KIND_FAILURE: u8 = 1;
/// Record index, kind, output, partition and timestamp.
const OUTPUT_HEAD_BYTES: usize = 4 + 1 + 2 + 4 + 8;
/// The first failure code that is the host's.
const CODE_HOST_MIN: u16 = 1000;

impl<'a> Entries<'a> {
    /// Reads the output frame of a call of `count` records.
    #[must_use]
    pub fn new(frame: &'a [u8], count: u32) -> Self {
        Self {
            cursor: Cursor { frame, at: 0 },
            count,
            last: None,
        }
    }

    /// An output that has no headers and no fault, in few steps. For everything else `None`, and
    /// nothing is taken: `entry` reads it field by field.
    #[inline]
    fn plain_output(&mut self) -> Option<Entry<'a>> {
        let from = self.cursor.at;
        let rest = self.cursor.frame.get(from..)?;
        let (head, rest) = rest.split_first_chunk::<OUTPUT_HEAD_BYTES>()?;
        let (index, head) = head.split_first_chunk()?;
        let index = u32::from_le_bytes(*index);
        let ([kind], head) = head.split_first_chunk()?;
        let (output, head) = head.split_first_chunk()?;
        let (partition, head) = head.split_first_chunk()?;
        let partition = i32::from_le_bytes(*partition);
        let (timestamp, _) = head.split_first_chunk()?;
        let timestamp = i64::from_le_bytes(*timestamp);
        let in_order = self.last.is_none_or(|(earlier, kind)| {
            earlier < index || (earlier == index && kind == KIND_OUTPUT)
        });
        let is_sound = *kind == KIND_OUTPUT
            && index < self.count
            && in_order
            && partition >= -1
            && (timestamp >= -1 || timestamp == i64::MIN);
        if !is_sound {
            return None;
        }
        let (key, rest) = plain_nullable(rest)?;
        let (value, rest) = plain_nullable(rest)?;
        let (&[0, 0, 0, 0], rest) = rest.split_first_chunk()? else {
            return None;
        };
        self.last = Some((index, KIND_OUTPUT));
        self.cursor.at = self.cursor.frame.len() - rest.len();
        let none = Cursor { frame: &[], at: 0 };
        Some(Entry {
            index,
            bytes: self.cursor.at - from,
            body: EntryBody::Output(OutputEntry {
                output: u16::from_le_bytes(*output),
                partition: (partition != -1).then_some(PartitionId(partition)),
                timestamp: (timestamp != i64::MIN).then_some(Timestamp(timestamp)),
                key,
                value,
                headers: Headers {
                    count: 0,
                    cursor: none,
                },
            }),
        })
    }

    #[inline(never)]
    fn entry(&mut self) -> Result<Entry<'a>, BadFrame> {
        let from = self.cursor.at;
        let index = u32::from_le_bytes(self.cursor.array("record index")?);
        if index >= self.count {
            let count = self.count;
            return Err(fault(from, Fault::IndexOutOfRange { index, count }));
        }
        let kind_at = self.cursor.at;
        if let Some((earlier, _)) = self.last
            && index < earlier
        {
            return Err(fault(from, Fault::IndexFell { index, earlier }));
        }
        let [kind] = self.cursor.array("kind")?;
        if kind > KIND_FAILURE {
            return Err(fault(kind_at, Fault::Kind(kind)));
        }
        if let Some((earlier, earlier_kind)) = self.last
            && index == earlier
            && (kind == KIND_FAILURE || earlier_kind == KIND_FAILURE)
        {
            return Err(fault(kind_at, Fault::FailureBeside(index)));
        }
        self.last = Some((index, kind));
        let body = if kind == KIND_OUTPUT {
            EntryBody::Output(self.cursor.output()?)
        } else {
            self.cursor.failure()?
        };
        let bytes = self.cursor.at - from;
        Ok(Entry { index, bytes, body })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, BadFrame>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.plain_output() {
            return Some(Ok(entry));
        }
        if self.cursor.at == self.cursor.frame.len() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.cursor.at = self.cursor.frame.len();
        }
        Some(entry)
    }
}

/// Bytes behind their length, -1 for null, and what follows them.
#[inline]
fn plain_nullable(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    match i32::from_le_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (field, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(field), rest))
        }
    }
}

fn fault(at: usize, fault: Fault) -> BadFrame {
    BadFrame { at, fault }
}

/// A position in a frame; `at` never passes the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, needed: usize, field: &'static str) -> Result<&'a [u8], BadFrame> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let Some(bytes) = rest.get(..needed) else {
            let left = rest.len();
            let short = Fault::Short {
                field,
                needed,
                left,
            };
            return Err(fault(self.at, short));
        };
        self.at += needed;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BadFrame> {
        let bytes = self.take(N, field)?;
        Ok(*bytes.first_chunk().expect("take gives exactly N bytes"))
    }

    fn nullable(
        &mut self,
        field: &'static str,
        length_field: &'static str,
    ) -> Result<Option<&'a [u8]>, BadFrame> {
        let at = self.at;
        let length = i32::from_le_bytes(self.array(length_field)?);
        match usize::try_from(length) {
            Ok(needed) => self.take(needed, field).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(fault(at, Fault::Length { field, length })),
        }
    }

    fn header(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), BadFrame> {
        let length = u32::from_le_bytes(self.array("header name length")?);
        let name = self.take(length as usize, "header name")?;
        let value = self.nullable("header value", "header value length")?;
        Ok((name, value))
    }

    fn output(&mut self) -> Result<OutputEntry<'a>, BadFrame> {
        let output = u16::from_le_bytes(self.array("output")?);
        let at = self.at;
        let partition = i32::from_le_bytes(self.array("partition")?);
        if partition < -1 {
            return Err(fault(at, Fault::Partition(partition)));
        }
        let at = self.at;
        let timestamp = i64::from_le_bytes(self.array("timestamp")?);
        if timestamp < -1 && timestamp != i64::MIN {
            return Err(fault(at, Fault::Timestamp(timestamp)));
        }
        let key = self.nullable("key", "key length")?;
        let value = self.nullable("value", "value length")?;
        let count = u32::from_le_bytes(self.array("header count")?);
        let cursor = self.clone();
        for _ in 0..count {
            self.header()?;
        }
        Ok(OutputEntry {
            output,
            partition: (partition != -1).then_some(PartitionId(partition)),
            timestamp: (timestamp != i64::MIN).then_some(Timestamp(timestamp)),
            key,
            value,
            headers: Headers { count, cursor },
        })
    }

    fn failure(&mut self) -> Result<EntryBody<'a>, BadFrame> {
        let at = self.at;
        let code = u16::from_le_bytes(self.array("failure code")?);
        if code >= CODE_HOST_MIN {
            return Err(fault(at, Fault::Code(code)));
        }
        let length = u32::from_le_bytes(self.array("message length")?);
        let message = self.take(length as usize, "message")?;
        Ok(EntryBody::Failure { code, message })
    }
}
