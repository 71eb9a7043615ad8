//! Keyed state of the pipeline's step and partition that the instance works for: what a record that
//! succeeds writes is there for every later record, after a restart and on another node too.
//!
//! A record sees what it and the records before it wrote; what a record wrote that fails is
//! discarded. The host keeps the table and bounds it, its keys and its values. Only a module that
//! uses [`State`] imports it. Off wasm the table is the thread's own: `testing` clears it before
//! each case.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::Reader;
use crate::{Failure, abi};

/// Longest key.
pub const KEY_BYTES_MAX: usize = 4096;
/// Longest value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Most that one call of the module, that is one batch, may write.
pub const CALL_BYTES_MAX: usize = 64 << 20;

/// What a value is asked for with first; a longer one is asked for again.
const VALUE_BYTES_USUAL: usize = 256;
/// What a page of a scan holds; an entry that is larger has its page to itself.
const PAGE_BYTES: usize = 16 << 10;

/// The table. Keys and values are bytes; values may also be JSON of a type.
///
/// ```
/// # use wstream_guest::{Failure, Record, State};
/// fn visits(record: &Record<'_>) -> Result<u64, Failure> {
///     let key = record.key().unwrap_or(b"nobody");
///     let visits = State::get_json(key)?.unwrap_or(0) + 1;
///     State::put_json(key, &visits)?;
///     Ok(visits)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct State;

/// Which limit kept an entry from being set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateError {
    /// The key is empty or above [`KEY_BYTES_MAX`].
    Key,
    /// The value is above [`VALUE_BYTES_MAX`].
    Value,
    /// The table has as many entries as the pipeline allows.
    Entries,
    /// The table has as many bytes as the pipeline allows.
    Bytes,
    /// The call has written [`CALL_BYTES_MAX`].
    Call,
}

impl State {
    /// The value of a key; `None` if there is none, or if it has expired.
    #[must_use]
    pub fn get(key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let key = key.as_ref();
        let mut value = vec![0; VALUE_BYTES_USUAL];
        loop {
            let len = usize::try_from(abi::state_get(key, &mut value)).ok()?;
            let fits = len <= value.len();
            value.resize(len, 0);
            if fits {
                return Some(value);
            }
        }
    }

    /// The value of a key, read as JSON.
    ///
    /// # Errors
    /// It is not JSON of this type.
    pub fn get_json<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Result<Option<T>, Failure> {
        let value = Self::get(key);
        Ok(value.map(|v| serde_json::from_slice(&v)).transpose()?)
    }

    /// Sets a key, for good.
    ///
    /// # Errors
    /// The limit that does not allow it.
    pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), StateError> {
        set(key.as_ref(), value.as_ref(), 0)
    }

    /// Sets a key for so long, at least a millisecond.
    ///
    /// # Errors
    /// As [`State::put`].
    pub fn put_for(
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        time: Duration,
    ) -> Result<(), StateError> {
        set(key.as_ref(), value.as_ref(), millis(time))
    }

    /// Sets a key to a value as JSON, for good.
    ///
    /// # Errors
    /// As [`State::put`], or the value cannot be JSON.
    pub fn put_json<T: Serialize + ?Sized>(
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<(), Failure> {
        Ok(Self::put(key, serde_json::to_vec(value)?)?)
    }

    /// Sets a key to a value as JSON, for so long, at least a millisecond.
    ///
    /// # Errors
    /// As [`State::put_json`].
    pub fn put_json_for<T: Serialize + ?Sized>(
        key: impl AsRef<[u8]>,
        value: &T,
        time: Duration,
    ) -> Result<(), Failure> {
        Ok(Self::put_for(key, serde_json::to_vec(value)?, time)?)
    }

    /// Removes a key; false if there was none.
    pub fn delete(key: impl AsRef<[u8]>) -> bool {
        abi::state_delete(key.as_ref())
    }

    /// The entries whose key begins with `prefix`, in the order of the keys; all with an empty one.
    /// They are read page by page: a page shows the table as it is when it is read.
    pub fn scan(prefix: impl AsRef<[u8]>) -> Scan {
        Scan {
            prefix: prefix.as_ref().to_vec(),
            after: Vec::new(),
            page: vec![0; PAGE_BYTES],
            at: 0,
            end: 0,
        }
    }
}

fn set(key: &[u8], value: &[u8], ttl_ms: i64) -> Result<(), StateError> {
    match abi::state_put(key, value, ttl_ms) {
        0 => Ok(()),
        -1 => Err(StateError::Key),
        -2 => Err(StateError::Value),
        -3 => Err(StateError::Entries),
        -4 => Err(StateError::Bytes),
        _ => Err(StateError::Call),
    }
}

/// Zero would be for good.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Entries in the order of their keys.
#[derive(Debug)]
#[must_use = "entries are read as they are asked for"]
pub struct Scan {
    prefix: Vec<u8>,
    /// The last key that was read; empty before the first.
    after: Vec<u8>,
    page: Vec<u8>,
    /// What of the page was not read yet.
    at: usize,
    end: usize,
}

impl Scan {
    /// Reads the next page; false at the end.
    fn turn(&mut self) -> bool {
        loop {
            let answer = abi::state_scan(&self.prefix, &self.after, &mut self.page);
            match usize::try_from(answer) {
                Ok(written) => {
                    (self.at, self.end) = (0, written);
                    return written > 0;
                }
                // The next entry needs so much.
                Err(_) => {
                    let needed = usize::try_from(answer.unsigned_abs());
                    self.page.resize(needed.unwrap_or(usize::MAX), 0);
                }
            }
        }
    }
}

impl Iterator for Scan {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.end && !self.turn() {
            return None;
        }
        let mut reader = Reader::new(self.page.get(self.at..self.end)?);
        let key = reader.sized().ok()?.to_vec();
        let value = reader.sized().ok()?.to_vec();
        self.at = self.end - reader.rest().len();
        self.after.clone_from(&key);
        Some((key, value))
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => write!(f, "a key has 1 to {KEY_BYTES_MAX} bytes"),
            Self::Value => write!(f, "a value has at most {VALUE_BYTES_MAX} bytes"),
            Self::Entries => f.write_str("the state has as many entries as it may have"),
            Self::Bytes => f.write_str("the state has as many bytes as it may have"),
            Self::Call => write!(
                f,
                "one call may write at most {CALL_BYTES_MAX} bytes of state"
            ),
        }
    }
}

impl std::error::Error for StateError {}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::message(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clear_state, pass_time};

    fn text(entry: (Vec<u8>, Vec<u8>)) -> (String, String) {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(entry.0), text(entry.1))
    }

    #[test]
    fn what_was_put_is_there_until_it_is_deleted() {
        clear_state();
        assert_eq!(State::get("a"), None);
        State::put("a", "1").unwrap();
        State::put("a", "").unwrap();
        assert_eq!(State::get("a"), Some(Vec::new()));
        let long = vec![7; VALUE_BYTES_MAX];
        State::put("a", &long).unwrap();
        assert_eq!(State::get("a"), Some(long));
        assert_eq!(
            (State::delete("a"), State::delete("a"), State::get("a")),
            (true, false, None)
        );
    }

    #[test]
    fn what_was_put_for_some_time_expires() {
        clear_state();
        State::put_for("short", "1", Duration::from_nanos(1)).unwrap();
        State::put_for("long", "1", Duration::from_secs(60)).unwrap();
        State::put("for good", "1").unwrap();
        State::put_for("ever", "1", Duration::MAX).unwrap();
        pass_time(Duration::from_secs(59));
        let keys = |prefix| State::scan(prefix).map(text).map(|(key, _)| key);
        assert!(keys("").eq(["ever", "for good", "long"]));
        pass_time(Duration::from_secs(1));
        assert_eq!((State::get("long"), State::delete("long")), (None, false));
        assert!(keys("").eq(["ever", "for good"]));
        assert!(keys("f").eq(["for good"]));
    }

    #[test]
    fn json_is_read_as_it_was_put() {
        clear_state();
        State::put_json("a", &vec![1, 2]).unwrap();
        State::put_json_for("b", "text", Duration::from_secs(1)).unwrap();
        assert_eq!(State::get_json("a"), Ok(Some(vec![1, 2])));
        assert_eq!(State::get_json("b"), Ok(Some("text".to_owned())));
        assert_eq!(State::get_json::<u8>("c"), Ok(None));
        let failure = State::get_json::<bool>("a").unwrap_err();
        assert!(failure.text().contains("expected a boolean"), "{failure}");
    }

    #[test]
    fn a_limit_that_is_hit_is_named() {
        clear_state();
        let long_key = vec![b'k'; KEY_BYTES_MAX + 1];
        let long_value = vec![0; VALUE_BYTES_MAX + 1];
        // (key, value, message)
        let rows: [(&[u8], &[u8], &str); 3] = [
            (b"", b"", "a key has 1 to 4096 bytes"),
            (&long_key, b"", "a key has 1 to 4096 bytes"),
            (b"k", &long_value, "a value has at most 1048576 bytes"),
        ];
        for (key, value, message) in rows {
            let failure = Failure::from(State::put(key, value).unwrap_err());
            assert_eq!((failure.code(), failure.text()), (0, message));
        }
        State::put(&long_key[1..], &long_value[1..]).unwrap();
    }

    #[test]
    fn a_scan_goes_through_pages_and_large_entries() {
        clear_state();
        let sizes = [0, 1, PAGE_BYTES, 3 * PAGE_BYTES, VALUE_BYTES_MAX, 2];
        for n in 0..2000 {
            let value = vec![b'v'; if n < sizes.len() { sizes[n] } else { 10 }];
            State::put(format!("a{n:04}"), value).unwrap();
        }
        State::put("b", "other").unwrap();
        let found: Vec<_> = State::scan("a").map(text).collect();
        assert_eq!(found.len(), 2000);
        for (n, (key, value)) in found.iter().enumerate() {
            assert_eq!(*key, format!("a{n:04}"));
            assert_eq!(value.len(), sizes.get(n).copied().unwrap_or(10));
        }
        // What is written meanwhile is seen, or not, but never twice.
        for (key, _) in State::scan("a") {
            assert!(State::delete(&key));
        }
        assert!(State::scan("").map(text).eq([("b".into(), "other".into())]));
    }
}
