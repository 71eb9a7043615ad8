//! What a transform makes of a record, written straight into the answer frame.

use crate::frame::{length, put_nullable};
use crate::record::{Header, Headers, Record};
use crate::{Failure, json};

const KIND_OUTPUT: u8 = 0;
const KIND_FAILURE: u8 = 1;
const BY_KEY: i32 = -1;
const INHERIT: i64 = i64::MIN;

/// One output: key, value, headers, and where it goes.
#[derive(Debug, Clone)]
pub struct Output<'a> {
    name: Option<&'a str>,
    partition: i32,
    timestamp_ms: i64,
    key: Option<&'a [u8]>,
    value: Value<'a>,
    headers: Headers<'a>,
    added: Vec<Header<'a>>,
    /// The body of the record this began as, while nothing of it was changed.
    whole: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Bytes(Option<&'a [u8]>),
    Object(&'a json::Object<'a>),
}

impl Default for Output<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Output<'a> {
    /// An output with null key, null value and no headers, at the time of the record in work.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            name: None,
            partition: BY_KEY,
            timestamp_ms: INHERIT,
            key: None,
            value: Value::Bytes(None),
            headers: Headers::NONE,
            added: Vec::new(),
            whole: None,
        }
    }

    /// An output with the record's key, value, headers and time.
    #[must_use]
    #[inline]
    pub fn of(record: &Record<'a>) -> Self {
        Self {
            key: record.key(),
            value: Value::Bytes(record.value()),
            headers: record.headers(),
            whole: Some(record.body()),
            ..Self::new()
        }
    }

    /// Sets the value.
    #[must_use]
    #[inline]
    pub fn value(mut self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.value = Value::Bytes(Some(value.as_ref()));
        self.changed()
    }

    /// Sets the value to an edited JSON object; it is written once, into the answer.
    #[must_use]
    #[inline]
    pub fn json(mut self, object: &'a json::Object<'a>) -> Self {
        self.value = Value::Object(object);
        self.changed()
    }

    /// Makes the value null.
    #[must_use]
    pub fn null_value(mut self) -> Self {
        self.value = Value::Bytes(None);
        self.changed()
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self.changed()
    }

    /// Makes the key null.
    #[must_use]
    pub fn null_key(mut self) -> Self {
        self.key = None;
        self.changed()
    }

    /// Adds a header behind the ones there are.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.added.push(Header {
            name: name.as_bytes(),
            value: Some(value.as_ref()),
        });
        self.changed()
    }

    /// Adds a header with a null value.
    #[must_use]
    pub fn null_header(mut self, name: &'a str) -> Self {
        self.added.push(Header {
            name: name.as_bytes(),
            value: None,
        });
        self.changed()
    }

    /// Leaves out the record's headers and those added so far.
    #[must_use]
    pub fn no_headers(mut self) -> Self {
        self.headers = Headers::NONE;
        self.added.clear();
        self.changed()
    }

    /// Sends it to a named output, one of [`Transform::OUTPUTS`](crate::Transform::OUTPUTS).
    #[must_use]
    pub const fn to(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sends it to a partition of the target topic; below 0 is the one its key gives.
    /// The record fails if there is no such partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = partition.max(BY_KEY);
        self
    }

    /// Sets its time in milliseconds since 1970; below 0 means unknown.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = timestamp_ms.max(-1);
        self
    }

    #[inline]
    fn changed(mut self) -> Self {
        self.whole = None;
        self
    }
}

/// Where the outputs of the record in work go.
#[derive(Debug)]
pub struct Outputs<'a> {
    frame: &'a mut Vec<u8>,
    names: &'static [&'static str],
    index: u32,
}

impl<'a> Outputs<'a> {
    pub(crate) const fn new(
        frame: &'a mut Vec<u8>,
        names: &'static [&'static str],
        index: u32,
    ) -> Self {
        Self {
            frame,
            names,
            index,
        }
    }

    /// Sends an output.
    ///
    /// # Panics
    /// The output's name is not one of [`Transform::OUTPUTS`](crate::Transform::OUTPUTS): the
    /// record fails with a message that says so.
    #[inline]
    pub fn send(&mut self, output: Output<'_>) {
        self.begin(&output);
        if let Some(body) = output.whole {
            self.frame.extend_from_slice(body);
            return;
        }
        put_nullable(self.frame, output.key);
        match output.value {
            Value::Bytes(value) => put_nullable(self.frame, value),
            Value::Object(object) => {
                let at = self.reserve_length();
                object.write(self.frame);
                self.patch_length(at);
            }
        }
        self.finish(&output);
    }

    /// Sends an output whose value `write` appends to the buffer it is given.
    ///
    /// # Errors
    /// What `write` returns; nothing is sent then.
    ///
    /// # Panics
    /// As [`Outputs::send`].
    #[inline]
    pub fn send_with<E>(
        &mut self,
        output: Output<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.frame.len();
        self.begin(&output);
        put_nullable(self.frame, output.key);
        let at = self.reserve_length();
        if let Err(error) = write(self.frame) {
            self.frame.truncate(start);
            return Err(error);
        }
        self.patch_length(at);
        self.finish(&output);
        Ok(())
    }

    /// Sends an output whose value is `value` as JSON.
    ///
    /// # Errors
    /// The value cannot be JSON, such as a map whose keys are not strings.
    ///
    /// # Panics
    /// As [`Outputs::send`].
    pub fn send_serde<T: serde::Serialize + ?Sized>(
        &mut self,
        output: Output<'_>,
        value: &T,
    ) -> Result<(), Failure> {
        self.send_with(output, |frame| serde_json::to_writer(frame, value))
            .map_err(Failure::from)
    }

    #[inline]
    fn begin(&mut self, output: &Output<'_>) {
        let name = output.name.map_or(0, |name| self.index_of(name));
        let mut head = [KIND_OUTPUT; 19];
        head[..4].copy_from_slice(&self.index.to_le_bytes());
        head[5..7].copy_from_slice(&name.to_le_bytes());
        head[7..11].copy_from_slice(&output.partition.to_le_bytes());
        head[11..].copy_from_slice(&output.timestamp_ms.to_le_bytes());
        self.frame.extend_from_slice(&head);
    }

    #[inline]
    fn finish(&mut self, output: &Output<'_>) {
        let added = length(output.added.len());
        let count = output.headers.count() + added;
        self.frame.extend_from_slice(&count.to_le_bytes());
        if count == 0 {
            return;
        }
        self.frame.extend_from_slice(output.headers.bytes());
        for header in &output.added {
            self.frame
                .extend_from_slice(&length(header.name.len()).to_le_bytes());
            self.frame.extend_from_slice(header.name);
            put_nullable(self.frame, header.value);
        }
    }

    #[inline]
    fn reserve_length(&mut self) -> usize {
        let at = self.frame.len();
        self.frame.extend_from_slice(&[0; 4]);
        at
    }

    #[inline]
    fn patch_length(&mut self, at: usize) {
        let bytes = length(self.frame.len() - at - 4);
        if let Some(place) = self.frame.get_mut(at..at + 4) {
            place.copy_from_slice(&bytes.to_le_bytes());
        }
    }

    fn index_of(&self, name: &str) -> u16 {
        let found = self.names.iter().position(|&known| known == name);
        let index = found.unwrap_or_else(|| {
            panic!(
                "output \"{name}\" is not one of the transform's: {:?}",
                self.names
            )
        });
        u16::try_from(index).expect("a transform has fewer than 65,536 outputs")
    }
}

/// Appends the entry of a record that failed.
pub(crate) fn put_failure(frame: &mut Vec<u8>, index: u32, failure: &Failure) {
    let message = failure.text().as_bytes();
    frame.extend_from_slice(&index.to_le_bytes());
    frame.push(KIND_FAILURE);
    frame.extend_from_slice(&failure.code().to_le_bytes());
    frame.extend_from_slice(&length(message.len()).to_le_bytes());
    frame.extend_from_slice(message);
}
