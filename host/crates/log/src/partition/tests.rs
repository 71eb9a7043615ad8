use std::time::Duration;

use wstream_record::{
    Clock, ManualClock, PartitionId, ProducerEpoch, ProducerStamp, Timestamp, TopicName,
};

use super::*;
use crate::testing::{batch_at, batch_of};
use crate::{Log, TopicConfig};

async fn log_with(config: TopicConfig, clock: Clock) -> (Log, Partition) {
    let log = Log::in_memory(clock);
    let topic = TopicName::new("t").unwrap();
    log.create_topic(&topic, config).await.unwrap();
    let name = TopicPartition::new(topic, PartitionId(0));
    let partition = log.partition(&name).unwrap();
    (log, partition)
}

async fn partition() -> (Log, Partition) {
    log_with(TopicConfig::default(), Clock::system()).await
}

fn base_offsets(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().map(|b| b.header().base_offset.0).collect()
}

const ALL: ByteSize = ByteSize::mib(100);

#[tokio::test]
async fn offsets_follow_the_order_of_submits() {
    let (_log, partition) = partition().await;
    let mut tickets = Vec::new();
    for count in [3, 1, 2] {
        tickets.push(partition.submit(batch_of(count, 10, None)).await.unwrap());
    }
    let mut appended = Vec::new();
    for ticket in tickets {
        let Appended {
            base_offset,
            next_offset,
            ..
        } = ticket.await.unwrap();
        appended.push((base_offset.0, next_offset.0));
    }
    assert_eq!(appended, [(0, 3), (3, 4), (4, 6)]);
    let read = partition.read(Offset(0), ALL).await.unwrap();
    assert_eq!(base_offsets(&read), [0, 3, 4]);
    let bounds = partition.bounds();
    assert_eq!(
        (bounds.high_watermark, bounds.log_end),
        (Offset(6), Offset(6))
    );
    assert_eq!(bounds.appended_records, 6);
}

#[tokio::test]
async fn reads_begin_with_the_batch_that_holds_the_offset_and_respect_the_limit() {
    let (_log, partition) = partition().await;
    for _ in 0..4 {
        partition.append(batch_of(5, 100, None)).await.unwrap();
    }
    let one = ByteSize(1);
    let rows = [
        (0, ALL, vec![0, 5, 10, 15]),
        (7, ALL, vec![5, 10, 15]),
        (7, one, vec![5]),
        (19, ALL, vec![15]),
        (20, ALL, vec![]),
    ];
    for (from, limit, expected) in rows {
        let read = partition.read(Offset(from), limit).await.unwrap();
        assert_eq!(base_offsets(&read), expected, "from {from}");
    }
    let past = partition.read(Offset(21), ALL).await.unwrap_err();
    assert!(matches!(past, ReadError::PastEnd { end, .. } if end == Offset(20)));
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_an_append() {
    let (_log, partition) = partition().await;
    let mut watch = partition.high_watermark();
    let reader = partition.clone();
    let waiting = tokio::spawn(async move {
        watch.wait_for(|&end| end > Offset(0)).await.unwrap();
        reader.read(Offset(0), ALL).await.unwrap().len()
    });
    partition.append(batch_of(1, 10, None)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn a_batch_sent_twice_is_stored_once() {
    let (_log, partition) = partition().await;
    let stamped = |sequence| {
        let stamp = ProducerStamp {
            id: ProducerId(9),
            epoch: ProducerEpoch(0),
            sequence: Sequence(sequence),
        };
        batch_of(2, 10, Some(stamp))
    };
    // All in one group: submitted before the first is awaited.
    let mut tickets = Vec::new();
    for sequence in [0, 2, 0, 5, 4, 2] {
        tickets.push(partition.submit(stamped(sequence)).await.unwrap());
    }
    let mut said = Vec::new();
    for ticket in tickets {
        said.push(ticket.await.map(|a| (a.base_offset.0, a.duplicate)));
    }
    let said: Vec<_> = said.into_iter().map(Result::ok).collect();
    let expected = [
        Some((0, false)),
        Some((2, false)),
        Some((0, true)),
        None,
        Some((4, false)),
        Some((2, true)),
    ];
    assert_eq!(said, expected);
    assert_eq!(partition.next_sequence(ProducerId(9)), Some(Sequence(6)));
    assert_eq!(partition.bounds().log_end, Offset(6));
}

#[tokio::test]
async fn batches_that_no_producer_sends_are_refused() {
    let config = TopicConfig {
        max_message_bytes: ByteSize(1_000),
        ..TopicConfig::default()
    };
    let (_log, partition) = log_with(config, Clock::system()).await;
    let large = partition
        .append(batch_of(1, 2_000, None))
        .await
        .unwrap_err();
    assert!(matches!(large, AppendError::TooLarge { max, .. } if max == ByteSize(1_000)));
    let mut bytes = batch_of(2, 10, None).bytes().to_vec();
    bytes[26] = 5;
    let gap = RecordBatch::parse_trusted(bytes.into()).unwrap();
    let gap = partition.append(gap).await.unwrap_err();
    assert!(matches!(gap, AppendError::Malformed(_)));
    assert_eq!(partition.bounds().log_end, Offset(0));
}

#[tokio::test]
async fn the_first_record_at_or_after_a_time_is_found() {
    let (_log, partition) = partition().await;
    for times in [[10, 30], [20, 25], [50, 40]] {
        partition.append(batch_at(&times, 10, None)).await.unwrap();
    }
    let rows = [
        (0, Some((0, 10))),
        (11, Some((1, 30))),
        (30, Some((1, 30))),
        (31, Some((4, 50))),
        (51, None),
    ];
    for (at, expected) in rows {
        let found = partition.offset_for(Timestamp(at)).await.unwrap();
        let expected = expected.map(|(o, t)| (Offset(o), Timestamp(t)));
        assert_eq!(found, expected, "at {at}");
    }
    partition.delete_before(Offset(2)).await.unwrap();
    let found = partition.offset_for(Timestamp(21)).await.unwrap();
    assert_eq!(found, Some((Offset(3), Timestamp(25))));
}

#[tokio::test]
async fn deleted_records_are_not_read() {
    let (_log, partition) = partition().await;
    for _ in 0..3 {
        partition.append(batch_of(4, 10, None)).await.unwrap();
    }
    assert_eq!(partition.delete_before(Offset(6)).await.unwrap(), Offset(6));
    assert_eq!(partition.delete_before(Offset(2)).await.unwrap(), Offset(6));
    let trimmed = partition.read(Offset(5), ALL).await.unwrap_err();
    assert!(matches!(trimmed, ReadError::Trimmed { start, .. } if start == Offset(6)));
    let read = partition.read(Offset(6), ALL).await.unwrap();
    assert_eq!(base_offsets(&read), [4, 8]);
    assert!(partition.delete_before(Offset(13)).await.is_err());
}

#[tokio::test]
async fn retention_removes_whole_segments_oldest_first() {
    let time = ManualClock::new(Timestamp(1_000));
    let config = TopicConfig {
        segment_bytes: ByteSize(1_000),
        retention_bytes: Some(ByteSize(2_500)),
        retention_age: Some(Duration::from_secs(60)),
        ..TopicConfig::default()
    };
    let (log, partition) = log_with(config, time.clock()).await;
    for _ in 0..10 {
        partition.append(batch_of(1, 900, None)).await.unwrap();
    }
    log.maintain().await;
    let bounds = partition.bounds();
    assert_eq!(bounds.log_start, Offset(7), "{bounds:?}");
    time.advance(Duration::from_secs(61));
    log.maintain().await;
    let bounds = partition.bounds();
    assert_eq!((bounds.log_start, bounds.log_end), (Offset(10), Offset(10)));
    assert_eq!(bounds.bytes, ByteSize(0));
    let appended = partition.append(batch_of(1, 10, None)).await.unwrap();
    assert_eq!(appended.base_offset, Offset(10));
}

#[tokio::test]
async fn a_rewrite_leaves_the_live_records_only() {
    let (_log, partition) = partition().await;
    for _ in 0..5 {
        partition.append(batch_of(2, 10, None)).await.unwrap();
    }
    let stale = partition.rewrite(Vec::new(), Offset(8)).await.unwrap_err();
    assert!(matches!(stale, RewriteError::Moved { end, .. } if end == Offset(10)));
    let live = vec![batch_of(1, 10, None), batch_of(2, 10, None)];
    partition.rewrite(live, Offset(10)).await.unwrap();
    let bounds = partition.bounds();
    assert_eq!((bounds.log_start, bounds.log_end), (Offset(10), Offset(13)));
    let read = partition.read(Offset(10), ALL).await.unwrap();
    assert_eq!(base_offsets(&read), [10, 11]);
}

#[tokio::test]
async fn a_closed_log_writes_what_is_queued_and_refuses_the_rest() {
    let (log, partition) = partition().await;
    let ticket = partition.submit(batch_of(1, 10, None)).await.unwrap();
    log.close().await;
    assert_eq!(ticket.await.unwrap().base_offset, Offset(0));
    let refused = partition.append(batch_of(1, 10, None)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Closed));
    let refused = partition.read(Offset(0), ALL).await.unwrap_err();
    assert!(matches!(refused, ReadError::Closed));
    log.close().await;
}

#[tokio::test]
async fn submits_wait_for_room_in_the_queue() {
    let (_log, partition) = partition().await;
    let total = 64;
    let batch = batch_of(1, 1_000_000, None);
    let mut tickets = Vec::new();
    for _ in 0..total {
        tickets.push(partition.submit(batch.clone()).await.unwrap());
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert_eq!(partition.bounds().log_end, Offset(total));
    // Every permit came back.
    let room = partition.0.room.available_permits();
    assert_eq!(room as u64, partition.0.shared.queue_bytes_max.0);
}
