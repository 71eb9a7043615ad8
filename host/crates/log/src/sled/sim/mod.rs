//! The same in memory, for tests, with what a kill and a power cut leave of it and with faults. What
//! a seed leaves open is the same each time.
//!
//! A value that was put is gone with a kill, unless the seed keeps it; one that was flushed survives
//! a kill, one that was flushed and synced a power cut. What survives of a database is a prefix; now
//! and then its raw bytes hold values behind that. Small files are durable at once. After a sync
//! that failed no later one of that database counts, whatever it answers, until a kill.

mod database;
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use wstream_record::ByteSize;

use self::database::SimDatabase;
use super::{Behind, Database, Disk, Fault, FileSum, Value};
use super::{Sealed, Shape};
use crate::errors::StoreError;
use crate::testing::Random;

/// The files of a database here.
const FILES: [&str; 2] = ["conf", "db"];

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Put,
    Flush,
    /// Of a database, and `seal`.
    Sync,
    /// Of a small file.
    Write,
}

/// A directory in memory. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    databases: BTreeMap<String, Arc<Mutex<Model>>>,
    files: BTreeMap<String, Vec<u8>>,
    aside: Vec<String>,
    /// How many go well before one fails, and whether all that follow do so too.
    faults: BTreeMap<Step, (u32, bool)>,
    free: ByteSize,
    is_present: bool,
    /// How many changes go before what is left then is kept, and whether the power fails there.
    cut_after: Option<(u32, bool)>,
    cut: Option<SimDisk>,
}

/// A database.
#[derive(Debug, Clone, Default)]
struct Model {
    values: Vec<Stored>,
    flushed: usize,
    synced: usize,
    /// Whether its names are durable.
    is_named: bool,
    /// A sync failed: what was not synced is not made durable by another one.
    is_doubtful: bool,
    is_open: bool,
    is_lost: bool,
    behind: Option<Behind>,
    /// What was done to its files.
    changed: BTreeMap<String, u32>,
    removed: Vec<String>,
}

#[derive(Debug, Clone)]
struct Stored {
    value: Value,
    safe: u32,
    is_damaged: bool,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            databases: BTreeMap::new(),
            files: BTreeMap::new(),
            aside: Vec::new(),
            faults: BTreeMap::new(),
            free: ByteSize::gib(1_000),
            is_present: true,
            cut_after: None,
            cut: None,
        })))
    }

    /// Keeps what a kill, or with `power` a power cut, would leave after so many more changes, in the
    /// middle of whatever is done then. `take_cut` gives it.
    pub(crate) fn cut_after(&self, changes: u32, power: bool) {
        self.0.lock().cut_after = Some((changes, power));
    }

    /// Whether the moment of `cut_after` has come.
    pub(crate) fn has_cut(&self) -> bool {
        self.0.lock().cut.is_some()
    }

    /// What was left at the moment of `cut_after`; none if it has not come, and then it does not.
    pub(crate) fn take_cut(&self) -> Option<Self> {
        let mut state = self.0.lock();
        state.cut_after = None;
        state.cut.take()
    }

    fn changes(&self) {
        let due = {
            let mut state = self.0.lock();
            match &mut state.cut_after {
                Some((0, power)) => {
                    let power = *power;
                    state.cut_after = None;
                    Some(power)
                }
                Some((changes, _)) => {
                    *changes -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(power) = due {
            let cut = if power { self.power_cut() } else { self.kill() };
            self.0.lock().cut = Some(cut);
        }
    }

    /// What a kill leaves: all that was flushed, and what the seed leaves of the rest. Faults are
    /// healed. This one goes on as if nothing had been.
    pub(crate) fn kill(&self) -> Self {
        self.after(|model, random| {
            let unflushed = model.values.len() - model.flushed;
            let kept = model.flushed + random.below(unflushed + 1);
            model.cut(kept, random);
            model.flushed = kept;
            model.is_doubtful = false;
            true
        })
    }

    /// What a power cut leaves: all that was synced, and what the seed leaves of the rest.
    pub(crate) fn power_cut(&self) -> Self {
        self.after(|model, random| {
            let unsynced = model.flushed - model.synced;
            let kept = model.synced + random.below(unsynced + 1);
            model.cut(kept, random);
            model.flushed = kept;
            model.synced = kept;
            model.is_doubtful = false;
            std::mem::replace(&mut model.is_named, true) || random.below(2) == 0
        })
    }

    fn after(&self, mut cut: impl FnMut(&mut Model, &mut Random) -> bool) -> Self {
        let mut state = self.0.lock();
        let state = &mut *state;
        let mut databases = BTreeMap::new();
        for (name, model) in &state.databases {
            let mut model = model.lock().clone();
            model.is_open = false;
            if cut(&mut model, &mut state.random) {
                databases.insert(name.clone(), Arc::new(Mutex::new(model)));
            }
        }
        let seed = state.random.below(usize::MAX);
        Self(Arc::new(Mutex::new(State {
            random: Random::new(u64::try_from(seed).unwrap_or_default()),
            databases,
            files: state.files.clone(),
            aside: state.aside.clone(),
            faults: BTreeMap::new(),
            free: state.free,
            is_present: state.is_present,
            cut_after: None,
            cut: None,
        })))
    }

    /// Has a step fail after `well` of them, and with `lasting` all that follow, until `heal`.
    pub(crate) fn fail(&self, step: Step, well: u32, lasting: bool) {
        self.0.lock().faults.insert(step, (well, lasting));
    }

    /// Nothing fails any more. (A database that failed has to be opened again.)
    pub(crate) fn heal(&self) {
        self.0.lock().faults.clear();
    }

    pub(crate) fn set_free(&self, free: ByteSize) {
        self.0.lock().free = free;
    }

    /// The directory is gone.
    pub(crate) fn remove_root(&self) {
        self.0.lock().is_present = false;
    }

    /// How many values of a database are known to have been flushed, or synced, by what it holds.
    pub(crate) fn safe(&self, name: &str) -> u32 {
        self.with(name, |model| {
            model.values.iter().map(|v| v.safe).max().unwrap_or(0)
        })
    }

    /// How many values a database holds.
    pub(crate) fn values(&self, name: &str) -> u32 {
        self.with(name, |model| as_u32(model.values.len()))
    }

    /// Names of all small files.
    pub(crate) fn files(&self) -> Vec<String> {
        self.0.lock().files.keys().cloned().collect()
    }

    /// A value is not what was put.
    pub(crate) fn damage(&self, name: &str, number: u32) {
        self.with(name, |model| {
            let stored = model.values.iter_mut();
            for stored in stored.filter(|stored| stored.value.number == number) {
                stored.is_damaged = true;
            }
            model.change("db");
        });
    }

    /// A database does not open.
    pub(crate) fn lose(&self, name: &str) {
        self.with(name, |model| {
            model.is_lost = true;
            model.change("db");
        });
    }

    /// A database does not show the values from `number` on, though its raw bytes hold them.
    pub(crate) fn hide_from(&self, name: &str, number: u32) {
        self.with(name, |model| {
            model.hide(usize::try_from(number).unwrap_or(usize::MAX));
            model.change("db");
        });
    }

    /// A byte of a database's file is not what it was.
    pub(crate) fn change_file(&self, name: &str, file: &str) {
        self.with(name, |model| model.change(file));
    }

    /// A database's file is gone.
    pub(crate) fn remove_file(&self, name: &str, file: &str) {
        self.with(name, |model| model.removed.push(file.to_owned()));
    }

    /// Names of all databases.
    pub(crate) fn databases(&self) -> Vec<String> {
        self.0.lock().databases.keys().cloned().collect()
    }

    fn with<T>(&self, name: &str, look: impl FnOnce(&mut Model) -> T) -> T {
        let state = self.0.lock();
        let model = state.databases.get(name);
        let model = model.unwrap_or_else(|| panic!("there is no database {name}"));
        look(&mut model.lock())
    }

    fn model(&self, name: &str) -> Option<Arc<Mutex<Model>>> {
        self.0.lock().databases.get(name).cloned()
    }

    fn step(&self, step: Step, name: &str) -> Result<(), StoreError> {
        self.changes();
        self.0.lock().step(step, name)
    }
}

impl State {
    fn step(&mut self, step: Step, name: &str) -> Result<(), StoreError> {
        let Some((well, lasting)) = self.faults.get_mut(&step) else {
            return Ok(());
        };
        if *well > 0 {
            *well -= 1;
            return Ok(());
        }
        if !*lasting {
            self.faults.remove(&step);
        }
        Err(failed("work", name, "it was made to fail"))
    }

    fn exists(&self, name: &str) -> bool {
        let below = format!("{name}/");
        let mut names = self.databases.keys().chain(self.files.keys());
        names.any(|found| found == name || found.starts_with(&below))
    }
}

impl Model {
    fn change(&mut self, file: &str) {
        *self.changed.entry(file.to_owned()).or_default() += 1;
    }

    /// Keeps the first `kept` values, and now and then raw bytes of others behind a missing one.
    fn cut(&mut self, kept: usize, random: &mut Random) {
        let shown = self.values.len();
        if kept + 1 < shown && random.below(4) == 0 {
            let end = kept + 2 + random.below(shown - kept - 1);
            self.values.truncate(end);
            self.hide(kept);
        }
        self.values.truncate(kept);
        self.flushed = self.flushed.min(kept);
        self.synced = self.synced.min(kept);
    }

    fn hide(&mut self, from: usize) {
        if from < self.values.len() {
            self.behind = Some(Behind {
                values: as_u32(self.values.len()),
                safe: self.values.iter().map(|v| v.safe).max().unwrap_or(0),
            });
        }
        self.values.truncate(from);
        self.flushed = self.flushed.min(from);
        self.synced = self.synced.min(from);
    }

    fn sums(&self) -> Vec<FileSum> {
        let files = FILES
            .iter()
            .filter(|file| !self.removed.iter().any(|r| r == *file));
        files.map(|file| self.sum(file)).collect()
    }

    fn sum(&self, file: &str) -> FileSum {
        let changes = self.changed.get(file).copied().unwrap_or(0);
        let (mut bytes, mut crc) = (16, crc32c::crc32c(&changes.to_be_bytes()));
        if file == "db" {
            for Stored { value, .. } in &self.values {
                bytes += value.head.len() + value.bytes.len();
                crc = crc32c::crc32c_append(crc, &value.head);
                crc = crc32c::crc32c_append(crc, &value.bytes);
            }
        }
        FileSum {
            name: file.to_owned(),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            crc,
        }
    }

    fn shown(&self, place: usize) -> Option<Result<Value, u32>> {
        let stored = self.values.get(place)?;
        Some(if stored.is_damaged {
            Err(stored.value.number)
        } else {
            Ok(stored.value.clone())
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, _shape: Shape) -> Result<Box<dyn Database>, Fault> {
        self.changes();
        let mut state = self.0.lock();
        if state.exists(name) || !state.is_present {
            return Err(Fault::Failed(failed("create", name, "it is there")));
        }
        let model = Arc::new(Mutex::new(Model {
            is_open: true,
            ..Model::default()
        }));
        state.databases.insert(name.to_owned(), Arc::clone(&model));
        drop(state);
        Ok(SimDatabase::boxed(self, name, model, true))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Database>, Fault> {
        let gone = || Fault::Broken("its file db is not there".to_owned());
        let model = self.model(name).ok_or_else(gone)?;
        {
            let mut model = model.lock();
            if model.removed.iter().any(|file| file == "db") {
                return Err(gone());
            }
            if model.is_open {
                return Err(Fault::Failed(failed("open", name, "it is open")));
            }
            if model.is_lost {
                return Err(Fault::Broken("it is lost".to_owned()));
            }
            model.is_open = true;
        }
        Ok(SimDatabase::boxed(self, name, model, false))
    }

    fn seal(&self, name: &str, values: u32) -> Result<Sealed, StoreError> {
        self.step(Step::Sync, name)?;
        let gone = || failed("seal", name, "it is not there");
        let model = self.model(name).ok_or_else(gone)?;
        let mut model = model.lock();
        if model.is_open {
            return Err(failed("seal", name, "it is open"));
        }
        if model.is_lost || model.removed.iter().any(|file| file == "db") {
            return Err(StoreError::damaged(self.path(name), &"it does not open"));
        }
        let wanted = usize::try_from(values).ok();
        let wanted = wanted.and_then(|values| model.values.get(..values));
        if wanted.is_none_or(|values| values.iter().any(|value| value.is_damaged)) {
            return Err(StoreError::damaged(
                self.path(name),
                &"not all values are there",
            ));
        }
        if !model.is_doubtful {
            model.synced = model.values.len();
            model.is_named = true;
        }
        Ok(Sealed {
            files: model.sums(),
            places: Vec::new(),
        })
    }

    fn open_sealed(&self, name: &str, _places: &[u8]) -> Result<Box<dyn Database>, Fault> {
        self.open(name)
    }

    fn verify(&self, name: &str, seal: &[FileSum], contents: bool) -> Result<(), Fault> {
        let found = self.model(name).map(|model| model.lock().sums());
        let found = found.unwrap_or_default();
        for sealed in seal {
            let differs = match found.iter().find(|file| file.name == sealed.name) {
                None => Some("is not there"),
                Some(file) if file.bytes != sealed.bytes => Some("has another length"),
                Some(file) if contents && file != sealed => Some("was changed"),
                Some(_) => None,
            };
            if let Some(how) = differs {
                return Err(Fault::Broken(format!("{} {how}", sealed.name)));
            }
        }
        match found
            .iter()
            .find(|file| seal.iter().all(|s| s.name != file.name))
        {
            Some(file) => Err(Fault::Broken(format!("{} does not belong", file.name))),
            None => Ok(()),
        }
    }

    fn search_raw(&self, name: &str, shown: u32) -> Result<Option<Behind>, StoreError> {
        let Some(model) = self.model(name) else {
            return Ok(None);
        };
        let model = model.lock();
        let whole = model.values.iter().filter(|stored| !stored.is_damaged);
        let held = whole.fold(Behind { values: 0, safe: 0 }, |held, stored| Behind {
            values: stored.value.number + 1,
            safe: held.safe.max(stored.safe),
        });
        let held = model.behind.map_or(held, |behind| Behind {
            values: held.values.max(behind.values),
            safe: held.safe.max(behind.safe),
        });
        Ok((held.values > shown).then_some(held))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().files.get(file).cloned())
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.changes();
        let mut state = self.0.lock();
        state.step(Step::Write, file)?;
        if !state.is_present {
            return Err(failed("write", file, "the directory is gone"));
        }
        state.files.insert(file.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.changes();
        let mut state = self.0.lock();
        let below = format!("{name}/");
        let stays = |found: &String| found != name && !found.starts_with(&below);
        state.databases.retain(|found, _| stays(found));
        state.files.retain(|found, _| stays(found));
        Ok(())
    }

    fn names(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        let state = self.0.lock();
        let below = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let names = state.databases.keys().chain(state.files.keys());
        let names = names.filter_map(|name| name.strip_prefix(&below)?.split('/').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn remove_leftovers(&self, _dir: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn keep_aside(&self, name: &str, as_name: &str) -> Result<PathBuf, StoreError> {
        let mut state = self.0.lock();
        if !state.exists(name) {
            return Err(failed("keep aside", name, "it is not there"));
        }
        let mut kept = as_name.to_owned();
        let mut copy = 1;
        while state.aside.contains(&kept) {
            copy += 1;
            kept = format!("{as_name}.{copy}");
        }
        state.aside.push(kept.clone());
        Ok(PathBuf::from("/sim-aside").join(kept))
    }

    fn free_space(&self) -> Result<ByteSize, StoreError> {
        Ok(self.0.lock().free)
    }

    fn is_present(&self) -> bool {
        self.0.lock().is_present
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/sim").join(name)
    }
}

fn failed(doing: &'static str, name: &str, reason: &str) -> StoreError {
    StoreError::failed(doing, PathBuf::from("/sim").join(name), &reason)
}

fn as_u32(values: usize) -> u32 {
    u32::try_from(values).unwrap_or(u32::MAX)
}
