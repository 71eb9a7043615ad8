//! What every `Source` owes its runner, checked on an input that ends.

use std::sync::Arc;

use wstream_record::{ProducerId, Sequence};

use super::checkpoint::Sequences;
use super::checkpoint::tests::plan;
use super::rows::{BATCH_BYTES, Labels, Rows, Target};
use super::{Opened, Reading, Source, SourceError};

/// Rows as the log would get them: whether a dead letter, the key, the value or raw row, the line
/// and code of a dead letter.
pub(super) type Given = (bool, Option<String>, String, String);

/// Room for everything in order: one partition, `step` rows at a time.
pub(super) fn rows(step: usize) -> Rows {
    let labels = Labels {
        source: "s".into(),
        topic: "t".into(),
        file: "f".into(),
    };
    let zero = Sequences {
        records: vec![Sequence(0)],
        dead_letters: vec![Sequence(0)],
    };
    Rows::new(plan(1, 1), Arc::new(labels), ProducerId(1), &zero, &zero)
        .with_bounds(step, BATCH_BYTES)
}

/// What `rows` holds, records first.
pub(super) fn take(rows: &mut Rows) -> Vec<Given> {
    rows.seal_all();
    let mut given = Vec::new();
    for sealed in rows.take() {
        for stored in sealed.batch.records().unwrap() {
            let text = |b: &bytes::Bytes| String::from_utf8_lossy(b).into_owned();
            let header = |name: &str| stored.record.header(name).map(text).unwrap_or_default();
            let code = header("wstream.error.line") + " " + &header("wstream.error.code");
            given.push((
                sealed.target == Target::DeadLetters,
                stored.record.key.as_ref().map(text),
                stored.record.value.as_ref().map(text).unwrap(),
                code.trim().to_owned(),
            ));
        }
    }
    given
}

/// Reads to the end, `step` rows at a time.
pub(super) fn read_all(source: &mut dyn Source, step: usize) -> Vec<Given> {
    let mut rows = rows(step);
    let mut given = Vec::new();
    loop {
        let read = source.read(&mut rows).unwrap();
        given.extend(take(&mut rows));
        match read {
            Reading::More | Reading::Turned => {}
            Reading::End => return given,
            Reading::Waiting => panic!("an input that ends does not wait"),
        }
    }
}

/// `open` opens the same input at a position.
pub(super) fn check(open: impl Fn(Option<&serde_json::Value>) -> Result<Opened, SourceError>) {
    let whole = read_all(open(None).unwrap().source.as_mut(), usize::MAX);
    assert!(
        !whole.is_empty(),
        "conformance is checked on an input with rows"
    );
    let sorted = |mut rows: Vec<Given>| {
        rows.sort();
        rows
    };

    // The size of steps does not matter, and bounds are kept.
    let mut source = open(None).unwrap().source;
    let mut rows = rows(1);
    let (mut one_by_one, mut positions) = (Vec::new(), vec![(0, source.position().unwrap())]);
    loop {
        let read = source.read(&mut rows).unwrap();
        let step = take(&mut rows);
        assert!(step.len() <= 1, "a step of one row gave {step:?}");
        one_by_one.extend(step);
        positions.push((one_by_one.len(), source.position().unwrap()));
        if read == Reading::End {
            break;
        }
    }
    assert_eq!(sorted(one_by_one.clone()), sorted(whole));

    // From every position on, the rest comes, and nothing else.
    for (before, position) in &positions {
        let opened = open(Some(position)).unwrap();
        assert_eq!(opened.anew, None, "{position}");
        let mut source = opened.source;
        assert_eq!(
            read_all(source.as_mut(), 1),
            one_by_one[*before..],
            "from {position}"
        );
        assert_eq!(
            source.read(&mut self::rows(1)).unwrap(),
            Reading::End,
            "an end stays one"
        );
        let progress = source.progress();
        assert_eq!(progress.read, progress.total, "from {position}");
    }
}
