//! Buffers for output frames, used again once nobody holds a slice of them: a new one for every
//! call would come from the kernel page by page, and go back.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Buffers kept; the sinks of a pipeline hold on to a few frames at a time.
const BUFFERS_KEPT_MAX: usize = 8;
/// Larger ones are not kept: a call's records are a mebibyte, and outputs seldom twice that.
const BUFFER_BYTES_KEPT_MAX: usize = 2 << 20;

/// The buffers of one instance.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// A copy of bytes; the buffer comes back when the last slice of it has gone.
    pub(crate) fn copy(&self, bytes: &[u8]) -> Bytes {
        let mut buffer = self.take();
        buffer.extend_from_slice(bytes);
        self.lend(buffer)
    }

    /// An empty buffer, as large as one that was used before.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// The bytes of a buffer; it comes back when the last slice of them has gone.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent {
            buffer,
            pool: Arc::clone(&self.0),
        })
    }
}

/// A buffer on loan.
struct Lent {
    buffer: Vec<u8>,
    pool: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
            return;
        }
        buffer.clear();
        let mut pool = self.pool.lock();
        if pool.len() < BUFFERS_KEPT_MAX {
            pool.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_holds_it() {
        let pool = Pool::default();
        let first = pool.copy(b"first");
        let slice = first.slice(1..3);
        drop(first);
        assert!(pool.0.lock().is_empty());
        assert_eq!(pool.copy(b"second"), "second");
        assert_eq!(slice, "ir");
        let place = slice.as_ptr();
        drop(slice);
        assert_eq!(pool.0.lock().len(), 2);
        let third = pool.copy(b"third");
        assert_eq!(third, "third");
        assert_eq!(place, third.slice(1..).as_ptr());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = Pool::default();
        let many: Vec<_> = (0..50).map(|_| pool.copy(b"x")).collect();
        let large = pool.copy(&vec![0; BUFFER_BYTES_KEPT_MAX + 1]);
        drop((many, large));
        assert_eq!(pool.0.lock().len(), BUFFERS_KEPT_MAX);
    }
}
