use super::*;
use crate::Header;

fn record(timestamp: i64, key: Option<&str>, value: Option<&str>) -> Record {
    let bytes = |s: &str| Bytes::copy_from_slice(s.as_bytes());
    let headers = vec![
        Header {
            name: bytes("trace"),
            value: Some(bytes("1")),
        },
        Header {
            name: bytes(""),
            value: None,
        },
    ];
    Record {
        timestamp: Timestamp(timestamp),
        key: key.map(bytes),
        value: value.map(bytes),
        headers,
    }
}

fn batch() -> (Vec<Record>, RecordBatch) {
    let records = vec![
        record(1_000, Some("k"), Some("v")),
        record(900, None, Some("")),
        record(2_000, Some(""), None),
    ];
    let mut builder = BatchBuilder::new();
    records.iter().for_each(|r| builder.push(r));
    let stamp = ProducerStamp {
        id: ProducerId(7),
        epoch: ProducerEpoch(0),
        sequence: Sequence(40),
    };
    (records, builder.finish(Some(stamp)).unwrap())
}

#[test]
fn records_come_back_at_their_offsets() {
    let (records, batch) = batch();
    let batch = batch.at(Offset(500), LeaderEpoch(3));
    let parsed = RecordBatch::parse(batch.bytes().clone()).unwrap();
    assert_eq!(parsed, batch);
    let header = parsed.header();
    assert_eq!(header.next_offset(), Offset(503));
    assert_eq!(header.leader_epoch, LeaderEpoch(3));
    assert_eq!(header.max_timestamp, Timestamp(2_000));
    assert_eq!(header.producer.unwrap().sequence, Sequence(40));
    let read = parsed.records().unwrap();
    assert_eq!(
        read.iter().map(|r| r.offset.0).collect::<Vec<_>>(),
        [500, 501, 502]
    );
    assert_eq!(
        read.into_iter().map(|r| r.record).collect::<Vec<_>>(),
        records
    );
}

#[test]
fn bytes_are_kafkas() {
    // Written by hand from the format's description: one record, key "k", value "v", time 5.
    let mut builder = BatchBuilder::new();
    builder.push_parts(Timestamp(5), Some(b"k"), Some(b"v"), [].into_iter());
    let batch = builder.finish(None).unwrap();
    let body: &[u8] = &[
        0, 0, 0, 0, 0, 0, // attributes, last offset delta
        0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, // base and largest timestamp
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, // no producer
        0, 0, 0, 1, // one record
        16, 0, 0, 0, 2, b'k', 2, b'v', 0,
    ];
    assert_eq!(&batch.bytes()[21..], body);
    assert_eq!(
        &batch.bytes()[..17],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 58, 0, 0, 0, 0, 2]
    );
    assert_eq!((&batch.bytes()[17..21]).get_u32(), crc32c::crc32c(body));
}

#[test]
fn every_flipped_bit_behind_the_crc_is_seen() {
    let (_, batch) = batch();
    for at in 17..batch.bytes().len() {
        let mut bytes = batch.bytes().to_vec();
        bytes[at] ^= 1;
        assert!(RecordBatch::parse(bytes.into()).is_err(), "byte {at}");
    }
}

#[test]
fn cut_batches_are_refused() {
    let (_, batch) = batch();
    for len in 0..batch.bytes().len() {
        let cut = RecordBatch::parse(batch.bytes().slice(..len));
        assert!(matches!(cut, Err(BatchError::Cut { .. })), "{len}: {cut:?}");
    }
}

#[test]
fn batches_are_taken_off_one_by_one() {
    let (_, first) = batch();
    let second = batch().1.at(Offset(3), LeaderEpoch(0));
    let mut both = Bytes::from([&first.bytes()[..], &second.bytes()[..]].concat());
    assert_eq!(RecordBatch::take_first(&mut both).unwrap(), Some(first));
    assert_eq!(RecordBatch::take_first(&mut both).unwrap(), Some(second));
    assert_eq!(RecordBatch::take_first(&mut both).unwrap(), None);
}

proptest::proptest! {
    #[test]
    fn hostile_records_never_panic(count in 0..50i32, bytes: Vec<u8>) {
        let header = BatchHeader { records: count, last_offset_delta: 60, ..*batch().1.header() };
        drop(decode_records(&header, &bytes.into()));
    }
}

#[test]
fn a_control_batch_reads_as_one_of_its_producers_transaction() {
    let mut builder = BatchBuilder::new();
    builder.push(&record(1_000, Some("k"), Some("v")));
    let stamp = ProducerStamp {
        id: ProducerId(7),
        epoch: ProducerEpoch(3),
        sequence: Sequence(-1),
    };
    let batch = builder.finish_control(stamp).unwrap();
    assert!(batch.header().is_control() && batch.header().is_transactional());
    let read = RecordBatch::parse(batch.bytes().clone()).unwrap();
    assert_eq!(read.header(), batch.header());
    assert_eq!(read.header().producer, Some(stamp));
}
