//! What every `Disk` does.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{
    Database, Disk, Fault, FileSum, HEAD_BYTES_MAX, Shape, TREE_VALUES, VALUE_BYTES_MAX,
    VALUES_MAX, Value,
};
use crate::errors::StoreError;
use crate::testing::Random;

/// An empty disk, and hands that can reach below it.
pub(crate) struct Fixture {
    pub(crate) disk: Arc<dyn Disk>,
    /// Does something to a file of a database.
    pub(crate) spoil: Box<Spoiler>,
}

/// Name of the database, its file, and what to do.
pub(crate) type Spoiler = dyn Fn(&str, &str, Spoil);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    Change,
    Remove,
}

type Case = fn(&Fixture);

/// Runs everything, each with a disk of its own.
pub(crate) fn run(make: &dyn Fn() -> Fixture) {
    let cases: [(&str, Case); 14] = [
        ("values", values_get_numbers_in_order_and_come_back),
        ("sizes", values_of_every_size_come_back),
        ("each", each_begins_where_it_is_told_and_breaks),
        (
            "reopen",
            an_opened_database_shows_the_same_and_takes_nothing,
        ),
        ("empty", a_database_without_values_opens),
        ("full", a_database_is_full_at_its_last_tree),
        ("refuse", what_is_too_large_is_refused_and_costs_nothing),
        ("create", a_name_is_taken_once),
        ("absent", a_database_that_is_not_there_is_broken),
        ("seal", a_seal_fits_until_a_file_changes),
        ("sealed", a_sealed_database_is_read_and_stays_as_it_is),
        ("raw", nothing_is_behind_what_is_whole),
        ("files", small_files_are_replaced_whole),
        ("aside", what_is_kept_aside_stays_where_it_was),
    ];
    for (name, case) in cases {
        println!("case {name}");
        case(&make());
    }
}

fn value(number: u32, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(u64::from(number) * 2 + 1);
    let mut fill = |bytes| -> Vec<u8> {
        let byte = |_| u8::try_from(random.below(256)).unwrap();
        (0..bytes).map(byte).collect()
    };
    let head = fill(usize::try_from(number).unwrap() % (HEAD_BYTES_MAX + 1));
    (head, fill(bytes))
}

fn put_all(database: &dyn Database, sizes: &[usize]) {
    for (number, size) in sizes.iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let (head, bytes) = value(number, *size);
        assert_eq!(database.put(&head, &bytes).unwrap(), number);
    }
}

fn shows_all(database: &dyn Database, sizes: &[usize]) {
    let count = u32::try_from(sizes.len()).unwrap();
    assert_eq!(database.values(), count);
    let mut next = 0;
    let mut look = |shown: Result<Value, u32>| {
        let size = sizes[usize::try_from(next).unwrap()];
        is_value(&shown.unwrap(), next, size);
        next += 1;
        ControlFlow::Continue(())
    };
    database.each(0, &mut look).unwrap();
    assert_eq!(next, count);
    for (number, size) in (0..).zip(sizes) {
        is_value(&database.get(number).unwrap().unwrap(), number, *size);
    }
    for number in [count, count + TREE_VALUES, VALUES_MAX, u32::MAX] {
        assert_eq!(database.get(number).unwrap(), None);
    }
}

fn is_value(shown: &Value, number: u32, size: usize) {
    let (head, bytes) = value(number, size);
    assert_eq!(shown.number, number);
    assert_eq!(shown.head, head);
    assert!(shown.bytes == bytes, "value {number} of {size} bytes");
}

/// A closed database `a/b` with values of these sizes.
fn closed(disk: &dyn Disk, sizes: &[usize]) {
    let database = disk.create("a/b", Shape::Small).unwrap();
    put_all(&*database, sizes);
    database.flush().unwrap();
    database.sync().unwrap();
}

fn values_get_numbers_in_order_and_come_back(fixture: &Fixture) {
    for shape in [Shape::Small, Shape::Large] {
        let name = format!("a/{shape:?}");
        let database = fixture.disk.create(&name, shape).unwrap();
        let sizes = [100; 50];
        put_all(&*database, &sizes);
        shows_all(&*database, &sizes);
        database.flush().unwrap();
        database.sync().unwrap();
        shows_all(&*database, &sizes);
        assert!(!database.is_full());
    }
}

fn values_of_every_size_come_back(fixture: &Fixture) {
    let mut sizes = vec![0, 1, 22, 23, 240, 241, 2_287, 2_288, 67_823, 67_824];
    sizes.extend([VALUE_BYTES_MAX; 12]);
    sizes.extend([VALUE_BYTES_MAX - 1, 0, 0, 7_000, 100_000]);
    let database = fixture.disk.create("a", Shape::Large).unwrap();
    put_all(&*database, &sizes);
    database.flush().unwrap();
    shows_all(&*database, &sizes);
    drop(database);
    shows_all(&*fixture.disk.open("a").unwrap(), &sizes);
}

fn each_begins_where_it_is_told_and_breaks(fixture: &Fixture) {
    let database = fixture.disk.create("a", Shape::Small).unwrap();
    put_all(&*database, &[10; 30]);
    for from in [0, 1, 7, 8, 9, 23, 29, 30, 31, 4_000, u32::MAX] {
        for count in [1, 2, 9, 100] {
            let mut seen = Vec::new();
            let mut look = |shown: Result<Value, u32>| {
                seen.push(shown.unwrap().number);
                if seen.len() == count {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            database.each(from, &mut look).unwrap();
            let expected: Vec<u32> = (from..30.max(from)).take(count).collect();
            assert_eq!(seen, expected, "from {from}, {count}");
        }
    }
}

fn an_opened_database_shows_the_same_and_takes_nothing(fixture: &Fixture) {
    let sizes = [3_000; 21];
    closed(&*fixture.disk, &sizes);
    for _ in 0..3 {
        let database = fixture.disk.open("a/b").unwrap();
        assert!(matches!(database.put(b"", b"x"), Err(Fault::Failed(_))));
        shows_all(&*database, &sizes);
        database.flush().unwrap();
        database.sync().unwrap();
    }
}

fn a_database_without_values_opens(fixture: &Fixture) {
    drop(fixture.disk.create("flushed", Shape::Small).unwrap());
    closed(&*fixture.disk, &[]);
    for name in ["flushed", "a/b"] {
        for _ in 0..2 {
            shows_all(&*fixture.disk.open(name).unwrap(), &[]);
        }
        let seal = fixture.disk.seal(name, 0).unwrap();
        fixture.disk.verify(name, &seal.files, true).unwrap();
    }
}

fn a_database_is_full_at_its_last_tree(fixture: &Fixture) {
    let sizes = vec![1; usize::try_from(VALUES_MAX).unwrap()];
    let database = fixture.disk.create("a/b", Shape::Large).unwrap();
    put_all(&*database, &sizes);
    assert!(database.is_full());
    assert!(matches!(database.put(b"", b"x"), Err(Fault::Failed(_))));
    database.flush().unwrap();
    drop(database);
    let database = fixture.disk.open("a/b").unwrap();
    assert!(database.is_full());
    shows_all(&*database, &sizes);
}

fn what_is_too_large_is_refused_and_costs_nothing(fixture: &Fixture) {
    let database = fixture.disk.create("a", Shape::Small).unwrap();
    let (head, bytes) = ([1; HEAD_BYTES_MAX + 1], vec![1; VALUE_BYTES_MAX + 1]);
    for (head, bytes) in [(&head[..], &b"x"[..]), (b"", &bytes)] {
        assert!(matches!(database.put(head, bytes), Err(Fault::Failed(_))));
    }
    put_all(&*database, &[5, 6]);
    database.flush().unwrap();
    shows_all(&*database, &[5, 6]);
}

fn a_name_is_taken_once(fixture: &Fixture) {
    closed(&*fixture.disk, &[1, 2]);
    assert!(matches!(
        fixture.disk.create("a/b", Shape::Large),
        Err(Fault::Failed(_))
    ));
    shows_all(&*fixture.disk.open("a/b").unwrap(), &[1, 2]);
    fixture.disk.remove("a/b").unwrap();
    closed(&*fixture.disk, &[3]);
    shows_all(&*fixture.disk.open("a/b").unwrap(), &[3]);
}

fn a_database_that_is_not_there_is_broken(fixture: &Fixture) {
    assert!(matches!(fixture.disk.open("a"), Err(Fault::Broken(_))));
    assert!(fixture.disk.seal("a", 0).is_err());
    assert_eq!(fixture.disk.names("").unwrap(), [""; 0]);
    assert_eq!(fixture.disk.search_raw("a", 0).unwrap(), None);
    closed(&*fixture.disk, &[1]);
    (fixture.spoil)("a/b", "db", Spoil::Remove);
    assert!(matches!(fixture.disk.open("a/b"), Err(Fault::Broken(_))));
}

fn a_seal_fits_until_a_file_changes(fixture: &Fixture) {
    let disk = &*fixture.disk;
    let sealed = || -> Vec<FileSum> {
        disk.remove("a/b").unwrap();
        closed(disk, &[4_000; 20]);
        disk.seal("a/b", 20).unwrap().files
    };
    let seal = sealed();
    assert!(seal.iter().any(|file| file.name == "db"));
    for contents in [false, true] {
        disk.verify("a/b", &seal, contents).unwrap();
    }
    for file in &seal {
        for how in [Spoil::Change, Spoil::Remove] {
            let seal = sealed();
            (fixture.spoil)("a/b", &file.name, how);
            let noticed = disk.verify("a/b", &seal, true);
            let Err(Fault::Broken(reason)) = noticed else {
                panic!("{how:?} of {}: {noticed:?}", file.name);
            };
            assert!(reason.contains(&file.name), "{reason}");
            if how == Spoil::Remove {
                assert!(disk.verify("a/b", &seal, false).is_err());
            }
        }
    }
    disk.remove("a/b").unwrap();
    assert!(matches!(
        disk.verify("a/b", &seal, false),
        Err(Fault::Broken(_))
    ));
}

fn a_sealed_database_is_read_and_stays_as_it_is(fixture: &Fixture) {
    let disk = &*fixture.disk;
    let sizes = [60_000; 40];
    closed(disk, &sizes);
    assert!(matches!(
        disk.seal("a/b", 41),
        Err(StoreError::Damaged { .. })
    ));
    let seal = disk.seal("a/b", 40).unwrap();
    for _ in 0..2 {
        let database = disk.open_sealed("a/b", &seal.places).unwrap();
        assert!(matches!(database.put(b"", b"x"), Err(Fault::Failed(_))));
        shows_all(&*database, &sizes);
        database.sync().unwrap();
        drop(database);
        disk.verify("a/b", &seal.files, true).unwrap();
        assert_eq!(disk.seal("a/b", 40).unwrap(), seal);
    }
}

fn nothing_is_behind_what_is_whole(fixture: &Fixture) {
    closed(&*fixture.disk, &[4_000; 20]);
    for _ in 0..2 {
        assert_eq!(fixture.disk.search_raw("a/b", 20).unwrap(), None);
        assert_eq!(
            fixture.disk.search_raw("a/b", 19).unwrap().unwrap().values,
            20
        );
        drop(fixture.disk.open("a/b").unwrap());
    }
}

fn small_files_are_replaced_whole(fixture: &Fixture) {
    let disk = &*fixture.disk;
    assert_eq!(disk.read("streams/0/manifest").unwrap(), None);
    for text in [&b"one"[..], b"", b"three"] {
        disk.write("streams/0/manifest", text).unwrap();
        assert_eq!(disk.read("streams/0/manifest").unwrap().unwrap(), text);
    }
    disk.write("streams/0/a.b", b"1").unwrap();
    disk.write("streams/0/a.c", b"2").unwrap();
    disk.write("top", b"3").unwrap();
    drop(disk.create("streams/0/7", Shape::Small).unwrap());
    disk.remove_leftovers("streams/0").unwrap();
    disk.remove_leftovers("nowhere").unwrap();
    assert_eq!(disk.names("").unwrap(), ["streams", "top"]);
    assert_eq!(disk.names("streams").unwrap(), ["0"]);
    let all = ["7", "a.b", "a.c", "manifest"];
    assert_eq!(disk.names("streams/0").unwrap(), all);
    assert_eq!(disk.names("nowhere").unwrap(), [""; 0]);
    disk.remove("streams/0/a.b").unwrap();
    disk.remove("streams/0/a.b").unwrap();
    disk.remove("streams/0/7").unwrap();
    assert_eq!(disk.names("streams/0").unwrap(), ["a.c", "manifest"]);
    assert_eq!(disk.read("streams/0/a.b").unwrap(), None);
    disk.remove("streams").unwrap();
    assert_eq!(disk.names("").unwrap(), ["top"]);
    assert!(disk.is_present());
    assert!(disk.free_space().unwrap().0 > 0);
}

fn what_is_kept_aside_stays_where_it_was(fixture: &Fixture) {
    let disk = &*fixture.disk;
    closed(disk, &[500; 10]);
    let seal = disk.seal("a/b", 10).unwrap().files;
    let first = disk.keep_aside("a/b", "a-b").unwrap();
    let second = disk.keep_aside("a/b", "a-b").unwrap();
    assert_eq!(first.file_name().unwrap(), "a-b");
    assert_eq!(second.file_name().unwrap(), "a-b.2");
    disk.verify("a/b", &seal, true).unwrap();
    shows_all(&*disk.open("a/b").unwrap(), &[500; 10]);
    let absent = disk.keep_aside("nowhere", "x");
    assert!(matches!(absent, Err(StoreError::Failed { .. })));
}
