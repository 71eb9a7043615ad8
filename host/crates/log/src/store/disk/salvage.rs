//! Takes what counts of a segment that failed into a new one, value by value under the same numbers,
//! so that nothing behind them is ever found again, and no page that a failed sync left behind is
//! trusted.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::index::SegmentIndex;
use super::segment::{Segment, encode_seal, index_file, seal_file, segment_name};
use super::stream::Stream;
use crate::errors::StoreError;
use crate::sled::{Database, Fault, Sealed, Shape, Value};

impl Stream {
    /// Puts a new segment in the place of one that failed. What of it does not read is told.
    pub(super) fn salvage(&self, failed: &Arc<Segment>) -> Result<(), StoreError> {
        let disk = &*self.node.disk;
        let index = failed.index(disk);
        let index = index.map_err(|trouble| self.index_error(failed, trouble))?;
        if failed.damaged().is_some() && self.damage.keep(disk, failed).is_none() {
            self.keep_what_is_there(failed)?;
        }
        failed.close_database();
        let id = {
            let mut manifest = self.manifest.lock();
            manifest.next += 1;
            manifest.next - 1
        };
        let name = segment_name(&self.root, id);
        let copied = self.copy(failed, &index, &name);
        let (seal, whole) = match copied {
            Ok(done) => done,
            Err(fault) => {
                disk.remove(&name)?;
                return Err(self.close_error(failed, fault));
            }
        };
        let mut index = SegmentIndex::clone(&index);
        index.replaces = vec![failed.id];
        disk.write(&index_file(&name), &index.encode())?;
        disk.write(&seal_file(&name), &encode_seal(&seal))?;
        let segment = Arc::new(Segment::closed(&self.root, id, &index));
        segment.set_seal(seal.files);
        if !whole {
            segment.set_stuck();
            self.examine(failed, &index, "a value does not read");
        }
        let _upkeep = self.upkeep.lock();
        let old = [Arc::clone(failed)];
        self.list_instead(&old, vec![Arc::clone(&segment)])?;
        for held in self.partitions.read().values() {
            let mut held = held.lock();
            for span in &mut held.spans {
                if span.segment.id == failed.id {
                    span.segment = Arc::clone(&segment);
                    segment.live.fetch_add(span.bytes, Ordering::Relaxed);
                }
            }
            for known in &mut held.aborted {
                if known.segment.id == failed.id {
                    known.segment = Arc::clone(&segment);
                }
            }
        }
        self.remove_segments(&old)
    }

    /// Nothing damaged is removed before there is a copy of it.
    fn keep_what_is_there(&self, failed: &Segment) -> Result<(), StoreError> {
        let disk = &*self.node.disk;
        if disk.names(&failed.name)?.is_empty() {
            return Ok(());
        }
        let as_name = format!("segment-{}", failed.name.replace('/', "-"));
        disk.keep_aside(&failed.name, &as_name).map(|_path| ())
    }

    /// Copies the values that count; says whether all of them read.
    fn copy(
        &self,
        failed: &Segment,
        index: &SegmentIndex,
        to: &str,
    ) -> Result<(Sealed, bool), Fault> {
        let disk = &*self.node.disk;
        let database = disk.create(to, Shape::Large)?;
        let mut whole = index.values == 0;
        if index.values > 0 {
            match disk.open(&failed.name) {
                Ok(source) => whole = copy_values(&*source, &*database, index.values)?,
                Err(Fault::Failed(error)) => return Err(Fault::Failed(error)),
                // All of it is told as missing.
                Err(Fault::Broken(_)) => {}
            }
        }
        database.flush()?;
        database.sync()?;
        let values = database.values();
        drop(database);
        Ok((disk.seal(to, values).map_err(Fault::Failed)?, whole))
    }
}

/// Copies the values below `end`. In the place of one that does not read comes an empty one, which
/// reads as damaged.
fn copy_values(from: &dyn Database, to: &dyn Database, end: u32) -> Result<bool, Fault> {
    let mut next = 0;
    let mut whole = true;
    let mut failed = None;
    let mut look = |value: Result<Value, u32>| {
        let number = value.as_ref().map_or_else(|&n| n, |value| value.number);
        if number >= end {
            return ControlFlow::Break(());
        }
        let mut put = || {
            while next < number {
                whole = false;
                to.put(&[], &[])?;
                next += 1;
            }
            match &value {
                Ok(value) => to.put(&value.head, &value.bytes)?,
                Err(_) => {
                    whole = false;
                    to.put(&[], &[])?
                }
            };
            next += 1;
            Ok(())
        };
        match put() {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                failed = Some(fault);
                ControlFlow::Break(())
            }
        }
    };
    from.each(0, &mut look)?;
    match failed {
        Some(fault) => Err(fault),
        None => Ok(whole && next == end),
    }
}
