use wstream_record::LeaderEpoch;

use super::*;
use crate::derived::tests::{control_of, header_of};

fn begin(transactions: &mut Transactions, producer: i64, at: i64) {
    let mut header = header_of(at, 1, Some((producer, 0, 0)));
    header.attributes = 1 << 4;
    transactions.note(&header);
}

fn parse(batch: &RecordBatch) -> Result<Option<Marker>, &'static str> {
    Marker::parse(batch).map(|found| found.map(|(marker, _)| marker))
}

fn end(transactions: &mut Transactions, producer: i64, marker: Marker, at: i64) -> Option<Row> {
    let ended = transactions.note_marker(ProducerId(producer), marker, Offset(at));
    ended.map(|r| (r.producer.0, r.first.0, r.last.0, r.stable.0))
}

/// Producer, first and last offset, and where what ends behind begins.
type Row = (i64, i64, i64, i64);

/// 1 aborts [0, 20], 2 commits [10, 30], 3 aborts [15, 40], 4 is open from 35.
fn some() -> Transactions {
    let mut some = Transactions::default();
    begin(&mut some, 1, 0);
    begin(&mut some, 2, 10);
    begin(&mut some, 3, 15);
    assert_eq!(end(&mut some, 1, Marker::Abort, 20), Some((1, 0, 20, 10)));
    assert_eq!(end(&mut some, 2, Marker::Commit, 30), None);
    begin(&mut some, 4, 35);
    begin(&mut some, 4, 36);
    assert_eq!(end(&mut some, 3, Marker::Abort, 40), Some((3, 15, 40, 35)));
    assert_eq!(end(&mut some, 9, Marker::Abort, 41), None);
    some
}

#[test]
fn what_is_undecided_or_not_committed_is_not_stable() {
    let some = some();
    assert_eq!(some.open(), 1);
    // high watermark, last stable
    let rows = [
        (5, 0),
        (20, 0),
        (21, 10),
        (30, 10),
        (31, 15),
        (40, 15),
        (41, 35),
        (60, 35),
    ];
    for (high_watermark, stable) in rows {
        let said = some.last_stable(Offset(high_watermark));
        assert_eq!(said, Offset(stable), "high watermark {high_watermark}");
    }
    assert_eq!(Transactions::default().last_stable(Offset(7)), Offset(7));
}

#[test]
fn going_back_opens_what_ended_above() {
    // end; the open ones and whether it is exact
    let rows: [(i64, &[i64]); 6] = [
        (42, &[35]),
        (40, &[15, 35]),
        (35, &[15]),
        (30, &[10, 15]),
        (20, &[0, 10, 15]),
        (10, &[0]),
    ];
    for (end, open) in rows {
        let mut some = some();
        assert!(some.truncate(Offset(end)));
        let firsts: Vec<i64> = some.by_first.iter().map(|o| o.0.0).collect();
        assert_eq!(firsts, open, "end {end}");
    }
    let mut passed = some();
    passed.committed_to(Offset(31));
    assert!(passed.clone().truncate(Offset(31)));
    assert!(!passed.truncate(Offset(30)));
}

#[test]
fn the_log_start_ends_what_is_below() {
    let mut some = some();
    some.drop_below(Offset(21));
    some.drop_below(Offset(38));
    assert_eq!(some.last_stable(Offset(60)), Offset(38));
    assert_eq!(some.first_of(ProducerId(4)), Some(Offset(38)));
    assert_eq!(end(&mut some, 4, Marker::Abort, 50), Some((4, 38, 50, 51)));
}

#[test]
fn beyond_their_bound_ended_ones_keep_the_last_stable_offset_down() {
    let mut many = Transactions::default();
    for n in 0..=10_000 {
        begin(&mut many, n, n * 10);
        end(&mut many, n, Marker::Commit, n * 10 + 5);
    }
    assert_eq!(many.ended.len(), ENDED_MAX);
    assert_eq!(many.last_stable(Offset(5)), Offset(0));
    assert_eq!(many.last_stable(Offset(6)), Offset(6));
    assert!(!many.clone().truncate(Offset(5)));
    assert!(many.clone().truncate(Offset(6)));
    many.committed_to(Offset(6));
    assert_eq!(many.last_stable(Offset(7)), Offset(7));
    assert_eq!(many.last_stable(Offset(15)), Offset(10));
}

#[test]
fn there_is_room_for_open_transactions_up_to_the_bound() {
    let mut many = Transactions::default();
    let mut header = header_of(0, 1, Some((-1, 0, 0)));
    for n in 0..10_000 {
        begin(&mut many, n, n);
    }
    for (producer, attributes, room) in [
        (5, 1 << 4, true),
        (77_777, 0, true),
        (77_777, 1 << 4, false),
    ] {
        header.attributes = attributes;
        header.producer = header_of(0, 1, Some((producer, 0, 0))).producer;
        assert_eq!(many.has_room(&header), room);
    }
    // What is stored counts all the same.
    begin(&mut many, 77_777, 20_000);
    assert_eq!(many.open(), 10_001);
}

#[test]
fn markers_are_read_and_anything_else_is_no_marker() {
    let abort: &[u8] = &[0, 0, 0, 0];
    let commit: &[u8] = &[0, 0, 0, 1];
    let value: &[u8] = &[0, 0, 0, 0, 0, 7];
    let rows = [
        (Some(abort), Some(value), Ok(Some(Marker::Abort))),
        (Some(commit), Some(value), Ok(Some(Marker::Commit))),
        (
            Some(&[0, 1, 0, 1, 9, 9][..]),
            Some(&[0, 2, 0, 0, 0, 1, 5][..]),
            Ok(Some(Marker::Commit)),
        ),
        (
            Some(&[0, 0, 0, 2][..]),
            Some(value),
            Err("its type is not abort or commit"),
        ),
        (
            Some(&[0, 0, 0xff, 0xff][..]),
            Some(value),
            Err("its type is not abort or commit"),
        ),
        (
            Some(&[0xff, 0xff, 0, 0][..]),
            Some(value),
            Err("its version is negative"),
        ),
        (Some(&[0, 0, 0][..]), Some(value), Err("its key is cut")),
        (
            Some(commit),
            Some(&[0, 0, 0, 0, 0][..]),
            Err("its value is cut"),
        ),
        (None, Some(value), Err("it has no key")),
        (Some(commit), None, Err("it has no value")),
    ];
    for (key, value, said) in rows {
        let batch = control_of(0, (1, 0), key, value);
        assert_eq!(parse(&batch), said, "{key:?} {value:?}");
    }
    let data = crate::testing::batch_of(1, 1, None).at(Offset(0), LeaderEpoch(0));
    assert!(Marker::parse(&data).is_err());
    // A record count that the bytes do not hold, a compression that they do not have.
    let good = control_of(0, (1, 0), Some(commit), Some(value));
    for (at, byte, said) in [(60, 200, None), (22, 0x24, None), (60, 0, Some(Ok(None)))] {
        let mut bytes = good.bytes().to_vec();
        bytes[at] = byte;
        match RecordBatch::parse_trusted(bytes.into()) {
            Ok(batch) => match said {
                Some(said) => assert_eq!(parse(&batch), said),
                None => assert!(Marker::parse(&batch).is_err()),
            },
            Err(_) => assert!(said.is_none()),
        }
    }
}

#[test]
fn a_marker_reads_as_it_was_written() {
    for marker in [Marker::Abort, Marker::Commit] {
        let (producer, epoch) = (ProducerId(1 << 40), ProducerEpoch(7));
        let coordinator = CoordinatorEpoch(1 << 30);
        let batch = marker.batch(producer, epoch, coordinator, Timestamp(5));
        let read = RecordBatch::parse(batch.bytes().clone()).unwrap();
        assert_eq!(Marker::parse(&read), Ok(Some((marker, coordinator))));
        let stamp = read.header().producer.unwrap();
        assert_eq!(
            (stamp.id, stamp.epoch, stamp.sequence.0),
            (producer, epoch, -1)
        );
        assert_eq!(read.header().max_timestamp, Timestamp(5));
    }
}
