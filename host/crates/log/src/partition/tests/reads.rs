//! Fetches and waiters.

use std::pin::pin;

use wstream_record::{Timestamp, TopicName};

use super::*;
use crate::errors::ReadError;
use crate::testing::Call;

#[test]
fn reads_begin_with_the_batch_that_holds_the_offset_and_respect_the_limit() {
    let node = Node::new(1);
    let partition = partition(&node);
    for _ in 0..4 {
        node.run(partition.append(batch_of(5, 100, None))).unwrap();
    }
    let one = ByteSize(1);
    let rows = [
        (0, ALL, vec![0, 5, 10, 15], 20),
        (7, ALL, vec![5, 10, 15], 20),
        (7, one, vec![5], 10),
        (19, ALL, vec![15], 20),
        (20, ALL, vec![], 20),
    ];
    for cached in [true, false] {
        if !cached {
            partition.0.tail.clear();
        }
        for (from, limit, expected, next) in &rows {
            let fetch = partition.fetch(Offset(*from), *limit, Upto::LastStable, None);
            let fetched = node.run(fetch).unwrap();
            assert_eq!(&bases(&fetched), expected, "from {from}");
            assert_eq!(fetched.next, Offset(*next));
            assert_eq!(fetched.marks, partition.marks());
        }
        let past = node.run(partition.fetch(Offset(21), ALL, Upto::LogEnd, None));
        assert!(matches!(past, Err(ReadError::PastEnd { end, .. }) if end == Offset(20)));
    }
}

#[test]
fn gaps_are_passed_over_from_memory_and_from_the_store() {
    let node = Node::new(2);
    let partition = partition(&node);
    partition.follow(LeaderEpoch(7));
    let batches = vec![led(0, 1), led(10, 1), led(20, 1)];
    node.run(partition.replicate(batches)).unwrap();
    partition.advance_high_watermark(Offset(12));
    for cached in [true, false] {
        if !cached {
            partition.0.tail.clear();
        }
        let rows = [
            (0, Upto::LogEnd, vec![0, 10, 20], 22),
            (2, Upto::LogEnd, vec![10, 20], 22),
            (5, Upto::HighWatermark, vec![10], 12),
            (12, Upto::HighWatermark, vec![], 12),
            (12, Upto::LogEnd, vec![20], 22),
        ];
        for (from, upto, expected, next) in rows {
            let fetched = fetch(&node, &partition, from, upto);
            assert_eq!(bases(&fetched), expected, "from {from}");
            assert_eq!(fetched.next, Offset(next), "from {from}");
        }
    }
    // The newest is in memory again, what lies before is not.
    node.run(partition.replicate(vec![led(30, 1)])).unwrap();
    assert_eq!(bases(&fetch(&node, &partition, 15, Upto::LogEnd)), [20, 30]);
}

#[test]
fn deleted_records_are_not_read() {
    let node = Node::new(3);
    let partition = partition(&node);
    for _ in 0..3 {
        append(&node, &partition, 4);
    }
    let delete = |before| node.run(partition.delete_before(Offset(before)));
    assert_eq!(delete(6).unwrap(), Offset(6));
    assert_eq!(delete(2).unwrap(), Offset(6));
    assert!(matches!(delete(13), Err(DeleteError::PastEnd { end, .. }) if end == Offset(12)));
    let trimmed = node.run(partition.fetch(Offset(5), ALL, Upto::LogEnd, None));
    assert!(matches!(trimmed, Err(ReadError::Trimmed { start, .. }) if start == Offset(6)));
    assert_eq!(bases(&fetch(&node, &partition, 6, Upto::LogEnd)), [4, 8]);
    assert_eq!(marks(&node.restart(4).existing("t")), [6, 12, 12, 12]);
}

#[test]
fn the_start_is_looked_at_after_the_read() {
    let node = Node::new(5);
    let partition = partition(&node);
    for _ in 0..3 {
        append(&node, &partition, 4);
    }
    partition.0.tail.clear();
    let (other, pool) = (partition.clone(), node.pool.clone());
    node.store.before(Call::Read, move || {
        drop(other.raise_start(Offset(8)));
        while pool.step() {}
        Ok(())
    });
    let trimmed = node.run(partition.fetch(Offset(0), ALL, Upto::LogEnd, None));
    assert!(matches!(trimmed, Err(ReadError::Trimmed { start, .. }) if start == Offset(8)));
}

#[test]
fn the_first_record_at_or_after_a_time_is_found() {
    let node = Node::new(6);
    let partition = partition(&node);
    for times in [[10, 30], [20, 25], [50, 40]] {
        node.run(partition.append(batch_at(&times, 10, None)))
            .unwrap();
    }
    let rows = [
        (0, Some((0, 10))),
        (11, Some((1, 30))),
        (30, Some((1, 30))),
        (31, Some((4, 50))),
        (51, None),
    ];
    for (at, expected) in rows {
        let found = node.run(partition.offset_for(Timestamp(at))).unwrap();
        let expected = expected.map(|(o, t)| (Offset(o), Timestamp(t)));
        assert_eq!(found, expected, "at {at}");
    }
    node.run(partition.delete_before(Offset(2))).unwrap();
    let found = node.run(partition.offset_for(Timestamp(21))).unwrap();
    assert_eq!(found, Some((Offset(3), Timestamp(25))));
}

#[test]
fn a_log_that_has_parted_hears_where() {
    let node = Node::new(7);
    let partition = partition(&node);
    partition.follow(LeaderEpoch(9));
    let batches = vec![led(0, 2), led(2, 2), led(4, 5), led(6, 8)];
    node.run(partition.replicate(batches)).unwrap();
    // epoch of the caller's last record, offset, where they part
    let rows = [
        (2, 4, None),
        (2, 2, None),
        (8, 8, None),
        (2, 6, Some((2, 4))),
        (3, 4, Some((2, 4))),
        (7, 6, Some((5, 6))),
        (5, 8, Some((5, 6))),
        (9, 8, Some((8, 8))),
        (1, 2, Some((1, 0))),
        (8, 20, Some((8, 8))),
    ];
    for (epoch, from, expected) in rows {
        let fetch = partition.fetch(Offset(from), ALL, Upto::LogEnd, Some(LeaderEpoch(epoch)));
        let fetched = node.run(fetch).unwrap();
        let diverging = fetched.diverging.map(|end| (end.epoch.0, end.end.0));
        assert_eq!(diverging, expected, "epoch {epoch} from {from}");
        assert!(diverging.is_none() || fetched.parts.is_empty());
    }
    let fetch = partition.fetch(Offset(0), ALL, Upto::LogEnd, Some(LeaderEpoch(10)));
    let unknown = node.run(fetch);
    assert!(matches!(unknown, Err(ReadError::UnknownLeader { .. })));
    let check = |epoch| partition.check_epoch(LeaderEpoch(epoch));
    assert!(matches!(check(8), Err(ReadError::FencedLeader { .. })));
    assert!(matches!(check(10), Err(ReadError::UnknownLeader { .. })));
    check(9).unwrap();
    // A leader that has written nothing yet has its epoch all the same.
    partition.lead(LeaderEpoch(11), Commit::Alone);
    let end_of = |epoch| {
        partition
            .end_of(LeaderEpoch(epoch))
            .map(|e| (e.epoch.0, e.end.0))
    };
    assert_eq!(end_of(11), Some((11, 8)));
    assert_eq!(end_of(10), Some((8, 8)));
    assert_eq!(end_of(12), None);
}

#[test]
fn one_waiter_waits_for_many_partitions() {
    let node = Node::new(8);
    let topic = TopicName::new("many").unwrap();
    node.run(node.log.create_topic(&topic, TopicSpec::partitions(1_000)))
        .unwrap();
    let partitions = node.log.partitions(&topic);
    let mut waiter = Waiter::new();
    for partition in &partitions {
        waiter.watch(partition, Offset(0), Upto::HighWatermark);
    }
    assert!(node.waits(pin!(waiter.wait())));
    append(&node, &partitions[7], 1);
    append(&node, &partitions[999], 1);
    let ready = node.run(waiter.wait());
    assert_eq!(
        ready,
        [partitions[7].name().clone(), partitions[999].name().clone()]
    );
    // Each rings once.
    append(&node, &partitions[7], 1);
    assert!(node.waits(pin!(waiter.wait())));
    // What is there already is ready at once.
    waiter.watch(&partitions[7], Offset(1), Upto::HighWatermark);
    assert_eq!(node.run(waiter.wait()), [partitions[7].name().clone()]);
    drop(waiter);
    let watches = partitions.iter().map(|p| p.0.state.lock().watches.len());
    assert_eq!(watches.sum::<usize>(), 0);
}

type Change = &'static dyn Fn(&Node, &Partition);

#[test]
fn a_waiter_rings_for_its_own_mark_and_for_whatever_changes_the_answer() {
    let changes: [Change; 6] = [
        &|_, partition| partition.advance_high_watermark(Offset(2)),
        &|_, partition| partition.close(),
        &|_, partition| partition.set_offline("for the test"),
        &|_, partition| partition.lead(LeaderEpoch(9), Commit::Quorum),
        &|node, partition| assert!(node.run(partition.truncate(Offset(0))).is_ok()),
        &|node, partition| node.run(partition.reset(Offset(9))).unwrap(),
    ];
    for change in changes {
        let node = Node::new(9);
        let partition = partition(&node);
        partition.follow(LeaderEpoch(8));
        node.run(partition.replicate(vec![led(0, 1)])).unwrap();
        partition.advance_high_watermark(Offset(0));
        let mut waiter = Waiter::new();
        waiter.watch(&partition, Offset(2), Upto::LogEnd);
        waiter.watch(&partition, Offset(1), Upto::HighWatermark);
        assert!(node.waits(pin!(waiter.wait())));
        change(&node, &partition);
        assert!(!node.run(waiter.wait()).is_empty());
    }
}

#[test]
fn a_fetch_at_the_end_is_cheap() {
    let node = Node::new(10);
    let topic = TopicName::new("many").unwrap();
    node.run(node.log.create_topic(&topic, TopicSpec::partitions(100)))
        .unwrap();
    node.store
        .before(Call::Read, || panic!("the store is not asked"));
    for partition in node.log.partitions(&topic) {
        let fetched = fetch(&node, &partition, 0, Upto::LastStable);
        assert_eq!((fetched.parts.len(), fetched.next), (0, Offset(0)));
    }
}

/// A marker as a coordinator writes it: version 0, type 0 (abort) or 1 (commit).
fn marker(base: i64, commit: bool) -> RecordBatch {
    let mut builder = wstream_record::BatchBuilder::new();
    builder.push(&wstream_record::Record {
        timestamp: Timestamp(1_000),
        key: Some(vec![0, 0, 0, u8::from(commit)].into()),
        value: Some(vec![0; 6].into()),
        ..wstream_record::Record::default()
    });
    let stamp = ProducerStamp {
        id: ProducerId(9),
        epoch: ProducerEpoch(0),
        sequence: Sequence(-1),
    };
    transactional(builder.finish(Some(stamp)).unwrap(), 1 << 5).at(Offset(base), LeaderEpoch(1))
}

#[test]
fn what_an_open_transaction_may_undo_is_not_stable() {
    let node = Node::new(11);
    let partition = partition(&node);
    partition.follow(LeaderEpoch(8));
    let opened = transactional(stamped(0), 0).at(Offset(2), LeaderEpoch(1));
    let batches = vec![led(0, 1), opened, led(4, 1)];
    node.run(partition.replicate(batches)).unwrap();
    partition.advance_high_watermark(Offset(6));
    assert_eq!(marks(&partition), [0, 2, 6, 6]);
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LastStable)), [0]);
    let read = fetch(&node, &partition, 0, Upto::HighWatermark);
    assert_eq!(bases(&read), [0, 2, 4]);
    node.run(partition.replicate(vec![marker(6, false)]))
        .unwrap();
    assert_eq!(
        marks(&partition),
        [0, 2, 6, 7],
        "the marker is not committed"
    );
    partition.advance_high_watermark(Offset(7));
    assert_eq!(marks(&partition), [0, 7, 7, 7]);
    let stable = fetch(&node, &partition, 0, Upto::LastStable);
    assert_eq!(bases(&stable), [0, 2, 4, 6]);
    let aborted: Vec<_> = stable
        .aborted
        .iter()
        .map(|a| (a.first.0, a.last.0))
        .collect();
    assert_eq!(aborted, [(2, 6)]);
    assert_eq!(fetch(&node, &partition, 0, Upto::LogEnd).aborted, []);
}
