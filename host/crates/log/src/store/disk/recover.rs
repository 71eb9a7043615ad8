//! Finds out what a stream holds when it opens.
//!
//! Segments before the newest snapshot that reads are known by their indexes; what came behind it is
//! read, checked and shown to `Replay`. What was found is synced before anything is built on it.
//! Where a partition goes on above the end that was known, and nothing says that this is right, the
//! offsets between are missing, which is told. Where the tail of a segment is lost and nobody can say
//! which offsets it held, the stream goes on far behind them, so that none is given out twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::Offset;

use super::held::Span;
use super::index::SegmentIndex;
use super::manifest::{BEHIND_ALL, Found, Listed, Manifest};
use super::replay::Replayed;
use super::segment::{
    Segment, Trouble, decode_seal, open, seal_file, segment_id, segment_name, stored_counts,
    stored_index,
};
use super::snapshot::{self, Snapshot};
use super::stream::Stream;
use crate::errors::StoreError;
use crate::sled::{Disk, Fault};
use crate::store::{Aborted, PartitionKey, Recovered, Replay, ReplayEntry};

impl Stream {
    /// As `LogStore::recover`.
    pub(super) fn recover(&self, replay: &mut dyn Replay) -> Result<Vec<Recovered>, StoreError> {
        let disk = &*self.node.disk;
        disk.remove_leftovers(&self.root)?;
        let manifest = self.read_manifest(disk)?;
        let is_listed = |id| manifest.segments.iter().any(|listed| listed.id == id);
        self.damage.load(disk, &self.root, is_listed)?;
        let (snapshot, from) = self.choose_snapshot(disk, &manifest, replay)?;
        let mut segments = Vec::new();
        for listed in &manifest.segments[..from] {
            let segment = if listed.closed {
                self.know(disk, listed, replay)?
            } else {
                // A kill came before it was closed. The snapshot says where partitions end.
                // And what they aborted: its index was not stored.
                self.replay_segment(disk, listed, &mut Unheard::default())?
                    .0
            };
            segments.push(segment);
        }
        if let Some(snapshot) = snapshot {
            self.take_marks(&snapshot.marks);
            for (key, ranges) in snapshot.aborted {
                ranges.into_iter().for_each(|r| self.note_aborted(key, r));
            }
        }
        let mut lost = Vec::new();
        for listed in &manifest.segments[from..] {
            let (segment, lost_tail) = self.replay_segment(disk, listed, replay)?;
            lost.extend(lost_tail.then_some(listed.id));
            segments.push(segment);
        }
        *self.segments.write() = segments;
        *self.manifest.lock() = manifest;
        self.pass_over_again();
        self.pass_over_lost(&lost)?;
        self.tell_holes();
        let keys: Vec<PartitionKey> = self.partitions.read().keys().copied().collect();
        self.started.lock().extend(&keys);
        keys.into_iter().for_each(|key| self.recount(key));
        Ok(self.marks())
    }

    fn read_manifest(&self, disk: &dyn Disk) -> Result<Manifest, StoreError> {
        let names = disk.names(&self.root)?;
        match Manifest::read(disk, &self.root)? {
            Found::Whole(manifest) => {
                self.remove_unlisted(disk, &manifest, &names)?;
                Ok(manifest)
            }
            Found::Nothing if names.iter().all(|name| segment_id(name).is_none()) => {
                let manifest = Manifest::default();
                manifest.write(disk, &self.root)?;
                Ok(manifest)
            }
            Found::Nothing => self.rebuild_manifest(disk, &names, "it is not there"),
            Found::Damaged(reason) => self.rebuild_manifest(disk, &names, reason),
        }
    }

    fn remove_unlisted(
        &self,
        disk: &dyn Disk,
        manifest: &Manifest,
        names: &[String],
    ) -> Result<(), StoreError> {
        let listed: HashSet<u64> = manifest.segments.iter().map(|listed| listed.id).collect();
        let derived: HashSet<u64> = manifest.derived.iter().map(|d| d.file).collect();
        for name in names {
            let wanted = match name.strip_prefix("derived.") {
                Some(before) => before.parse().is_ok_and(|id| derived.contains(&id)),
                None => segment_id(name).is_none_or(|id| listed.contains(&id)),
            };
            if !wanted {
                tracing::debug!(
                    stream = self.root,
                    name,
                    "removed what the manifest does not list"
                );
                disk.remove(&format!("{}/{name}", self.root))?;
            }
        }
        Ok(())
    }

    /// Lists the segments that are there, without those that another one took the place of.
    fn rebuild_manifest(
        &self,
        disk: &dyn Disk,
        names: &[String],
        reason: &str,
    ) -> Result<Manifest, StoreError> {
        tracing::error!(
            stream = self.root,
            reason,
            "the list of segments does not read: it is made anew from what is there"
        );
        let mut manifest = Manifest::default();
        let mut replaced = HashSet::new();
        let mut placed = Vec::new();
        for name in names.iter().filter(|name| !name.contains('.')) {
            let Some(id) = segment_id(name) else { continue };
            manifest.next = manifest.next.max(id + 1);
            let index = stored_index(disk, &segment_name(&self.root, id)).ok();
            let place = index
                .as_ref()
                .and_then(|index| index.replaces.iter().min().copied());
            if let Some(index) = &index {
                replaced.extend(index.replaces.iter().copied());
            }
            placed.push((place.unwrap_or(id), id, index.is_some()));
        }
        // A settled segment stands where the first that it replaces stood.
        placed.sort_unstable();
        let kept = placed.iter().filter(|(_, id, _)| !replaced.contains(id));
        manifest.segments = kept
            .map(|&(_, id, closed)| Listed {
                id,
                closed,
                values: stored_counts(disk, &segment_name(&self.root, id)),
            })
            .collect();
        let derived = names
            .iter()
            .filter_map(|name| name.strip_prefix("derived."));
        let derived = derived.filter_map(|before| before.parse::<u64>().ok());
        let mut derived: Vec<u64> = derived.collect();
        derived.sort_unstable();
        // One whose segment was replaced has lost its place.
        for file in derived {
            manifest.next = manifest.next.max(file + 1);
            let before = manifest.segments.iter().any(|listed| listed.id == file);
            let behind = manifest.segments.iter().all(|listed| listed.id < file);
            if before {
                manifest.add_derived(file, file);
            } else if behind {
                manifest.add_derived(file, BEHIND_ALL);
            }
        }
        manifest.write(disk, &self.root)?;
        Ok(manifest)
    }

    /// The newest snapshot that reads, and the place of the first segment behind it.
    fn choose_snapshot(
        &self,
        disk: &dyn Disk,
        manifest: &Manifest,
        replay: &mut dyn Replay,
    ) -> Result<(Option<Snapshot>, usize), StoreError> {
        for &derived in manifest.derived.iter().rev() {
            let Some(place) = manifest.place_behind(derived) else {
                continue;
            };
            let file = snapshot::file(&self.root, derived.file);
            let bytes = disk.read(&file)?.unwrap_or_default();
            match Snapshot::decode(&bytes) {
                Ok(mut snapshot) => {
                    if replay.derived(std::mem::take(&mut snapshot.derived)) {
                        return Ok((Some(snapshot), place));
                    }
                    tracing::error!(file, "a snapshot of what is derived does not read");
                }
                Err(reason) => {
                    tracing::error!(file, reason, "a snapshot of what is derived is damaged");
                }
            }
        }
        if !manifest.derived.is_empty() {
            tracing::error!(
                stream = self.root,
                "no snapshot reads: every segment is read, which takes a while"
            );
        }
        Ok((None, 0))
    }

    /// Takes up a segment by its index.
    fn know(
        &self,
        disk: &dyn Disk,
        listed: &Listed,
        replay: &mut dyn Replay,
    ) -> Result<Arc<Segment>, StoreError> {
        let name = segment_name(&self.root, listed.id);
        let index = match stored_index(disk, &name) {
            Ok(index) => index,
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Damaged(_) | Trouble::Removed) => {
                return self.read_anew(disk, listed, replay);
            }
        };
        let segment = Arc::new(Segment::closed(&self.root, listed.id, &index));
        self.take_index(&segment, &index);
        self.check_files(disk, &segment, &index)?;
        Ok(segment)
    }

    /// A segment whose index does not read: its values say what it holds.
    fn read_anew(
        &self,
        disk: &dyn Disk,
        listed: &Listed,
        replay: &mut dyn Replay,
    ) -> Result<Arc<Segment>, StoreError> {
        let again = Listed {
            closed: false,
            ..*listed
        };
        let mut unheard = Unheard::default();
        let (segment, _) = self.replay_segment(disk, &again, &mut unheard)?;
        // The index said what its markers aborted; now only all the batches together do.
        for key in unheard.marked {
            replay.entry(key, ReplayEntry::Incomplete);
        }
        if segment.damaged().is_none() {
            let missing = (None, Offset(0), Offset(0));
            let reason = "its index did not read; its records were found again";
            self.damage.in_segment(disk, &segment, missing, reason);
        }
        Ok(segment)
    }

    /// Compares a closed segment's files with its seal, by their lengths.
    fn check_files(
        &self,
        disk: &dyn Disk,
        segment: &Arc<Segment>,
        index: &SegmentIndex,
    ) -> Result<(), StoreError> {
        let stored = disk.read(&seal_file(&segment.name))?;
        let Some(seal) = stored.as_deref().and_then(decode_seal) else {
            let reason = "its seal does not read";
            self.examine(segment, index, reason);
            return Ok(());
        };
        let verified = disk.verify(&segment.name, &seal.files, false);
        segment.set_seal(seal.files);
        match verified {
            Ok(()) => Ok(()),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Broken(reason)) => {
                self.examine(segment, index, &reason);
                Ok(())
            }
        }
    }

    /// Reads every place of a segment that seems damaged, and tells which do not read. Its files are
    /// copied aside first.
    pub(super) fn examine(&self, segment: &Arc<Segment>, index: &SegmentIndex, reason: &str) {
        let disk = &*self.node.disk;
        let kept_at = self.damage.keep(disk, segment);
        tracing::error!(
            segment = segment.name, reason, kept_at = ?kept_at,
            "a segment's files are not what they were: all its records are read"
        );
        let gone = segment.opens(disk, &self.node.slots).err();
        if let Some(reason) = &gone {
            segment.give_up(reason.clone());
        }
        let mut lost = 0_usize;
        for (key, part) in &index.parts {
            // What lies together is told together.
            let mut run: Option<(Offset, Offset, String)> = None;
            let tell = |run: Option<(Offset, Offset, String)>| {
                let Some((first, next, why)) = run else {
                    return 0;
                };
                let missing = (Some(*key), first, next);
                self.damage.in_segment(disk, segment, missing, &why);
                1
            };
            for place in &part.places {
                let read = match &gone {
                    Some(reason) => Err(Trouble::Damaged(reason.clone())),
                    None => segment.batches(disk, &self.node.slots, place),
                };
                match (read, &mut run) {
                    (Err(Trouble::Damaged(_)), Some((_, next, _))) if *next == place.first => {
                        *next = place.next;
                    }
                    (Err(Trouble::Damaged(why)), _) => {
                        lost += tell(run.take());
                        run = Some((place.first, place.next, why));
                    }
                    _ => lost += tell(run.take()),
                }
            }
            lost += tell(run);
        }
        if lost == 0 {
            let missing = (None, Offset(0), Offset(0));
            let reason = format!("{reason}; every record of it still reads");
            self.damage.in_segment(disk, segment, missing, &reason);
        }
    }

    /// Takes up what a closed segment says of its partitions.
    fn take_index(&self, segment: &Arc<Segment>, index: &SegmentIndex) {
        let mut live = 0;
        for (key, part) in &index.parts {
            let fresh = self.held(*key).is_none();
            let held = self.held_or_new(*key);
            let mut held = held.lock();
            if fresh {
                held.start = part.begins;
                held.end = part.begins;
            } else if held.end < part.begins && !part.reset {
                self.hole(*key, held.end, part.begins);
            }
            if part.reset {
                self.is_cut(*key, Offset(i64::MIN));
                held.reset(part.begins);
            } else if let Some(cut) = part.cut {
                self.is_cut(*key, cut);
                held.truncate(cut);
            }
            for stretch in part.stretches() {
                live += stretch.bytes;
                held.push_span(Span::of(segment, stretch));
            }
            segment.live.store(live, Ordering::Relaxed);
            held.end = part.end;
            held.take_aborted(segment, &part.aborted);
            if let Some(start) = part.start {
                held.raise_start(start);
            }
            if let Some(at) = part.high_watermark {
                held.high_watermark = at;
            }
            let gone = part.gone;
            live = segment.live.load(Ordering::Relaxed);
            drop(held);
            if gone {
                self.drop_partition(*key);
                live = segment.live.load(Ordering::Relaxed);
            }
        }
    }

    pub(super) fn drop_partition(&self, key: PartitionKey) {
        let held = self.partitions.write().remove(&key);
        if let Some(held) = held {
            held.lock().reset(Offset(0));
        }
    }

    pub(super) fn hole(&self, key: PartitionKey, first: Offset, next: Offset) {
        self.suspected.lock().push((key, first, next));
    }

    /// The log was cut at `end`: what is missing above was gone anyway.
    pub(super) fn is_cut(&self, key: PartitionKey, end: Offset) {
        self.suspected.lock().retain_mut(|(of, first, next)| {
            if *of == key {
                *next = end.min(*next);
            }
            first < next
        });
    }

    /// Tells of the offsets that no segment holds, unless the log has been found to start above them.
    fn tell_holes(&self) {
        let reason = "no segment holds them: a power cut or a lost segment took them";
        for (key, first, next) in std::mem::take(&mut *self.suspected.lock()) {
            let start = self.held(key).map_or(next, |held| held.lock().start);
            let missing = (Some(key), first.max(start), next);
            if missing.1 < next {
                self.damage.add(missing, None, None, reason);
            }
        }
    }

    /// The snapshot says which partitions there are, and where they begin and end.
    fn take_marks(&self, marks: &[Recovered]) {
        let known: HashSet<PartitionKey> = marks.iter().map(|marks| marks.key).collect();
        let held: Vec<PartitionKey> = self.partitions.read().keys().copied().collect();
        for key in held {
            if !known.contains(&key) {
                self.drop_partition(key);
            }
        }
        for marks in marks {
            let fresh = self.held(marks.key).is_none();
            let held = self.held_or_new(marks.key);
            let mut held = held.lock();
            if fresh {
                held.end = marks.start;
            } else if marks.start < held.start {
                self.hole(marks.key, marks.start, held.start);
            }
            if held.end < marks.end {
                self.hole(marks.key, held.end.max(marks.start), marks.end);
            }
            held.start = held.start.min(marks.start);
            held.raise_start(marks.start);
            held.end = held.end.max(marks.end);
            held.high_watermark = marks.high_watermark;
        }
    }

    /// Reads a segment from its values and shows what it holds. Says whether its tail is lost.
    fn replay_segment(
        &self,
        disk: &dyn Disk,
        listed: &Listed,
        replay: &mut dyn Replay,
    ) -> Result<(Arc<Segment>, bool), StoreError> {
        let name = segment_name(&self.root, listed.id);
        let begun = self.node.clock.now();
        let database = match open(disk, &name, listed.closed) {
            Ok(database) => database,
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Broken(reason)) => {
                let segment = Arc::new(Segment::live(&self.root, listed.id, begun, None));
                let missing = (None, Offset(0), Offset(0));
                self.damage.in_segment(disk, &segment, missing, &reason);
                segment.give_up(reason);
                return Ok((segment, !listed.closed));
            }
        };
        let segment = Arc::new(Segment::live(&self.root, listed.id, begun, None));
        let stored = match stored_index(disk, &name) {
            Ok(index) => Some(index).filter(|_| listed.closed),
            Err(Trouble::Damaged(_) | Trouble::Removed) => None,
            Err(Trouble::Failed(error)) => return Err(error),
        };
        let settled = stored.clone().filter(|index| index.settled);
        let is_settled = settled.is_some();
        let mut replayed = Replayed {
            stream: self,
            segment: &segment,
            replay,
            index: SegmentIndex::default(),
            settled: settled.unwrap_or_default(),
            skips: HashMap::new(),
            broken: Vec::new(),
        };
        replayed.before();
        let values = replayed.run(&*database, listed.values)?;
        stored.iter().for_each(|index| replayed.take_aborted(index));
        replayed.after();
        let mut broken = std::mem::take(&mut replayed.broken);
        let wanted = stored
            .as_ref()
            .map(|stored| stored.values)
            .or(listed.values);
        broken.extend(values..wanted.unwrap_or(values));
        if let (Some(stored), false, false) = (&stored, is_settled, broken.is_empty()) {
            replayed.take_ends(stored);
        }
        let mut index = replayed.index;
        index.settled = is_settled;
        index.begun = begun;
        index.values = values;
        database.sync().map_err(|fault| match fault {
            Fault::Failed(error) => error,
            Fault::Broken(reason) => StoreError::damaged(disk.path(&name), &reason),
        })?;
        let bytes = index.bytes();
        segment.bytes.store(bytes, Ordering::Relaxed);
        // What does not read may have held the last offsets of any partition.
        if stored.is_none() && values == 0 && broken.is_empty() {
            broken.push(0);
        }
        let mut lost_tail = stored.is_none() && !broken.is_empty();
        if listed.values.is_none() && !listed.closed {
            lost_tail |= self.is_cut_off(disk, &segment, database.values())?;
        }
        self.tell_broken(&segment, &broken);
        if listed.closed {
            drop(database);
            segment.closed_with(&index);
        } else {
            segment.grow(|live| *live = index);
            segment.put_database(database);
        }
        Ok((segment, lost_tail))
    }

    /// Tells of values that do not read; whose they are nobody knows.
    fn tell_broken(&self, segment: &Segment, broken: &[u32]) {
        for number in broken {
            let missing = (None, Offset(i64::from(*number)), Offset(i64::from(*number)));
            let reason = format!("value {number} does not read");
            self.damage
                .in_segment(&*self.node.disk, segment, missing, &reason);
        }
    }

    /// Whether the raw file of a segment shows that more was flushed than its database shows.
    fn is_cut_off(
        &self,
        disk: &dyn Disk,
        segment: &Segment,
        shown: u32,
    ) -> Result<bool, StoreError> {
        let behind = disk.search_raw(&segment.name, shown)?;
        let Some(behind) = behind.filter(|behind| behind.safe > shown) else {
            return Ok(false);
        };
        let reason = format!(
            "it holds at least {} values, but its database shows {shown} only",
            behind.safe
        );
        let missing = (None, Offset(0), Offset(0));
        self.damage.in_segment(disk, segment, missing, &reason);
        Ok(true)
    }
}

/// Nobody wants to know, but for which partitions have control batches.
#[derive(Default)]
struct Unheard {
    marked: HashSet<PartitionKey>,
}

impl Replay for Unheard {
    fn derived(&mut self, _derived: crate::store::Derived) -> bool {
        true
    }
    fn entry(&mut self, key: PartitionKey, entry: ReplayEntry<'_>) -> Option<Aborted> {
        if let ReplayEntry::Batch {
            control: Some(_), ..
        } = entry
        {
            self.marked.insert(key);
        }
        None
    }
}
