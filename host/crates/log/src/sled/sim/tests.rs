use std::ops::ControlFlow;

use super::*;
use crate::sled::Shape;
use crate::sled::conformance::{self, Fixture, Spoil};

#[test]
fn it_does_what_every_disk_does() {
    conformance::run(&|| {
        let disk = SimDisk::new(7);
        let below = disk.clone();
        Fixture {
            disk: Arc::new(disk),
            spoil: Box::new(move |name, file, how| match how {
                Spoil::Change => below.change_file(name, file),
                Spoil::Remove => below.remove_file(name, file),
            }),
        }
    });
}

/// Puts values of one byte each; the ones below `flushed` are flushed, those below `synced` synced.
fn filled(disk: &SimDisk, synced: u32, flushed: u32, put: u32) -> Box<dyn Database> {
    let database = disk.create("a", Shape::Small).unwrap();
    for number in 0..put {
        database.put(b"h", &[1]).unwrap();
        if number + 1 == synced {
            database.flush().unwrap();
            database.sync().unwrap();
        }
        if number + 1 == flushed {
            database.flush().unwrap();
        }
    }
    database
}

#[test]
fn a_kill_leaves_what_was_flushed_and_a_prefix_of_the_rest() {
    let (mut seen, mut behind) = (Vec::new(), 0);
    for seed in 1..200 {
        let disk = SimDisk::new(seed);
        let _open = filled(&disk, 2, 5, 9);
        let after = disk.kill();
        let values = after.open("a").unwrap().values();
        assert!((5..=9).contains(&values), "seed {seed}: {values}");
        seen.push(values);
        if let Some(found) = after.search_raw("a", values).unwrap() {
            assert!(found.safe <= values, "seed {seed}");
            behind += 1;
        }
        // What a kill left is not synced yet.
        let cut = after.power_cut().open("a").unwrap().values();
        assert!((2..=values).contains(&cut), "seed {seed}: {cut}");
    }
    assert!((5..=9).all(|values| seen.contains(&values)));
    assert!(behind > 0);
}

#[test]
fn a_power_cut_leaves_what_was_synced_and_a_prefix_of_what_was_flushed() {
    let (mut seen, mut gone) = (Vec::new(), 0);
    for seed in 1..200 {
        let disk = SimDisk::new(seed);
        let _open = filled(&disk, 2, 5, 9);
        let after = disk.power_cut();
        seen.push(after.open("a").unwrap().values());
        let again = after.power_cut();
        assert_eq!(
            after.open("a").unwrap().values(),
            again.open("a").unwrap().values()
        );
        let disk = SimDisk::new(seed);
        let _open = filled(&disk, 0, 5, 9);
        gone += u32::from(disk.power_cut().open("a").is_err());
    }
    assert!(seen.iter().all(|values| (2..=5).contains(values)));
    assert!((2..=5).all(|values| seen.contains(&values)));
    assert!((50..150).contains(&gone));
}

#[test]
fn the_same_seed_leaves_the_same() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let _open = filled(&disk, 2, 50, 90);
        let killed = disk.kill();
        let values = killed.open("a").unwrap().values();
        (values, killed.power_cut().open("a").unwrap().values())
    };
    assert!((1..50).all(|seed| run(seed) == run(seed)));
}

#[test]
fn after_a_failure_a_database_refuses_until_it_is_opened_again() {
    for step in [Step::Put, Step::Flush, Step::Sync] {
        let disk = SimDisk::new(3);
        let database = filled(&disk, 2, 5, 9);
        disk.fail(step, 0, false);
        let fail = || -> Result<(), Fault> {
            database.put(b"", b"x")?;
            database.flush()?;
            database.sync()
        };
        assert!(fail().is_err());
        assert!(matches!(database.put(b"", b"x"), Err(Fault::Failed(_))));
        assert!(matches!(database.flush(), Err(Fault::Failed(_))));
        assert!(matches!(database.sync(), Err(Fault::Failed(_))));
        drop(database);
        assert!(disk.open("a").unwrap().values() >= 5);
    }
}

#[test]
fn a_failed_sync_is_not_mended_by_another_one() {
    let mut seen = Vec::new();
    for seed in 1..100 {
        let disk = SimDisk::new(seed);
        let database = filled(&disk, 2, 5, 5);
        disk.fail(Step::Sync, 0, false);
        assert!(database.sync().is_err());
        drop(database);
        disk.open("a").unwrap().sync().unwrap();
        seen.push(disk.power_cut().open("a").unwrap().values());
    }
    assert!((2..=5).all(|values| seen.contains(&values)));
}

#[test]
fn faults_come_when_they_are_told_to() {
    let disk = SimDisk::new(1);
    disk.fail(Step::Write, 2, false);
    let went: Vec<bool> = (0..5).map(|_| disk.write("f", b"x").is_ok()).collect();
    assert_eq!(went, [true, true, false, true, true]);
    disk.fail(Step::Write, 1, true);
    let went: Vec<bool> = (0..4).map(|_| disk.write("f", b"y").is_ok()).collect();
    assert_eq!(went, [true, false, false, false]);
    disk.heal();
    disk.write("f", b"z").unwrap();
    assert_eq!(disk.power_cut().read("f").unwrap().unwrap(), b"z");
}

#[test]
fn damage_shows_as_it_does_on_a_disk() {
    let disk = SimDisk::new(1);
    drop(filled(&disk, 2, 5, 9));
    let seal = disk.seal("a", 5).unwrap().files;
    disk.damage("a", 4);
    let database = disk.open("a").unwrap();
    assert!(matches!(database.get(4), Err(Fault::Broken(_))));
    let mut bad = Vec::new();
    let mut look = |shown: Result<Value, u32>| {
        bad.extend(shown.err());
        ControlFlow::Continue(())
    };
    database.each(0, &mut look).unwrap();
    assert_eq!(bad, [4]);
    drop(database);
    assert!(matches!(
        disk.verify("a", &seal, true),
        Err(Fault::Broken(_))
    ));
    disk.hide_from("a", 3);
    assert_eq!(disk.open("a").unwrap().values(), 3);
    let behind = disk.search_raw("a", 3).unwrap().unwrap();
    assert_eq!((behind.values, behind.safe), (9, 2));
    disk.lose("a");
    assert!(matches!(disk.open("a"), Err(Fault::Broken(_))));
    disk.remove_root();
    assert!(!disk.is_present());
}
