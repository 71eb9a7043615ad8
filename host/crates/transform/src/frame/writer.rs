//! Writes an output frame for modules whose boundary is not the frame: what they give out is then
//! checked and taken like any other module's.

use bytes::Bytes;

use super::Pool;

/// Record index, kind, output, partition and timestamp.
const OUTPUT_HEAD_BYTES: usize = 4 + 1 + 2 + 4 + 8;

/// A frame under way. Calls follow the layout in `guest-sdk/ABI.md` section 5.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    pool: Pool,
}

impl FrameWriter {
    /// Begins an output; key, value and headers follow.
    #[inline]
    pub(crate) fn output(
        &mut self,
        index: u32,
        output: u16,
        partition: Option<i32>,
        timestamp: Option<i64>,
    ) {
        let mut head = [0; OUTPUT_HEAD_BYTES];
        head[..4].copy_from_slice(&index.to_le_bytes());
        head[5..7].copy_from_slice(&output.to_le_bytes());
        head[7..11].copy_from_slice(&partition.unwrap_or(-1).to_le_bytes());
        head[11..].copy_from_slice(&timestamp.unwrap_or(i64::MIN).to_le_bytes());
        self.bytes.extend_from_slice(&head);
    }

    /// The key, then the value.
    pub(crate) fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.bytes.extend_from_slice(&(-1_i32).to_le_bytes()),
            Some(bytes) => {
                // Above 2 GiB the length reads as negative, and the frame is refused.
                self.length(bytes.len());
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// The headers; they end the output.
    pub(crate) fn headers<'b>(
        &mut self,
        headers: impl ExactSizeIterator<Item = (&'b [u8], Option<&'b [u8]>)>,
    ) {
        self.length(headers.len());
        for (name, value) in headers {
            self.length(name.len());
            self.bytes.extend_from_slice(name);
            self.nullable(value);
        }
    }

    /// The record failed.
    pub(crate) fn failure(&mut self, index: u32, code: u16, message: &[u8]) {
        self.bytes.extend_from_slice(&index.to_le_bytes());
        self.bytes.push(1);
        self.bytes.extend_from_slice(&code.to_le_bytes());
        self.length(message.len());
        self.bytes.extend_from_slice(message);
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Drops what was written after there were so many bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// The frame; the next one begins.
    pub(crate) fn finish(&mut self) -> Bytes {
        let full = std::mem::replace(&mut self.bytes, self.pool.take());
        self.pool.lend(full)
    }
}
