//! The store over both disks.

mod conforms;
mod faults;
mod races;

use std::path::Path;

use super::*;
use crate::sled::FreeSpace;
use crate::sled::real::RealDisk;
use crate::store::ReplayEntry;

/// What stores are opened with here.
fn options(streams: usize, durability: Durability) -> DiskOptions {
    DiskOptions {
        durability,
        disk_free_min: ByteSize(0),
        streams,
        segment_bytes: ByteSize::mib(1),
        scrub_interval: std::time::Duration::ZERO,
        dirty_percent: 0,
    }
}

/// The disk of a data directory.
fn disk_in(dir: &Path, free_space: FreeSpace) -> Arc<RealDisk> {
    let disk = RealDisk::open(dir.join("log"), dir.join("aside"), free_space);
    Arc::new(disk.unwrap())
}

/// A store over what a disk holds.
fn started(disk: Arc<dyn Disk>, options: &DiskOptions, clock: Clock) -> DiskStore {
    let store = DiskStore::new(disk, options, clock);
    store.recover(&mut Nothing).unwrap();
    store
}

/// Derives nothing.
struct Nothing;

impl Replay for Nothing {
    fn derived(&mut self, _derived: Derived) -> bool {
        true
    }
    fn entry(&mut self, _key: PartitionKey, _entry: ReplayEntry<'_>) -> Option<Aborted> {
        None
    }
}
