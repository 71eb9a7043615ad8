//! Leaders, followers, two-step tickets.

use std::pin::pin;

use wstream_record::Timestamp;

use super::*;
use crate::errors::{ReadError, StoreError};
use crate::store::LogStore;
use crate::testing::Call;

fn quorum(node: &Node) -> (Partition, LeaderEpoch) {
    let partition = partition(node);
    let epoch = partition.marks().leader_epoch;
    partition.lead(epoch, Commit::Quorum);
    (partition, epoch)
}

fn follower(node: &Node) -> (Partition, LeaderEpoch) {
    let partition = partition(node);
    let epoch = LeaderEpoch(7);
    partition.follow(epoch);
    (partition, epoch)
}

#[test]
fn a_leader_alone_flushes_and_commits_at_once() {
    let node = Node::new(1);
    let partition = partition(&node);
    let mut ticket = node.run(partition.submit(batch_of(2, 10, None))).unwrap();
    let flushed = node.run(ticket.flushed()).unwrap();
    assert_eq!(flushed.next_offset, Offset(2));
    assert_eq!(node.run(ticket).unwrap(), flushed);
    assert_eq!(marks(&partition), [0, 2, 2, 2]);
}

#[test]
fn with_a_quorum_a_ticket_is_flushed_first_and_committed_later() {
    let node = Node::new(2);
    let (partition, _) = quorum(&node);
    let submit = |count| {
        node.run(partition.submit(batch_of(count, 10, None)))
            .unwrap()
    };
    let (mut first, mut second) = (submit(2), submit(3));
    assert_eq!(node.run(first.flushed()).unwrap().next_offset, Offset(2));
    assert_eq!(node.run(second.flushed()).unwrap().next_offset, Offset(5));
    assert_eq!(marks(&partition), [0, 0, 0, 5]);
    assert!(node.waits(pin!(&mut first)));
    partition.advance_high_watermark(Offset(2));
    assert_eq!(node.run(first).unwrap().base_offset, Offset(0));
    assert!(node.waits(pin!(&mut second)));
    assert_eq!(
        bases(&fetch(&node, &partition, 0, Upto::HighWatermark)),
        [0]
    );
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 2]);
    // Beyond the end it counts as the end, and it never goes back.
    partition.advance_high_watermark(Offset(9));
    partition.advance_high_watermark(Offset(1));
    assert_eq!(node.run(second).unwrap().base_offset, Offset(2));
    assert_eq!(marks(&partition), [0, 5, 5, 5]);
}

#[test]
fn a_batch_sent_again_waits_for_its_own_offset_only() {
    let node = Node::new(3);
    let (partition, _) = quorum(&node);
    let submit = |sequence| node.run(partition.submit(stamped(sequence))).unwrap();
    let mut tickets = [submit(0), submit(2), submit(0)];
    for ticket in &mut tickets {
        node.run(ticket.flushed()).unwrap();
    }
    partition.advance_high_watermark(Offset(2));
    let [first, mut second, again] = tickets;
    assert!(!node.run(first).unwrap().duplicate);
    assert!(node.run(again).unwrap().duplicate);
    assert!(node.waits(pin!(&mut second)));
    // Alone again, all that is flushed is committed.
    partition.lead(partition.marks().leader_epoch, Commit::Alone);
    node.run(second).unwrap();
}

#[test]
fn who_ceases_to_lead_refuses_what_was_not_committed() {
    for offline in [false, true] {
        let node = Node::new(4);
        let (partition, epoch) = quorum(&node);
        let mut ticket = node.run(partition.submit(batch_of(1, 10, None))).unwrap();
        node.run(ticket.flushed()).unwrap();
        let queued = node.run(partition.submit(batch_of(1, 10, None))).unwrap();
        if offline {
            partition.set_offline("for the test");
        } else {
            partition.follow(LeaderEpoch(epoch.0 + 1));
        }
        let refused = node.run(ticket).unwrap_err();
        assert!(matches!(refused, AppendError::NotLeader { .. }) && refused.is_retryable());
        let later = node
            .run(partition.submit(batch_of(1, 10, None)))
            .unwrap_err();
        for refused in [node.run(queued).unwrap_err(), later] {
            match refused {
                AppendError::NotLeader { epoch: known } => {
                    assert!(!offline && known.0 == epoch.0 + 1);
                }
                AppendError::Offline { reason } => assert_eq!(&*reason, "for the test"),
                other => panic!("{other}"),
            }
        }
        assert_eq!(marks(&partition), [0, 0, 0, 1]);
        assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0]);
    }
}

#[test]
fn old_epochs_change_nothing_and_new_ones_are_stamped() {
    let node = Node::new(5);
    let partition = partition(&node);
    let epoch = partition.marks().leader_epoch;
    append(&node, &partition, 2);
    partition.follow(LeaderEpoch(epoch.0 - 1));
    assert_eq!(partition.role(), Role::Leader { epoch });
    partition.lead(LeaderEpoch(9), Commit::Alone);
    append(&node, &partition, 2);
    let starts = [(epoch.0, 0), (9, 2)].map(|(epoch, start)| EpochStart {
        epoch: LeaderEpoch(epoch),
        start: Offset(start),
    });
    assert_eq!(partition.epochs(), starts);
    let end = partition.end_of(LeaderEpoch(8)).unwrap();
    assert_eq!((end.epoch, end.end), (epoch, Offset(2)));
    // Each start of the node is a new epoch.
    let node = node.restart(6);
    let partition = node.existing("t");
    assert!(partition.marks().leader_epoch >= LeaderEpoch(9));
}

#[test]
fn a_follower_takes_batches_as_they_are() {
    let node = Node::new(7);
    let (partition, epoch) = follower(&node);
    let refused = node
        .run(partition.append(batch_of(1, 10, None)))
        .unwrap_err();
    assert!(matches!(refused, AppendError::NotLeader { epoch: e } if e == epoch));
    let batches = vec![led(0, 3), led(2, 3), led(10, 5)];
    assert_eq!(node.run(partition.replicate(batches)).unwrap(), Offset(12));
    assert_eq!(marks(&partition), [0, 0, 0, 12]);
    let fetched = fetch(&node, &partition, 0, Upto::LogEnd);
    assert_eq!(bases(&fetched), [0, 2, 10]);
    let epochs = fetched.batches().unwrap();
    assert_eq!(epochs[2].header().leader_epoch, LeaderEpoch(5));
    partition.advance_high_watermark(Offset(4));
    assert_eq!(
        bases(&fetch(&node, &partition, 0, Upto::HighWatermark)),
        [0, 2]
    );
    // All or none: the last one does not fit.
    for (batch, refused) in [
        (led(11, 5), "Malformed"),
        (led(14, 4), "Malformed"),
        (led(14, 8), "FencedLeader"),
    ] {
        let error = node.run(partition.replicate(vec![led(12, 5), batch]));
        let error = error.unwrap_err();
        assert!(format!("{error:?}").starts_with(refused), "{error:?}");
        assert_eq!(partition.marks().log_end, Offset(12));
    }
    partition.lead(LeaderEpoch(8), Commit::Alone);
    let refused = node.run(partition.replicate(vec![led(12, 5)]));
    assert!(refused.is_err());
    assert_eq!(append(&node, &partition, 1).base_offset, Offset(12));
}

#[test]
fn the_high_watermark_is_found_again() {
    let node = Node::new(8);
    let (partition, epoch) = follower(&node);
    node.run(partition.replicate(vec![led(0, 1), led(2, 1)]))
        .unwrap();
    partition.advance_high_watermark(Offset(2));
    node.run(partition.replicate(vec![led(4, 1)])).unwrap();
    let node = node.restart(9);
    let partition = node.existing("t");
    // A log that is led alone has all of it committed.
    assert_eq!(marks(&partition), [0, 6, 6, 6]);
    let noted = partition.0.state.lock().high_watermark_noted;
    assert_eq!(noted, Offset(2));
    assert!(partition.marks().leader_epoch < epoch);
}

#[test]
fn a_follower_truncates_at_a_boundary_of_batches() {
    let node = Node::new(10);
    let (partition, _) = follower(&node);
    node.run(partition.replicate((0..5).map(|n| led(n * 2, n as i32)).collect()))
        .unwrap();
    partition.advance_high_watermark(Offset(8));
    assert_eq!(
        node.run(partition.truncate(Offset(12))).unwrap(),
        Offset(10)
    );
    assert_eq!(node.run(partition.truncate(Offset(7))).unwrap(), Offset(6));
    assert_eq!(marks(&partition), [0, 6, 6, 6]);
    assert_eq!(partition.epochs().last().unwrap().epoch, LeaderEpoch(2));
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 2, 4]);
    node.run(partition.replicate(vec![led(6, 6)])).unwrap();
    assert_eq!(bases(&fetch(&node, &partition, 4, Upto::LogEnd)), [4, 6]);
    let partition = node.restart(11).existing("t");
    assert_eq!(partition.marks().log_end, Offset(8));
    assert_eq!(partition.epochs().last().unwrap().epoch, LeaderEpoch(6));
}

#[test]
fn cuts_go_in_the_order_in_which_they_came() {
    let node = Node::new(12);
    let (partition, _) = follower(&node);
    let mut cut = pin!(partition.truncate(Offset(2)));
    let mut first = pin!(partition.replicate(vec![led(0, 1), led(2, 1)]));
    let mut second = pin!(partition.replicate(vec![led(2, 2)]));
    let mut reset = pin!(partition.reset(Offset(50)));
    let mut third = pin!(partition.replicate(vec![led(60, 2)]));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(cut.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(reset.as_mut().poll(&mut cx).is_pending());
    assert!(third.as_mut().poll(&mut cx).is_pending());
    assert_eq!(node.run(first).unwrap(), Offset(4));
    assert_eq!(node.run(cut).unwrap(), Offset(2));
    assert_eq!(node.run(second).unwrap(), Offset(4));
    node.run(reset).unwrap();
    assert_eq!(node.run(third).unwrap(), Offset(62));
    assert_eq!(marks(&partition), [50, 50, 50, 62]);
    assert_eq!(bases(&fetch(&node, &partition, 50, Upto::LogEnd)), [60]);
    let below = node.run(partition.fetch(Offset(49), ALL, Upto::LogEnd, None));
    assert!(matches!(below, Err(ReadError::Trimmed { .. })));
}

#[test]
fn a_truncation_at_or_below_the_start_empties_the_log() {
    for (start, end, expected) in [(6, 5, 5), (7, 7, 6)] {
        let node = Node::new(13);
        let (partition, _) = follower(&node);
        node.run(partition.replicate((0..5).map(|n| led(n * 2, 1)).collect()))
            .unwrap();
        partition.advance_high_watermark(Offset(10));
        node.run(partition.delete_before(Offset(start))).unwrap();
        let cut = node.run(partition.truncate(Offset(end))).unwrap();
        assert_eq!(cut, Offset(expected));
        assert_eq!(marks(&partition), [expected; 4]);
        let partition = node.restart(14).existing("t");
        assert_eq!(marks(&partition), [expected; 4]);
    }
}

#[test]
fn what_a_truncation_does_not_leave_enough_of_is_derived_anew() {
    for reads in [true, false] {
        let node = Node::new(15);
        let (partition, _) = follower(&node);
        // Ten batches of one producer, of which the last five are known.
        let batches = (0..10).map(|n| stamped(n * 2).at(Offset(i64::from(n) * 2), LeaderEpoch(1)));
        node.run(partition.replicate(batches.collect())).unwrap();
        let stable = node.run(partition.truncate(Offset(20))).unwrap();
        assert_eq!(stable, Offset(20));
        if !reads {
            let failed = || Err(StoreError::failed("test", "memory", &"wanted by the test"));
            node.store.before(Call::Look, failed);
        }
        let cut = node.run(partition.truncate(Offset(6)));
        if reads {
            assert_eq!(cut.unwrap(), Offset(6));
            let next = partition.next_sequence(ProducerId(9));
            assert_eq!(next, Some(Sequence(6)));
            partition.lead(LeaderEpoch(8), Commit::Alone);
            assert!(node.run(partition.append(stamped(4))).unwrap().duplicate);
        } else {
            assert!(cut.is_err());
            assert!(matches!(partition.role(), Role::Offline { .. }));
        }
    }
}

#[test]
fn a_follower_reads_nothing_that_is_cut_meanwhile() {
    let node = Node::new(16);
    let (partition, _) = follower(&node);
    node.run(partition.replicate((0..5).map(|n| led(n * 2, 1)).collect()))
        .unwrap();
    partition.0.tail.clear();
    let other = partition.clone();
    let pool = node.pool.clone();
    // While the store reads, the end is cut and something else comes instead.
    node.store.before(Call::Read, move || {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut cut = pin!(other.truncate(Offset(4)));
        assert!(cut.as_mut().poll(&mut cx).is_pending());
        while pool.step() {}
        let mut more = pin!(other.replicate(vec![led(4, 2)]));
        assert!(more.as_mut().poll(&mut cx).is_pending());
        while pool.step() {}
        Ok(())
    });
    let fetched = fetch(&node, &partition, 0, Upto::LogEnd);
    assert_eq!(bases(&fetched), [0, 2, 4]);
    let epochs = fetched.batches().unwrap();
    assert_eq!(epochs[2].header().leader_epoch, LeaderEpoch(2));
    let found = node.run(partition.offset_for(Timestamp(0))).unwrap();
    assert_eq!(found, None, "nothing is committed");
}

#[test]
fn a_partition_whose_batches_do_not_read_at_a_start_is_offline_and_told() {
    let node = Node::new(17);
    let (follower, _) = follower(&node);
    let other = node.partition("u", TopicSpec::default());
    append(&node, &other, 1);
    let batches = (0..10).map(|n| stamped(n * 2).at(Offset(i64::from(n) * 2), LeaderEpoch(1)));
    node.run(follower.replicate(batches.collect())).unwrap();
    node.run(follower.truncate(Offset(6))).unwrap();
    let failed = || Err(StoreError::failed("test", "memory", &"wanted by the test"));
    node.store.before(Call::Look, failed);
    let node = node.restart(18);
    let partition = node.existing("t");
    partition.lead(LeaderEpoch(9), Commit::Alone);
    let refused = node.run(partition.append(batch_of(1, 10, None)));
    assert!(matches!(refused, Err(AppendError::Offline { .. })));
    let health = node.log.health();
    assert!(
        matches!(&health[..], [crate::Problem::Offline { .. }]),
        "{health:?}"
    );
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 2, 4]);
    assert!(
        fetch(&node, &partition, 0, Upto::LastStable)
            .parts
            .is_empty()
    );
    // The rest is served, and the next start tries again, though the stream has rolled meanwhile.
    let other = node.existing("u");
    node.store.inner.roll_if_older(0, -1);
    append(&node, &other, 1);
    append(&node, &other, 1);
    let node = node.restart(19);
    assert_eq!(node.log.health(), []);
    let partition = node.existing("t");
    assert_eq!(partition.next_sequence(ProducerId(9)), Some(Sequence(6)));
    assert_eq!(
        node.run(partition.append(stamped(6))).unwrap().base_offset,
        Offset(6)
    );
}
