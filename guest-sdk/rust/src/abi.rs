//! The `wstream_v1` boundary: the only file with `unsafe`, and all of it is here.
//!
//! `export!` gives a module its exports; the functions below call the host's imports. Off wasm
//! the imports are kept for [`testing`](crate::testing). `guest-sdk/ABI.md` is the normative text.
//!
//! No pointer from the host is ever followed: the host writes into the buffer that `wstream_alloc`
//! named, and the guest reads its own buffer after checking that it is the one meant.
#![expect(
    unsafe_code,
    reason = "imports, the volatile cursor and exported names; a SAFETY paragraph and a test each"
)]

use std::sync::atomic::AtomicU32;

use crate::failure::cut;
use crate::metric::Kind;
use crate::{Failure, Transform, process_batch};

/// Refuses a call as a whole.
const REFUSED: i64 = -1;

/// A buffer that once served a larger call than this is given back when a smaller one comes.
const BUFFER_BYTES_KEPT_MAX: usize = 8 << 20;

/// The index of the record in work; the host reads it after a trap and at every epoch.
static CURSOR: AtomicU32 = AtomicU32::new(u32::MAX);

/// What an instance holds between calls. Used by `export!`, not by transforms.
#[derive(Debug)]
pub struct Guest<T> {
    input: Vec<u8>,
    output: Vec<u8>,
    transform: Option<T>,
}

impl<T: Transform> Guest<T> {
    /// An instance before `wstream_init`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only the macro makes one")]
    pub const fn new() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            transform: None,
        }
    }

    /// The address of an input buffer of at least `len` bytes.
    pub fn alloc(&mut self, len: usize) -> usize {
        let oversized = self.input.len() > BUFFER_BYTES_KEPT_MAX && len <= BUFFER_BYTES_KEPT_MAX;
        if self.input.len() < len || oversized {
            // The old buffer goes first: both together may not fit the memory limit.
            self.input = Vec::new();
            self.input.resize(len, 0);
        }
        self.input.as_ptr().addr()
    }

    /// Makes the transform from its configuration; negative after `fail`.
    pub fn init(&mut self, address: usize, len: usize) -> i32 {
        std::panic::set_hook(Box::new(|panic| fail(0, &panic.to_string())));
        match self.make(address, len) {
            Ok(transform) => {
                self.transform = Some(transform);
                0
            }
            Err(failure) => {
                fail(failure.code(), failure.text());
                -1
            }
        }
    }

    /// Runs a batch: address and length of the answer, or -1 after `fail`.
    #[inline]
    pub fn process(&mut self, address: usize, len: usize) -> i64 {
        match self.answer(address, len) {
            Ok(answer) => pack(answer.as_ptr().addr(), answer.len()),
            Err(failure) => {
                fail(failure.code(), failure.text());
                REFUSED
            }
        }
    }

    fn make(&self, address: usize, len: usize) -> Result<T, Failure> {
        let config = given(&self.input, address, len)?;
        let config = serde_json::from_slice(config)
            .map_err(|error| Failure::message(format!("config: {error}")))?;
        T::new(config)
    }

    #[inline]
    fn answer(&mut self, address: usize, len: usize) -> Result<&[u8], Failure> {
        if self.output.capacity() > BUFFER_BYTES_KEPT_MAX && len <= BUFFER_BYTES_KEPT_MAX {
            self.output = Vec::new();
        }
        self.output.clear();
        let input = given(&self.input, address, len)?;
        let transform = self.transform.as_mut();
        let transform = transform.ok_or_else(|| Failure::message("wstream_init was not called"))?;
        process_batch(transform, input, &mut self.output, set_cursor)?;
        Ok(&self.output)
    }
}

/// The part of the buffer that the host says it has filled.
#[inline]
fn given(buffer: &[u8], address: usize, len: usize) -> Result<&[u8], Failure> {
    if address != buffer.as_ptr().addr() {
        return Err(Failure::message("not the buffer that wstream_alloc gave"));
    }
    let filled = buffer.get(..len);
    filled.ok_or_else(|| Failure::message("more bytes than wstream_alloc was asked for"))
}

/// Address and length in one i64, both unsigned: what `wstream_process` returns.
#[inline]
fn pack(address: usize, len: usize) -> i64 {
    (((address as u64) << 32) | (len as u64 & 0xffff_ffff)) as i64
}

/// The address of the cursor.
#[must_use]
pub fn cursor() -> usize {
    CURSOR.as_ptr().addr()
}

/// Stores the index of the record that is begun now.
#[inline]
fn set_cursor(index: u32) {
    // SAFETY: the pointer is to a static that lives as long as the program, is aligned for u32
    // and writable through it; a guest has one thread, so nobody else writes meanwhile (off wasm,
    // where tests have threads, nobody but `cursor_moves_to_the_record_in_work` looks). Volatile
    // because the host reads it behind the compiler's back when the record never returns.
    unsafe { CURSOR.as_ptr().write_volatile(index) }
}

/// The reason of the trap or refusal that follows.
pub(crate) fn fail(code: u16, message: &str) {
    let message = cut(message);
    imports::fail(i32::from(code), message);
}

pub(crate) fn log(level: i32, line: &str) {
    imports::log(level, line);
}

pub(crate) fn metric(kind: Kind, name: &str, value: f64) {
    imports::metric(kind, name, value);
}

pub(crate) fn now_ms() -> i64 {
    imports::now_ms()
}

pub(crate) fn state_get(key: &[u8], buffer: &mut [u8]) -> i64 {
    imports::state_get(key, buffer)
}

pub(crate) fn state_put(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
    imports::state_put(key, value, ttl_ms)
}

pub(crate) fn state_delete(key: &[u8]) -> bool {
    imports::state_delete(key)
}

pub(crate) fn state_scan(prefix: &[u8], after: &[u8], buffer: &mut [u8]) -> i64 {
    imports::state_scan(prefix, after, buffer)
}

#[cfg(target_family = "wasm")]
mod imports {
    use super::Kind;

    mod raw {
        #[link(wasm_import_module = "wstream_v1")]
        unsafe extern "C" {
            pub(super) fn log(level: i32, address: *const u8, len: usize);
            pub(super) fn metric(kind: i32, address: *const u8, len: usize, value: f64);
            pub(super) fn fail(code: i32, address: *const u8, len: usize);
            pub(super) safe fn now_ms() -> i64;
        }

        // The linker leaves out of a module what it does not call.
        #[link(wasm_import_module = "wstream_kv_v1")]
        unsafe extern "C" {
            pub(super) fn get(key: *const u8, key_len: usize, at: *mut u8, room: usize) -> i64;
            pub(super) fn put(
                key: *const u8,
                key_len: usize,
                value: *const u8,
                value_len: usize,
                ttl_ms: i64,
            ) -> i32;
            pub(super) fn delete(key: *const u8, key_len: usize) -> i32;
            pub(super) fn scan(
                prefix: *const u8,
                prefix_len: usize,
                after: *const u8,
                after_len: usize,
                at: *mut u8,
                room: usize,
            ) -> i64;
        }
    }

    pub(super) fn log(level: i32, line: &str) {
        // SAFETY: address and length are those of a live string; the host reads it and returns.
        unsafe { raw::log(level, line.as_ptr(), line.len()) }
    }

    pub(super) fn metric(kind: Kind, name: &str, value: f64) {
        // SAFETY: address and length are those of a live string; the host reads it and returns.
        unsafe { raw::metric(kind as i32, name.as_ptr(), name.len(), value) }
    }

    pub(super) fn fail(code: i32, message: &str) {
        // SAFETY: address and length are those of a live string; the host reads it and returns.
        unsafe { raw::fail(code, message.as_ptr(), message.len()) }
    }

    pub(super) fn now_ms() -> i64 {
        raw::now_ms()
    }

    pub(super) fn state_get(key: &[u8], buffer: &mut [u8]) -> i64 {
        let (at, room) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: addresses and lengths are those of live slices, the second of them ours alone;
        // the host reads the first, writes within the second and returns.
        unsafe { raw::get(key.as_ptr(), key.len(), at, room) }
    }

    pub(super) fn state_put(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
        let (value, len) = (value.as_ptr(), value.len());
        // SAFETY: addresses and lengths are those of live slices; the host reads them and returns.
        unsafe { raw::put(key.as_ptr(), key.len(), value, len, ttl_ms) }
    }

    pub(super) fn state_delete(key: &[u8]) -> bool {
        // SAFETY: address and length are those of a live slice; the host reads it and returns.
        unsafe { raw::delete(key.as_ptr(), key.len()) != 0 }
    }

    pub(super) fn state_scan(prefix: &[u8], after: &[u8], buffer: &mut [u8]) -> i64 {
        let (from, from_len) = (after.as_ptr(), after.len());
        let (at, room) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: addresses and lengths are those of live slices, the last of them ours alone; the
        // host reads the others, writes within that and returns.
        unsafe { raw::scan(prefix.as_ptr(), prefix.len(), from, from_len, at, room) }
    }
}

#[cfg(not(target_family = "wasm"))]
mod imports {
    pub(super) use crate::testing::host::{fail, log, metric, now_ms};
    pub(super) use crate::testing::state::{state_delete, state_get, state_put, state_scan};
}

/// Makes a type that implements [`Transform`](crate::Transform) the transform of this module.
///
/// Off wasm it does nothing, so that several transforms can be linked into one test.
#[macro_export]
macro_rules! export {
    ($transform:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use std::cell::RefCell;

            std::thread_local! {
                static GUEST: RefCell<$crate::abi::Guest<$transform>> =
                    const { RefCell::new($crate::abi::Guest::new()) };
            }

            // SAFETY: the names are the ABI's, which no other crate of a module exports; a
            // second `export!` in one module is an error of the linker, not a wrong call.
            #[unsafe(no_mangle)]
            extern "C" fn wstream_abi_v1() {}

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            extern "C" fn wstream_alloc(len: usize) -> usize {
                GUEST.with_borrow_mut(|guest| guest.alloc(len))
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            extern "C" fn wstream_init(address: usize, len: usize) -> i32 {
                GUEST.with_borrow_mut(|guest| guest.init(address, len))
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            extern "C" fn wstream_cursor() -> usize {
                $crate::abi::cursor()
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            extern "C" fn wstream_process(address: usize, len: usize) -> i64 {
                GUEST.with_borrow_mut(|guest| guest.process(address, len))
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestRecord, batch_frame, failed, read_answer};
    use crate::{NoConfig, Output, Outputs, Record};

    /// Sends the cursor as it stands while a record is in work.
    struct Cursor;

    impl Transform for Cursor {
        type Config = NoConfig;

        fn new(_: NoConfig) -> Result<Self, Failure> {
            Ok(Self)
        }

        fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
            let at = CURSOR
                .load(std::sync::atomic::Ordering::Relaxed)
                .to_string();
            out.send(Output::of(record).value(&at));
            Ok(())
        }
    }

    fn fill(guest: &mut Guest<Cursor>, bytes: &[u8]) -> usize {
        let address = guest.alloc(bytes.len());
        guest.input[..bytes.len()].copy_from_slice(bytes);
        address
    }

    #[test]
    fn the_cursor_is_at_the_record_in_work() {
        let mut guest = Guest::<Cursor>::new();
        let address = fill(&mut guest, b"{}");
        assert_eq!(guest.init(address, 2), 0);
        for count in [3, 1] {
            let frame = batch_frame(&vec![TestRecord::default(); count]);
            let address = fill(&mut guest, &frame);
            let answer = guest.answer(address, frame.len()).unwrap();
            let answers = read_answer(answer, count, &["default"]).unwrap();
            let seen: Vec<_> = answers
                .iter()
                .map(super::super::testing::Answer::value)
                .collect();
            assert_eq!(seen, (0..count).map(|n| n.to_string()).collect::<Vec<_>>());
        }
        assert_eq!(cursor(), CURSOR.as_ptr().addr());
    }

    #[test]
    fn calls_that_do_not_fit_are_refused_with_the_reason() {
        let mut guest = Guest::<Cursor>::new();
        let frame = batch_frame(&[TestRecord::default()]);
        let address = fill(&mut guest, &frame);
        assert_eq!(guest.process(address, frame.len()), REFUSED);
        assert_eq!(
            failed(),
            Some((0, "wstream_init was not called".to_owned()))
        );
        let address = fill(&mut guest, b"{\"a\":1}");
        assert_eq!(guest.init(address, 7), -1);
        assert!(failed().unwrap().1.starts_with("config: unknown field `a`"));
        let address = fill(&mut guest, b"{}");
        assert_eq!(guest.init(address, 2), 0);
        // (address, length, reason)
        let rows = [
            (address + 1, 1, "not the buffer"),
            (address, guest.input.len() + 1, "more bytes"),
            (address, 1, "the frame ends"),
        ];
        for (address, len, reason) in rows {
            assert_eq!(guest.process(address, len), REFUSED);
            assert!(failed().unwrap().1.contains(reason), "{reason}");
        }
    }

    #[test]
    fn buffers_are_reused_and_large_ones_given_back() {
        let mut guest = Guest::<Cursor>::new();
        let address = guest.alloc(1000);
        assert_eq!((guest.alloc(10), guest.alloc(1000)), (address, address));
        guest.alloc(BUFFER_BYTES_KEPT_MAX + 1);
        assert!(guest.input.len() > BUFFER_BYTES_KEPT_MAX);
        guest.alloc(10);
        assert_eq!(guest.input.len(), 10);
    }

    #[test]
    fn address_and_length_share_one_number() {
        assert_eq!(
            pack(0x8000_0010, 0x7fff_ffff),
            0x8000_0010_7fff_ffff_u64 as i64
        );
        assert_ne!(pack(u32::MAX as usize, 1), REFUSED);
    }
}
