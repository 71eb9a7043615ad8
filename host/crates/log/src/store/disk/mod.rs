//! Keeps logs on disk: a partition is a directory, its segments are sled databases in it.
//!
//! ```text
//! DATA/log/TOPIC-PARTITION/partition.json          log start, once it is above the first segment
//! DATA/log/TOPIC-PARTITION/BASE-OFFSET/            a segment: a sled database
//! DATA/log/TOPIC-PARTITION/BASE-OFFSET/segment.json   what a closed segment holds
//! DATA/aside/TOPIC-PARTITION-BASE-OFFSET/          a segment that did not open
//! ```
//!
//! A partition without records has no directory. Opening a partition opens no database if it was
//! closed cleanly, else only the newest one.

mod aside;
mod background;
pub(crate) mod database;
mod extent;
pub(crate) mod files;
mod partition;
mod segment;
mod slots;
mod space;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wstream_record::{Clock, TopicPartition};

use self::aside::Aside;
use self::files::{entries, failed, finish_removals, remove_dir};
use self::partition::DiskPartition;
use self::slots::OpenSlots;
use self::space::SpaceGuard;
use super::{LogStore, PartitionStore, SetAside};
use crate::config::{Durability, LogConfig};
use crate::errors::StoreError;
use crate::topic::TopicConfig;

/// Freed memory that may stay with the process, in each of the allocator's arenas.
const BUFFERS_KEPT_BYTES: usize = 16 << 20;

/// All partitions of a node, on disk.
#[derive(Debug)]
pub(crate) struct DiskStore {
    node: Arc<Node>,
}

/// What the partitions of a node share.
#[derive(Debug)]
struct Node {
    dir: PathBuf,
    durability: Durability,
    clock: Clock,
    slots: OpenSlots,
    space: SpaceGuard,
    aside: Aside,
}

impl DiskStore {
    /// Opens the store in the data directory `config.dir`.
    pub(crate) fn open(config: &LogConfig, clock: Clock) -> Result<Self, StoreError> {
        let dir = config.dir.join("log");
        fs::create_dir_all(&dir).map_err(|e| failed("create", &dir, &e))?;
        finish_removals(&dir)?;
        raise_file_limit();
        keep_freed_buffers();
        let free_space = config.free_space.clone();
        let space = SpaceGuard::new(free_space, dir.clone(), config.disk_free_min, clock.clone());
        let node = Node {
            dir,
            durability: config.durability,
            clock,
            slots: OpenSlots::new(config.segments_open_max, config.segments_open_bytes_max),
            space,
            aside: Aside::new(config.dir.join("aside")),
        };
        let node = Arc::new(node);
        Ok(Self { node })
    }

    /// Keeps directories aside that belong to none of `known`: a topic created under such a name
    /// would begin with records that are not its own.
    pub(crate) fn keep_strangers_aside(&self, known: &HashSet<String>) -> Result<(), StoreError> {
        for dir in entries(&self.node.dir)? {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            if dir.is_dir() && !known.contains(&*name) {
                let kept_at = self.node.aside.keep_dir(&dir, &name)?;
                tracing::warn!(
                    dir = %dir.display(), kept_at = %kept_at.display(),
                    "a directory belongs to no topic: kept aside"
                );
            }
        }
        Ok(())
    }
}

impl Node {
    fn partition_dir(&self, name: &TopicPartition) -> PathBuf {
        self.dir.join(name.to_string())
    }
}

impl LogStore for DiskStore {
    fn open(
        &self,
        name: &TopicPartition,
        config: &TopicConfig,
    ) -> Result<Box<dyn PartitionStore>, StoreError> {
        let node = Arc::clone(&self.node);
        let partition = DiskPartition::new(node, name.clone(), config.clone());
        Ok(Box::new(partition))
    }

    fn remove(&self, name: &TopicPartition) -> Result<(), StoreError> {
        remove_dir(&self.node.partition_dir(name))
    }

    fn set_aside(&self) -> Vec<SetAside> {
        self.node.aside.list()
    }
}

/// Lets the allocator keep freed buffers for the next write, which would else have to be given
/// back to the system and faulted in again for every byte appended. glibc raises the size from
/// which it does so to twice that of the largest block it has mapped and seen freed; other
/// allocators have no such rule, and this costs them nothing.
fn keep_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(
        BUFFERS_KEPT_BYTES / 2,
    )));
}

/// Lets the process open as many files as the system allows: each open segment needs two.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "could not raise the limit of open files");
        }
    }
}

/// Makes a new segment's names durable, as its contents are.
fn sync_new_segment(segment: &Path) -> Result<(), StoreError> {
    let sync = || -> std::io::Result<()> {
        fs::File::open(segment.join("conf"))?.sync_all()?;
        let mut dir = Some(segment);
        // The segment, the partition and the log.
        for _ in 0..3 {
            if let Some(path) = dir {
                files::sync_dir(path)?;
                dir = path.parent();
            }
        }
        Ok(())
    };
    sync().map_err(|e| failed("sync", segment, &e))
}
