//! Keeps segments that do not open aside, and tells how far their offsets went.
//!
//! Nothing is deleted: the directory moves to `aside/`. Where no `segment.json` tells the last
//! offset, the database's file is searched for the headers of batches, so that no offset is given
//! out a second time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use wstream_record::batch::BATCH_HEADER_BYTES;
use wstream_record::{Offset, TopicPartition};

use super::files::failed;
use crate::errors::StoreError;
use crate::store::SetAside;

/// Bytes of the file that are searched at one time.
const WINDOW_BYTES: usize = 1 << 20;
/// Offsets a segment can be thought to hold; what looks like more is no header.
const OFFSETS_MAX: i64 = 1 << 32;
/// Bytes a batch can be thought to have.
const BATCH_BYTES_MAX: u32 = 1 << 30;

#[derive(Debug)]
pub(super) struct Aside {
    dir: PathBuf,
    kept: Mutex<Vec<SetAside>>,
}

impl Aside {
    pub(super) fn new(dir: PathBuf) -> Self {
        let kept = Mutex::default();
        Self { dir, kept }
    }

    pub(super) fn list(&self) -> Vec<SetAside> {
        self.kept.lock().clone()
    }

    /// Moves a segment's directory aside and remembers it. `next` is the offset after its last
    /// record; without one it is looked for.
    pub(super) fn keep(
        &self,
        partition: &TopicPartition,
        segment: &Path,
        first: Offset,
        next: Option<Offset>,
        reason: String,
    ) -> Result<Offset, StoreError> {
        let next = match next {
            Some(next) => next,
            None => offset_after_headers(&segment.join("db"), first)
                .map_err(|e| failed("search", segment, &e))?,
        };
        let kept_at = self.keep_dir(segment, &format!("{partition}-{:020}", first.0))?;
        tracing::error!(
            %partition, %first, %next, kept_at = %kept_at.display(), reason,
            "a segment does not open: kept aside, the rest is served"
        );
        self.kept.lock().push(SetAside {
            partition: partition.clone(),
            first,
            next,
            kept_at,
            reason,
        });
        Ok(next)
    }

    /// Moves a directory aside, under `name` or, if that is taken, one that begins so.
    pub(super) fn keep_dir(&self, from: &Path, name: &str) -> Result<PathBuf, StoreError> {
        let mut target = self.dir.join(name);
        let mut copy = 1;
        while target.exists() {
            copy += 1;
            target = self.dir.join(format!("{name}.{copy}"));
        }
        let moved = fs::create_dir_all(&self.dir).and_then(|()| fs::rename(from, &target));
        moved.map_err(|e| failed("keep aside", from, &e))?;
        Ok(target)
    }
}

/// The offset after the highest that a batch header in the file names; `first` if there is none.
fn offset_after_headers(file: &Path, first: Offset) -> io::Result<Offset> {
    let mut file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(first),
        other => other?,
    };
    let mut next = first;
    let mut window = Vec::new();
    loop {
        let got = Read::by_ref(&mut file)
            .take(WINDOW_BYTES as u64)
            .read_to_end(&mut window)?;
        for header in window.windows(BATCH_HEADER_BYTES) {
            // Format 2, then the rest: most places fail here.
            if header[16] == 2
                && let Some(after) = plausible_next(header, first)
            {
                next = next.max(after);
            }
        }
        if got == 0 {
            return Ok(next);
        }
        let done = window.len().saturating_sub(BATCH_HEADER_BYTES - 1);
        window.drain(..done);
    }
}

/// The offset after the batch, if these bytes look like the header of one.
fn plausible_next(header: &[u8], first: Offset) -> Option<Offset> {
    let number = |from: usize| {
        let bytes = header.get(from..from + 4)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    let base = i64::from_be_bytes(header.get(..8)?.try_into().ok()?);
    let length = number(8)?.unsigned_abs();
    let attributes = u16::from_be_bytes(header.get(21..23)?.try_into().ok()?);
    let last_delta = number(23)?;
    let records = number(57)?;
    let plausible = (first.0..first.0.saturating_add(OFFSETS_MAX)).contains(&base)
        && (1..BATCH_BYTES_MAX).contains(&length)
        && attributes < 1 << 7
        && last_delta >= 0
        && records == last_delta + 1;
    plausible.then(|| Offset(base).plus(i64::from(records)))
}

#[cfg(test)]
mod tests {
    use wstream_record::LeaderEpoch;

    use super::*;
    use crate::testing::batch_of;

    #[test]
    fn the_highest_header_is_found_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        assert_eq!(offset_after_headers(&path, Offset(7)).unwrap(), Offset(7));
        for gap in [0, 1, WINDOW_BYTES - 30, WINDOW_BYTES + 5, 3 * WINDOW_BYTES] {
            let mut bytes = vec![0xa5; gap];
            for base in [7, 1_000, 20] {
                let batch = batch_of(3, 50, None).at(Offset(base), LeaderEpoch(0));
                bytes.extend_from_slice(batch.bytes());
            }
            fs::write(&path, &bytes).unwrap();
            let next = offset_after_headers(&path, Offset(7)).unwrap();
            assert_eq!(next, Offset(1_003), "gap {gap}");
        }
        fs::write(&path, vec![2; 100_000]).unwrap();
        assert_eq!(offset_after_headers(&path, Offset(7)).unwrap(), Offset(7));
    }
}
