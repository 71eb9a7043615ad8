use super::*;
use crate::derived::tests::header_of;

/// Of `count` records, noted at time 0 unless a test says otherwise.
fn header(id: i64, epoch: i16, sequence: i32, count: i32, base: i64) -> BatchHeader {
    header_of(base, count, Some((id, epoch, sequence)))
}

fn stamp(id: i64, epoch: i16) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        sequence: Sequence(-1),
    }
}

fn known(max: usize) -> Producers {
    Producers::new(Arc::new(ProducerBudget::new(max)))
}

const NOW: Timestamp = Timestamp(0);

#[test]
fn the_last_five_batches_are_known_again_and_order_is_kept() {
    let mut known = known(10);
    let none = Producers::default();
    for n in 0..7_i32 {
        let header = header(1, 0, n * 10, 10, i64::from(n) * 100);
        assert_eq!(known.judge(&none, &header).unwrap(), Verdict::New);
        known.note(&header, NOW);
    }
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(70)));
    let duplicate = |n: i64| {
        Some(Verdict::Duplicate {
            base: Offset(n * 100),
            next: Offset(n * 100 + 10),
        })
    };
    // sequence, count, what is said
    let rows = [
        (70, 5, Some(Verdict::New)),
        (60, 10, duplicate(6)),
        (20, 10, duplicate(2)),
        (10, 10, None),
        (60, 9, None),
        (71, 1, None),
    ];
    for (sequence, count, said) in rows {
        let answer = known.judge(&none, &header(1, 0, sequence, count, 0));
        assert_eq!(answer.ok(), said, "sequence {sequence} count {count}");
    }
}

#[test]
fn epochs_fence_and_start_at_zero() {
    let mut known = known(10);
    let none = Producers::default();
    known.note(&header(1, 3, 40, 2, 0), NOW);
    let fenced = known.judge(&none, &header(1, 2, 42, 1, 0)).unwrap_err();
    assert!(matches!(fenced, AppendError::FencedProducer { current, .. } if current.0 == 3));
    assert!(known.judge(&none, &header(1, 4, 42, 1, 0)).is_err());
    let fresh = header(1, 4, 0, 1, 2);
    assert_eq!(known.judge(&none, &fresh).unwrap(), Verdict::New);
    known.note(&fresh, NOW);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(1)));
}

#[test]
fn a_marker_gives_the_epoch_and_is_no_batch() {
    let mut known = known(10);
    let none = Producers::default();
    known.note(&header(1, 3, 40, 2, 0), NOW);
    known.note_marker(stamp(1, 3), COORDINATOR_UNKNOWN, Offset(2), NOW);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(42)));
    known.note_marker(stamp(1, 4), COORDINATOR_UNKNOWN, Offset(3), NOW);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(0)));
    assert!(known.judge(&none, &header(1, 3, 42, 1, 0)).is_err());
    assert!(known.judge(&none, &header(1, 4, 42, 1, 0)).is_err());
    assert!(known.judge(&none, &header(1, 4, 0, 1, 0)).is_ok());
    let mut marker = header(1, 3, -1, 1, 4);
    marker.attributes = 1 << 5;
    assert!(known.judge(&none, &marker).is_err());
}

#[test]
fn sequences_wrap_and_may_be_missing() {
    let mut known = known(10);
    let none = Producers::default();
    known.note(&header(1, 0, i32::MAX - 1, 4, 0), NOW);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(2)));
    let again = known.judge(&none, &header(1, 0, i32::MAX - 1, 4, 0));
    assert!(matches!(again, Ok(Verdict::Duplicate { .. })));
    let without = header(1, 0, -1, 3, 4);
    assert!(matches!(known.judge(&none, &without), Ok(Verdict::New)));
    known.note(&without, NOW);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(2)));
}

#[test]
fn batches_of_one_write_are_judged_by_each_other() {
    let mut known = known(10);
    known.note(&header(1, 0, 0, 10, 0), NOW);
    let mut beside = Producers::default();
    let second = header(1, 0, 10, 10, 10);
    known.note_beside(&mut beside, &second);
    let duplicate = Verdict::Duplicate {
        base: Offset(10),
        next: Offset(20),
    };
    assert_eq!(known.judge(&beside, &second).unwrap(), duplicate);
    let third = known.judge(&beside, &header(1, 0, 20, 1, 20));
    assert_eq!(third.unwrap(), Verdict::New);
    assert_eq!(known.next_sequence(ProducerId(1)), Some(Sequence(10)));
}

#[test]
fn the_longest_silent_are_forgotten_at_the_partitions_bound() {
    let mut known = known(usize::MAX);
    for n in 0..=10_000 {
        known.note(&header(n, 0, 0, 1, n), Timestamp(n));
    }
    assert_eq!(known.len(), 9_001);
    assert_eq!(known.next_sequence(ProducerId(999)), None);
    assert_eq!(known.next_sequence(ProducerId(1_000)), Some(Sequence(1)));
    assert_eq!(known.next_sequence(ProducerId(10_000)), Some(Sequence(1)));
}

#[test]
fn partitions_share_a_budget_and_give_back_what_they_took() {
    let budget = Arc::new(ProducerBudget::new(100));
    let mut first = Producers::new(Arc::clone(&budget));
    for n in 0..100 {
        first.note(&header(n, 0, 0, 1, n), Timestamp(n));
    }
    let mut second = Producers::new(Arc::clone(&budget));
    for n in 0..30 {
        second.note(&header(n, 0, 0, 1, n), Timestamp(n));
        assert_eq!(second.len(), 10.min(usize::try_from(n).unwrap() + 1));
    }
    assert_eq!(second.next_sequence(ProducerId(29)), Some(Sequence(1)));
    assert_eq!(budget.known(), 110);
    first.note(&header(200, 0, 0, 1, 200), Timestamp(200));
    assert_eq!((first.len(), budget.known()), (91, 101));
    first.expire(Timestamp(200), Duration::from_millis(110), &|id| id.0 == 12);
    assert_eq!((first.len(), budget.known()), (11, 21));
    assert!(first.truncate(Offset(150)));
    assert_eq!((first.len(), budget.known()), (10, 20));
    drop(second);
    assert_eq!(budget.known(), 10);
    drop(first);
    assert_eq!(budget.known(), 0);
}

#[test]
fn going_back_is_refused_where_the_state_is_lost() {
    let mut before = known(10);
    for n in 0..7_i32 {
        before.note(&header(1, 0, n, 1, i64::from(n)), NOW);
    }
    let mut out = Vec::new();
    before.encode(&mut out);
    let again = || {
        let mut input = Reader::new(&out);
        Producers::decode(&mut input, Arc::new(ProducerBudget::default()), true).unwrap()
    };
    // Five are known: 2 to 6. Below 0 the producer was not known.
    for (end, enough) in [(7, true), (3, true), (2, false), (1, false), (0, true)] {
        assert_eq!(again().truncate(Offset(end)), enough, "end {end}");
    }
    let mut left = again();
    assert!(left.truncate(Offset(3)));
    assert_eq!(left.next_sequence(ProducerId(1)), Some(Sequence(3)));
    // An epoch that began above has replaced what was known.
    let mut fenced = again();
    fenced.note_marker(stamp(1, 1), COORDINATOR_UNKNOWN, Offset(7), NOW);
    assert!(!fenced.truncate(Offset(7)));
    // All that an epoch has written is known: none is left, and none was there.
    let mut marked = again();
    marked.note_marker(stamp(1, 1), COORDINATOR_UNKNOWN, Offset(7), NOW);
    marked.note(&header(1, 1, 0, 1, 8), NOW);
    assert!(marked.truncate(Offset(8)));
    assert_eq!(marked.next_sequence(ProducerId(1)), Some(Sequence(0)));
}

#[test]
fn a_known_producer_takes_few_bytes() {
    let mut known = known(1_000);
    for n in 0..1_000_i64 {
        for batch in 0..5_i32 {
            let base = n * 500 + i64::from(batch) * 100;
            known.note(
                &header(n, 0, batch * 100, 100, base),
                Timestamp(1_700_000_000_000 + n),
            );
        }
    }
    let mut out = Vec::new();
    known.encode(&mut out);
    assert!(out.len() < 30 * 1_000, "{} bytes", out.len());
}
