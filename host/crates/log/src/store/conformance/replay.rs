//! What a start is shown.

use wstream_record::{ByteSize, Offset, Timestamp};

use super::batches::{CONTROL, TRANSACTIONAL, filled, with_attributes};
use super::key;
use super::model::Seen;
use super::subject::Subject;
use crate::store::Entry;

pub(super) fn control_batches_are_shown(subject: &mut Subject<'_>) {
    for n in 0..20 {
        let data = with_attributes(&filled(n, &[1, 2], 100), TRANSACTIONAL);
        let marker = with_attributes(&filled(n + 50, &[3], 12), TRANSACTIONAL | CONTROL);
        subject.append(key(50, i32::from(n % 3)), vec![data, marker]);
        // `reopen` compares what is shown with what was written.
        match n % 6 {
            2 => subject.reopen(false),
            3 => subject.roll(),
            5 => subject.reopen(true),
            _ => {}
        }
    }
    let seen = Seen {
        refuses: true,
        ..Seen::default()
    };
    subject.reopen_showing(false, seen);
}

pub(super) fn what_was_derived_comes_back(subject: &mut Subject<'_>) {
    for n in 0..30_u8 {
        subject.append(key(51, i32::from(n % 4)), vec![filled(n, &[n.into()], 300)]);
    }
    subject.roll();
    subject.append(key(51, 0), vec![filled(1, &[1], 9)]);
    subject.write_one(key(51, 1), Entry::Start(Offset(3)));
    subject.write_one(key(51, 2), Entry::End(Offset(5)));
    subject.write_one(key(51, 3), Entry::Reset(Offset(90)));
    for cleanly in [false, true, true, false] {
        let seen = subject.reopen_showing(cleanly, Seen::default());
        assert!(seen.taken > 0 || seen.entries > 0);
        subject.append(key(51, 2), vec![filled(8, &[2, 3], 11)]);
    }
}

pub(super) fn what_was_derived_can_be_refused(subject: &mut Subject<'_>) {
    for n in 0..40_u8 {
        subject.append(
            key(52, i32::from(n % 4)),
            vec![filled(n, &[n.into()], 3_000)],
        );
        if n % 10 == 9 {
            subject.roll();
        }
    }
    subject.write_one(key(52, 1), Entry::Start(Offset(3)));
    subject.write_one(key(52, 2), Entry::End(Offset(5)));
    subject.write_one(key(52, 3), Entry::Reset(Offset(90)));
    for cleanly in [true, false] {
        let seen = Seen {
            refuses: true,
            ..Seen::default()
        };
        let seen = subject.reopen_showing(cleanly, seen);
        assert_eq!(seen.taken, 0);
        subject.append(key(52, 3), vec![filled(1, &[7], 30)]);
    }
}

pub(super) fn a_closed_store_answers_nothing(subject: &mut Subject<'_>) {
    let key = key(53, 0);
    subject.append(key, vec![filled(1, &[1], 10)]);
    let store = subject.store();
    store.close(&Vec::new).unwrap();
    let end = Offset(1);
    assert!(store.read(key, Offset(0), end, ByteSize(10)).is_err());
    assert!(store.offset_for(key, Offset(0), end, Timestamp(0)).is_err());
    assert!(store.flush(store.stream_of(key)).is_err());
    let written = subject.write_only(store.stream_of(key), &[(key, Entry::Start(end))]);
    assert!(written.is_err());
    // It was closed with nothing derived, so a start must refuse that to see all.
    let seen = Seen {
        refuses: true,
        ..Seen::default()
    };
    subject.reopen_showing(false, seen);
}
