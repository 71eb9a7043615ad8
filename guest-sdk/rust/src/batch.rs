//! One batch through a transform: every record gets its outputs, its failure, or is dropped.
//!
//! The same function serves the guest and native benchmarks and tests. It never holds more than
//! the record in work; what a failing record sent before is cut off the answer again.

use crate::frame::{FrameError, Reader};
use crate::output::{Outputs, put_failure};
use crate::{Record, Transform};

/// Runs a batch frame, appending the answer frame to `output`; `begin` is told the index of each
/// record before it is worked on.
///
/// # Errors
/// The input is not a batch frame.
#[inline]
pub fn process_batch<T: Transform>(
    transform: &mut T,
    input: &[u8],
    output: &mut Vec<u8>,
    mut begin: impl FnMut(u32),
) -> Result<(), FrameError> {
    let mut reader = Reader::new(input);
    let topic_len = reader.u16()?;
    let topic = std::str::from_utf8(reader.bytes(usize::from(topic_len))?);
    let topic = topic.map_err(|_| FrameError)?;
    let partition = reader.i32()?;
    let count = reader.u32()?;
    for index in 0..count {
        begin(index);
        let record = Record::read(&mut reader, topic, partition)?;
        let start = output.len();
        // In the node the host sees to it.
        #[cfg(not(target_family = "wasm"))]
        crate::testing::state::begin_record();
        let mut outputs = Outputs::new(output, T::OUTPUTS, index);
        if let Err(failure) = transform.transform(&record, &mut outputs) {
            output.truncate(start);
            put_failure(output, index, &failure);
            #[cfg(not(target_family = "wasm"))]
            crate::testing::state::discard_record();
        }
    }
    if reader.rest().is_empty() {
        Ok(())
    } else {
        Err(FrameError)
    }
}
