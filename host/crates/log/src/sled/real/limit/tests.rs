use std::ops::ControlFlow;
use std::path::Path;

use super::super::RealDisk;
use super::*;
use crate::errors::StoreError;
use crate::sled::{Database, Disk, Fault, FreeSpace, Shape, Value};

const FLUSHED: u32 = 20;

fn disk_in(dir: &Path) -> RealDisk {
    let (root, aside) = (dir.join("log"), dir.join("aside"));
    RealDisk::open(root, aside, FreeSpace::system()).unwrap()
}

/// Some values that were flushed.
fn filled(disk: &RealDisk, name: &str) -> Box<dyn Database> {
    let database = disk.create(name, Shape::Small).unwrap();
    for number in 0..FLUSHED {
        database.put(b"head", &[7; 3_000]).unwrap();
        assert_eq!(database.values(), number + 1);
    }
    database.flush().unwrap();
    database
}

/// Whether what was flushed is shown, one by one and together.
fn shows_flushed(database: &dyn Database) {
    let mut shown = 0;
    let mut look = |value: Result<Value, u32>| {
        let value = value.unwrap();
        assert_eq!((value.number, &value.bytes[..]), (shown, &[7; 3_000][..]));
        shown += 1;
        if shown == FLUSHED {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    database.each(0, &mut look).unwrap();
    assert_eq!(shown, FLUSHED);
    let one = database.get(FLUSHED - 1).unwrap().unwrap();
    assert_eq!(&one.head[..], b"head");
}

fn failed<T>(said: &Result<T, Fault>) -> bool {
    matches!(said, Err(Fault::Failed(_)))
}

/// All that is asked of a name that was given up is answered, while it still hangs.
fn is_answered(disk: &RealDisk, name: &str) {
    for _ in 0..2 {
        shows_flushed(&*disk.open(name).unwrap());
    }
    assert!(matches!(
        disk.seal(name, 1),
        Err(StoreError::Damaged { .. })
    ));
    assert!(matches!(
        disk.verify(name, &[], true),
        Err(Fault::Broken(_))
    ));
    disk.search_raw(name, 0).unwrap().unwrap();
    assert_eq!(disk.names("").unwrap(), [name]);
    assert!(disk.keep_aside(name, "copy").unwrap().join("db").exists());
    disk.remove(name).unwrap();
    assert_eq!(disk.names("").unwrap(), [""; 0]);
    // The name is as good as new.
    let database = filled(disk, name);
    database.sync().unwrap();
    drop(database);
    let seal = disk.seal(name, FLUSHED).unwrap();
    disk.verify(name, &seal.files, true).unwrap();
    shows_flushed(&*disk.open(name).unwrap());
}

#[test]
fn a_database_that_does_not_come_back_is_given_up() {
    for step in [Step::Flush, Step::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk_in(dir.path());
        let database = filled(&disk, "a");
        database.put(b"head", b"not flushed").unwrap();
        let latch = disk.limit.hangs.next(step);
        let said = match step {
            Step::Flush => database.flush(),
            _ => database.sync(),
        };
        assert!(failed(&said), "{said:?}");
        let refused = [
            database.flush(),
            database.sync(),
            database.put(b"", b"").map(drop),
        ];
        assert!(refused.iter().all(failed), "{refused:?}");
        shows_flushed(&*database);
        drop(database);
        is_answered(&disk, "a");
        latch.open();
    }
}

#[test]
fn a_database_that_hangs_in_a_later_sync_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_in(dir.path());
    let database = filled(&disk, "a");
    for _ in 0..3 {
        database.sync().unwrap();
        database.put(b"head", b"more").unwrap();
        database.flush().unwrap();
    }
    let latch = disk.limit.hangs.next(Step::Flush);
    assert!(failed(&database.flush()));
    assert!(failed(&database.sync()));
    drop(database);
    is_answered(&disk, "a");
    latch.open();
}

#[test]
fn a_database_that_does_not_close_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_in(dir.path());
    let latch = disk.limit.hangs.next(Step::Close);
    drop(filled(&disk, "a"));
    is_answered(&disk, "a");
    latch.open();
}

#[test]
fn a_database_that_does_not_open_is_read_without_sled() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_in(dir.path());
    for opened_before in [false, true] {
        drop(filled(&disk, "a"));
        if opened_before {
            drop(disk.open("a").unwrap());
        }
        let latch = disk.limit.hangs.next(Step::Open);
        assert!(failed(&disk.open("a")));
        is_answered(&disk, "a");
        latch.open();
        disk.remove("a").unwrap();
    }
}

#[test]
fn a_name_at_which_a_creation_hung_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_in(dir.path());
    let latch = disk.limit.hangs.next(Step::Create);
    assert!(failed(&disk.create("a", Shape::Small)));
    shows_flushed(&*filled(&disk, "a"));
    latch.open();
}

#[test]
fn a_helper_survives_a_panic_and_its_answers_are_dropped_by_it() {
    let limit = Limit::new(WAIT_MAX_DEFAULT);
    let helper = Helper::start(limit.clone()).unwrap();
    assert_eq!(helper.run(Step::Flush, || 7), Ok(7));
    let panicked = helper.run(Step::Flush, || panic!("wanted by the test"));
    assert_eq!(panicked, Err::<(), _>(Lost::Panicked));
    assert_eq!(helper.run(Step::Flush, || "on"), Ok("on"));
    let held = Arc::new(());
    let (its, latch) = (Arc::clone(&held), limit.hangs.next(Step::Sync));
    assert_eq!(helper.run(Step::Sync, move || its), Err(Lost::LeftBehind));
    assert_eq!(helper.run(Step::Sync, || 7), Err(Lost::LeftBehind));
    assert_eq!(Arc::strong_count(&held), 2);
    latch.open();
    while Arc::strong_count(&held) > 1 {
        std::thread::yield_now();
    }
}
