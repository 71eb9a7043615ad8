//! Both disks make a store that does what every store does.

use parking_lot::Mutex;
use wstream_record::ManualClock;

use super::*;
use crate::sled::sim::{SimDisk, Step};
use crate::store::conformance::{self, Environment, Fault};
use crate::testing::copy_dir;

struct InSim {
    disk: Mutex<SimDisk>,
    clock: ManualClock,
    options: DiskOptions,
}

impl Environment for InSim {
    fn open(&self) -> Arc<dyn LogStore> {
        let disk = Arc::new(self.disk.lock().clone());
        Arc::new(DiskStore::new(disk, &self.options, self.clock.clock()))
    }

    fn kill(&self) {
        let mut disk = self.disk.lock();
        *disk = disk.kill();
    }

    fn fail_next(&self, fault: Fault) {
        let step = match fault {
            Fault::DiskFull | Fault::Write => Step::Put,
            Fault::Flush => Step::Flush,
        };
        self.disk.lock().fail(step, 0, false);
    }
}

#[test]
fn a_simulated_disk_conforms() {
    for (streams, durability) in [(1, Durability::Process), (3, Durability::Disk)] {
        conformance::suite(&|clock| {
            Box::new(InSim {
                disk: Mutex::new(SimDisk::new(7)),
                clock: clock.clone(),
                options: options(streams, durability),
            })
        });
    }
}

#[test]
fn the_number_of_streams_never_changes() {
    let disk = SimDisk::new(1);
    let open = |streams| {
        let options = options(streams, Durability::Process);
        let clock = ManualClock::default().clock();
        let store = DiskStore::new(Arc::new(disk.clone()), &options, clock);
        store.recover(&mut Nothing)
    };
    open(2).unwrap();
    let refused = open(3).unwrap_err().to_string();
    assert!(refused.contains("made with 2 streams"), "{refused}");
    open(2).unwrap();
}

struct InDirectory {
    dir: Mutex<tempfile::TempDir>,
    /// What later opens of other directories must not disturb.
    left: Mutex<Vec<tempfile::TempDir>>,
    clock: ManualClock,
    options: DiskOptions,
    faults: Arc<Mutex<Option<Fault>>>,
}

impl Environment for InDirectory {
    fn open(&self) -> Arc<dyn LogStore> {
        let dir = self.dir.lock();
        let faults = Arc::clone(&self.faults);
        let full = move |_: &std::path::Path| {
            let wanted = faults.lock().take();
            Ok(ByteSize(if wanted.is_some() { 0 } else { u64::MAX }))
        };
        let disk = disk_in(dir.path(), FreeSpace::from_fn(full));
        Arc::new(DiskStore::new(disk, &self.options, self.clock.clock()))
    }

    /// What is in the files at that time is what a kill leaves.
    fn kill(&self) {
        let to = tempfile::tempdir().unwrap();
        let mut dir = self.dir.lock();
        copy_dir(dir.path(), to.path());
        let from = std::mem::replace(&mut *dir, to);
        self.left.lock().push(from);
    }

    /// On files that are there, only a full disk can be had at will.
    fn fail_next(&self, fault: Fault) {
        *self.faults.lock() = Some(fault);
        self.clock.advance(std::time::Duration::from_secs(2));
    }
}

#[test]
fn a_directory_conforms() {
    conformance::suite_once(&|clock| {
        let mut options = options(2, Durability::Process);
        options.disk_free_min = ByteSize(1);
        Box::new(InDirectory {
            dir: Mutex::new(tempfile::tempdir().unwrap()),
            left: Mutex::default(),
            clock: clock.clone(),
            options,
            faults: Arc::default(),
        })
    });
}
