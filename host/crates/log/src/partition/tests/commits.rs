//! Appends: order, duplicates, refusals, failures, room.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{BatchBuilder, Compression, Record, Timestamp};

use super::*;
use crate::config::LogConfig;
use crate::errors::{ReadError, StoreError};
use crate::testing::Call;
use crate::topic::RetentionBy;

#[test]
fn offsets_follow_the_order_of_submits() {
    let node = Node::new(1);
    let partition = partition(&node);
    let mut tickets = Vec::new();
    for count in [3, 1, 2] {
        let submitted = node.run(partition.submit(batch_of(count, 10, None)));
        tickets.push(submitted.unwrap());
    }
    assert_eq!(marks(&partition), [0; 4]);
    let appended = tickets.into_iter().map(|ticket| {
        let appended = node.run(ticket).unwrap();
        (appended.base_offset.0, appended.next_offset.0)
    });
    assert_eq!(appended.collect::<Vec<_>>(), [(0, 3), (3, 4), (4, 6)]);
    assert_eq!(marks(&partition), [0, 6, 6, 6]);
    assert_eq!(partition.stats().appended_records, 6);
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 3, 4]);
}

#[test]
fn one_group_serves_all_partitions_of_a_stream() {
    let node = Node::new(2);
    let partitions: Vec<_> = (0..5)
        .map(|n| node.partition(&format!("t{n}"), TopicSpec::default()))
        .collect();
    let mut tickets = Vec::new();
    for partition in partitions.iter().chain(&partitions) {
        tickets.push(node.run(partition.submit(batch_of(2, 10, None))).unwrap());
    }
    assert!(node.pool.step());
    assert!(!node.pool.step(), "one run of the job is enough");
    for partition in &partitions {
        assert_eq!(marks(partition), [0, 4, 4, 4]);
    }
    for ticket in tickets {
        node.run(ticket).unwrap();
    }
}

#[test]
fn a_batch_sent_twice_is_stored_once_also_across_a_restart() {
    let node = Node::new(3);
    let topic = partition(&node);
    // All in one group: submitted before the first is awaited.
    let tickets: Vec<_> = [0, 2, 0, 5, 4, 2]
        .map(|sequence| node.run(topic.submit(stamped(sequence))).unwrap())
        .into();
    let said = tickets.into_iter().map(|ticket| {
        let said = node.run(ticket).ok();
        said.map(|a| (a.base_offset.0, a.duplicate))
    });
    let expected = [
        Some((0, false)),
        Some((2, false)),
        Some((0, true)),
        None,
        Some((4, false)),
        Some((2, true)),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    assert_eq!(topic.next_sequence(ProducerId(9)), Some(Sequence(6)));
    let node = node.restart(4);
    let topic = node.existing("t");
    assert_eq!(topic.next_sequence(ProducerId(9)), Some(Sequence(6)));
    let again = node.run(topic.append(stamped(4))).unwrap();
    assert!(again.duplicate && again.base_offset == Offset(4));
    let gap = node.run(topic.append(stamped(10))).unwrap_err();
    assert!(matches!(gap, AppendError::OutOfOrderSequence { expected, .. } if expected.0 == 6));
    assert_eq!(topic.marks().log_end, Offset(6));
}

#[test]
fn a_producer_is_forgotten_when_it_was_silent_for_long() {
    let node = Node::new(5);
    let partition = partition(&node);
    node.run(partition.append(stamped(0))).unwrap();
    node.time.advance(Duration::from_secs(23 * 3600));
    node.run(node.log.maintain());
    assert_eq!(partition.next_sequence(ProducerId(9)), Some(Sequence(2)));
    node.time.advance(Duration::from_secs(2 * 3600));
    node.run(node.log.maintain());
    assert_eq!(partition.next_sequence(ProducerId(9)), None);
}

/// A batch with other bytes at `at`, and a checksum nobody looks at.
fn altered(at: usize, with: &[u8]) -> RecordBatch {
    let mut bytes = batch_of(2, 10, None).bytes().to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    RecordBatch::parse_trusted(bytes.into()).unwrap()
}

#[test]
fn what_no_producer_sends_is_refused() {
    let node = Node::new(6);
    let spec = TopicSpec::default().max_message_bytes(ByteSize(1_000));
    let partition = node.partition("t", spec);
    let large = batch_of(1, 2_000, None);
    let gap = altered(26, &[5]);
    let control = altered(22, &[1 << 5]);
    let late = altered(35, &i64::MAX.to_be_bytes());
    let early = altered(27, &(-2_i64).to_be_bytes());
    for (batch, refused) in [
        (large, "TooLarge"),
        (gap, "Malformed"),
        (control, "Malformed"),
        (late, "Timestamp"),
        (early, "Timestamp"),
    ] {
        let error = node.run(partition.append(batch)).unwrap_err();
        assert!(format!("{error:?}").starts_with(refused), "{error:?}");
        assert!(!error.is_retryable());
    }
    assert_eq!(marks(&partition), [0; 4]);
}

#[test]
fn records_without_a_time_get_that_of_their_append() {
    let node = Node::new(7);
    let partition = partition(&node);
    let mut builder = BatchBuilder::new();
    for value in ["a", "b"] {
        builder.push(&Record {
            timestamp: Timestamp::NONE,
            value: Some(Bytes::from(value)),
            ..Record::default()
        });
    }
    let batch = builder.finish(None).unwrap();
    node.run(partition.append(batch)).unwrap();
    let fetched = fetch(&node, &partition, 0, Upto::LogEnd);
    let stored = RecordBatch::parse(fetched.parts[0].clone()).unwrap();
    assert_eq!(stored.header().compression, Compression::None);
    assert_eq!(stored.header().max_timestamp, Timestamp(1_000_000));
    let records = stored.records().unwrap();
    for record in &records {
        assert_eq!(record.record.timestamp, Timestamp(1_000_000));
    }
    assert_eq!(records[1].record.value, Some(Bytes::from("b")));
}

#[test]
fn a_group_that_is_not_written_or_flushed_is_not_there() {
    for flush in [false, true] {
        let node = Node::new(8);
        let topic = partition(&node);
        node.run(topic.append(stamped(0))).unwrap();
        let tickets: Vec<_> = [0, 2, 4]
            .map(|sequence| node.run(topic.submit(stamped(sequence))).unwrap())
            .into();
        let error = StoreError::failed("test", "memory", &"wanted by the test");
        if flush {
            node.store.inner.faults().fail_flush(error);
        } else {
            node.store.inner.faults().fail_write(error);
        }
        let said: Vec<_> = tickets.into_iter().map(|t| node.run(t)).collect();
        // What was there before does not depend on the write that failed.
        assert!(matches!(&said[0], Ok(a) if a.duplicate && a.base_offset == Offset(0)));
        for refused in &said[1..] {
            let refused = refused.as_ref().unwrap_err();
            assert!(matches!(refused, AppendError::Failed(_)) && refused.is_retryable());
        }
        assert_eq!(marks(&topic), [0, 2, 2, 2]);
        assert_eq!(topic.next_sequence(ProducerId(9)), Some(Sequence(2)));
        assert_eq!(bases(&fetch(&node, &topic, 0, Upto::LogEnd)), [0]);
        // Sent again, it is no duplicate and gets the same offset.
        let again = node.run(topic.append(stamped(2))).unwrap();
        assert!(!again.duplicate && again.base_offset == Offset(2));
        let topic = node.restart(9).existing("t");
        assert_eq!(topic.marks().log_end, Offset(4));
    }
}

#[test]
fn nothing_is_appended_while_the_store_has_trouble() {
    let node = Node::new(10);
    let partition = partition(&node);
    node.store
        .inner
        .faults()
        .set_trouble(Some("the directory is gone".to_owned()));
    let refused = node
        .run(partition.append(batch_of(1, 10, None)))
        .unwrap_err();
    assert!(matches!(&refused, AppendError::Offline { .. }) && refused.is_retryable());
    let problems = node.log.health();
    assert!(
        problems.iter().any(crate::Problem::stops_appends),
        "{problems:?}"
    );
    node.store.inner.faults().set_trouble(None);
    append(&node, &partition, 1);
    assert_eq!(node.log.health(), []);
}

#[test]
fn submits_wait_for_room_and_who_came_first_gets_it_first() {
    let config = LogConfig {
        queue_bytes_max: ByteSize(10_000),
        queue_partition_bytes_max: ByteSize(4_000),
        ..LogConfig::default()
    };
    let node = Node::with(11, config);
    let partitions: Vec<_> = (0..3)
        .map(|n| node.partition(&format!("t{n}"), TopicSpec::default()))
        .collect();
    let batch = || batch_of(1, 1_900, None);
    // Two of each fit its own bound, five in all that of the node.
    let mut first: Vec<_> = Vec::new();
    for partition in &partitions[..2] {
        for _ in 0..2 {
            first.push(node.run(partition.submit(batch())).unwrap());
        }
    }
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut own = pin!(partitions[0].submit(batch()));
    assert!(own.as_mut().poll(&mut cx).is_pending(), "its own bound");
    first.push(node.run(partitions[2].submit(batch())).unwrap());
    let mut large = pin!(partitions[2].submit(batch()));
    let mut small = pin!(partitions[1].submit(batch_of(1, 10, None)));
    assert!(
        large.as_mut().poll(&mut cx).is_pending(),
        "the node's bound"
    );
    assert!(small.as_mut().poll(&mut cx).is_pending(), "it came later");
    for ticket in first {
        node.run(ticket).unwrap();
    }
    for submitted in [node.run(own), node.run(large), node.run(small)] {
        node.run(submitted.unwrap()).unwrap();
    }
    // All room came back, and what is larger than the bound goes alone.
    let core = &partitions[0].0;
    assert_eq!(core.room.available_permits(), 4_000);
    assert_eq!(core.shared.room.available_permits(), 10_000);
    node.run(partitions[0].append(batch_of(1, 20_000, None)))
        .unwrap();
}

#[test]
fn a_group_is_bounded_and_so_are_those_that_follow_it() {
    let node = Node::new(12);
    let partition = node.partition("t", TopicSpec::default());
    let other = node.partition("u", TopicSpec::default());
    // Each is a group by itself here.
    let batch = batch_of(1, 600, None);
    let submit = |to: &Partition| node.run(to.submit(batch.clone())).unwrap();
    let mut tickets: Vec<_> = (0..10).map(|_| submit(&partition)).collect();
    tickets.extend((0..10).map(|_| submit(&other)));
    assert!(node.pool.step());
    assert_eq!(marks(&partition), [0, 10, 10, 10]);
    assert_eq!(other.marks().log_end, Offset(6), "sixteen groups");
    for ticket in tickets {
        node.run(ticket).unwrap();
    }
    assert_eq!(marks(&other), [0, 10, 10, 10]);
}

/// What happens to the first of two groups, of which the second is written while it is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Succeeds,
    IsNotFlushed,
    /// The store gives both up.
    SecondIsNotWritten,
    SecondPanics,
}

#[test]
fn a_group_behind_another_goes_its_way() {
    let cases = [
        First::Succeeds,
        First::IsNotFlushed,
        First::SecondIsNotWritten,
        First::SecondPanics,
    ];
    for first in cases {
        let node = Node::new(12);
        let partition = partition(&node);
        let submit = |batch| node.run(partition.submit(batch)).unwrap();
        // Too large to be one group; the third is the second once more.
        let stamp = ProducerStamp {
            id: ProducerId(9),
            epoch: ProducerEpoch(0),
            sequence: Sequence(0),
        };
        let one = batch_of(2, 500, Some(stamp));
        let mut tickets = vec![submit(one.clone()), submit(stamped(2)), submit(stamped(2))];
        tickets.push(submit(batch_of(1, 10, None)));
        let error = || StoreError::failed("test", "memory", &"wanted by the test");
        let hooked = node.store.clone();
        match first {
            First::Succeeds => {}
            First::IsNotFlushed => node.store.inner.faults().fail_flush(error()),
            First::SecondIsNotWritten => node.store.before(Call::Write, move || {
                hooked.inner.faults().fail_write(error());
                Ok(())
            }),
            First::SecondPanics => node.store.before(Call::Write, move || {
                hooked.before(Call::Write, || panic!("wanted by the test"));
                Ok(())
            }),
        }
        let said: Vec<_> = tickets.into_iter().map(|t| node.run(t)).collect();
        if first == First::Succeeds {
            let said = said.into_iter().map(|said| said.unwrap());
            let said: Vec<_> = said.map(|a| (a.base_offset.0, a.duplicate)).collect();
            assert_eq!(said, [(0, false), (2, false), (2, true), (4, false)]);
            assert_eq!(marks(&partition), [0, 5, 5, 5]);
        } else {
            for refused in said {
                let refused = refused.expect_err("it counts with the other");
                assert!(refused.is_retryable(), "{first:?}: {refused:?}");
            }
            assert_eq!(marks(&partition), [0; 4], "{first:?}");
            assert_eq!(partition.next_sequence(ProducerId(9)), None);
            // Sent again, it is no duplicate.
            let again = node.run(partition.append(one)).unwrap();
            assert!(!again.duplicate && again.base_offset == Offset(0));
        }
        let end = marks(&partition);
        assert_eq!(marks(&node.restart(9).existing("t")), end);
    }
}

#[test]
fn what_cuts_a_log_waits_for_the_group_before() {
    let node = Node::new(12);
    let partition = partition(&node);
    let other = node.partition("u", TopicSpec::default());
    partition.follow(LeaderEpoch(3));
    node.run(partition.replicate(vec![led(0, 1)])).unwrap();
    let mut replicated = pin!(partition.replicate(vec![led(2, 1), led(4, 1)]));
    let mut cut = pin!(partition.truncate(Offset(5)));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(replicated.as_mut().poll(&mut cx).is_pending());
    assert!(cut.as_mut().poll(&mut cx).is_pending());
    // What makes it worth to begin a group while that is flushed.
    let behind = node.run(other.submit(batch_of(1, 10, None))).unwrap();
    assert_eq!(node.run(replicated).unwrap(), Offset(6));
    assert_eq!(node.run(cut).unwrap(), Offset(4));
    node.run(behind).unwrap();
    assert_eq!(marks(&partition)[3], 4);
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 2]);
}

#[test]
fn retention_raises_the_start_and_old_records_are_told_of() {
    let node = Node::new(13);
    let spec = TopicSpec::default()
        .retention_bytes(Some(ByteSize(2_500)))
        .retention_age(Some(Duration::from_secs(60)));
    let partition = node.partition("t", spec);
    for _ in 0..10 {
        node.run(partition.append(batch_of(1, 900, None))).unwrap();
    }
    node.run(node.log.maintain());
    assert_eq!(marks(&partition), [7, 10, 10, 10]);
    let trimmed = node.run(partition.fetch(Offset(6), ALL, Upto::LogEnd, None));
    assert!(matches!(trimmed, Err(ReadError::Trimmed { start, .. }) if start == Offset(7)));
    node.time.advance(Duration::from_secs(61));
    node.run(node.log.maintain());
    assert_eq!(marks(&partition), [10; 4]);
    assert_eq!(partition.stats().bytes, ByteSize(0));
    assert_eq!(append(&node, &partition, 1).base_offset, Offset(10));
    assert_eq!(node.restart(14).existing("t").marks().log_start, Offset(10));
}

#[test]
fn records_that_come_in_expired_are_warned_of_now_and_then() {
    let node = Node::new(15);
    let spec = TopicSpec::default()
        .retention_age(Some(Duration::from_secs(60)))
        .retention_by(RetentionBy::Record);
    let partition = node.partition("t", spec);
    let warned = || partition.0.state.lock().warned_expired;
    node.run(partition.append(batch_at(&[940_000], 10, None)))
        .unwrap();
    assert_eq!(warned(), None);
    node.run(partition.append(batch_at(&[939_999], 10, None)))
        .unwrap();
    assert_eq!(warned(), Some(Timestamp(1_000_000)));
    node.time.advance(Duration::from_secs(59));
    node.run(partition.append(batch_at(&[0], 10, None)))
        .unwrap();
    assert_eq!(warned(), Some(Timestamp(1_000_000)));
    node.time.advance(Duration::from_secs(1));
    node.run(partition.append(batch_at(&[0], 10, None)))
        .unwrap();
    assert_eq!(warned(), Some(Timestamp(1_060_000)));
}

#[test]
fn a_panic_costs_its_group_and_the_stream_goes_on() {
    for (call, retried) in [(Call::Flush, 1), (Call::Write, 2)] {
        let node = Node::new(16);
        let partition = partition(&node);
        append(&node, &partition, 1);
        let tickets: Vec<_> = (0..2)
            .map(|_| node.run(partition.submit(batch_of(1, 10, None))).unwrap())
            .collect();
        node.store.before(call, || panic!("wanted by the test"));
        for ticket in tickets {
            let said = node.run(ticket).unwrap_err();
            assert!(matches!(said, AppendError::Failed(_)), "{said:?}");
            assert!(said.is_retryable());
        }
        assert_eq!(node.log.health(), [crate::Problem::Panicked { times: 1 }]);
        assert!(!node.log.health()[0].stops_appends());
        assert_eq!(marks(&partition), [0, 1, 1, 1]);
        // Sent again, it gets the same offset.
        let again = node.run(partition.append(batch_of(retried, 10, None)));
        assert_eq!(again.unwrap().base_offset, Offset(1));
        assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0, 1]);
        let core = &partition.0;
        assert_eq!(
            core.room.available_permits() as u64,
            core.shared.queue_partition_bytes_max.0
        );
        let end = Offset(1 + i64::try_from(retried).unwrap());
        assert_eq!(node.restart(17).existing("t").marks().log_end, end);
    }
}

#[test]
fn a_panic_that_cannot_be_given_up_stops_the_stream() {
    let node = Node::new(18);
    let partition = partition(&node);
    append(&node, &partition, 1);
    let error = StoreError::failed("test", "memory", &"wanted by the test");
    node.store.inner.faults().fail_abandon(error);
    node.store
        .before(Call::Flush, || panic!("wanted by the test"));
    let said = node.run(partition.append(batch_of(1, 10, None)));
    assert!(matches!(said, Err(AppendError::Failed(_))), "{said:?}");
    let refused = node.run(partition.append(batch_of(1, 10, None)));
    assert!(matches!(refused, Err(AppendError::Offline { .. })));
    let health = node.log.health();
    let says = |p: &crate::Problem| p.to_string().contains("start the node again");
    assert!(
        health.iter().any(|p| p.stops_appends() && says(p)),
        "{health:?}"
    );
    assert_eq!(bases(&fetch(&node, &partition, 0, Upto::LogEnd)), [0]);
    let found = node.restart(19).existing("t");
    assert_eq!(found.marks().log_end, Offset(1));
}

/// What the store counts cannot be given up.
#[test]
fn a_panic_behind_the_flush_stops_the_stream() {
    let node = Node::new(20);
    let partition = partition(&node);
    partition.follow(LeaderEpoch(1));
    // Ten batches of one producer, of which the last five are known.
    let batches = (0..10).map(|n| stamped(n * 2).at(Offset(i64::from(n) * 2), LeaderEpoch(1)));
    node.run(partition.replicate(batches.collect())).unwrap();
    node.store
        .before(Call::Look, || panic!("wanted by the test"));
    let cut = node.run(partition.truncate(Offset(4)));
    assert!(matches!(cut, Err(AppendError::Failed(_))), "{cut:?}");
    assert!(node.log.health().iter().any(crate::Problem::stops_appends));
    let found = node.restart(21).existing("t");
    assert_eq!(found.marks().log_end, Offset(4));
}

#[test]
fn a_removal_that_panics_is_done_later() {
    let node = Node::new(22);
    let partition = partition(&node);
    append(&node, &partition, 1);
    let other = node.partition("u", TopicSpec::default());
    node.store
        .before(Call::Flush, || panic!("wanted by the test"));
    node.run(node.log.delete_topic(&partition.name().topic))
        .unwrap();
    let health = node.log.health();
    assert!(
        health.contains(&crate::Problem::NotRemoved { partitions: 1 }),
        "{health:?}"
    );
    append(&node, &other, 1);
    node.run(node.log.maintain());
    assert_eq!(node.log.health(), [crate::Problem::Panicked { times: 1 }]);
    assert_eq!(node.log.held(partition.key()), ByteSize(0));
}

#[test]
fn a_closed_log_writes_what_is_queued_and_refuses_the_rest() {
    let node = Node::new(17);
    let partition = partition(&node);
    let ticket = node.run(partition.submit(batch_of(1, 10, None))).unwrap();
    node.run(node.log.close());
    assert_eq!(node.run(ticket).unwrap().base_offset, Offset(0));
    let refused = node
        .run(partition.append(batch_of(1, 10, None)))
        .unwrap_err();
    assert!(matches!(refused, AppendError::Closed));
    let read = node.run(partition.fetch(Offset(0), ALL, Upto::LogEnd, None));
    assert!(matches!(read, Err(ReadError::Closed)));
    node.run(node.log.close());
}
