//! Reads, and deletions of what lies below an offset.

use std::collections::BTreeMap;

use wstream_record::{ByteSize, Offset, RecordBatch, Timestamp};

use super::batches::{Rec, records_of};
use super::model::Kind;
use super::run::{Run, check_refusal};
use crate::errors::{DeleteError, ReadError};
use crate::partition::Upto;

impl Run {
    /// Reads somewhere.
    pub(super) fn look(&mut self) {
        let Some(at) = self.some_part(|kind| kind != Kind::Followed) else {
            return;
        };
        let (start, end) = (self.parts[at].start, self.parts[at].end);
        let from = start + self.below(end - start + 1);
        let limit = ByteSize(self.random.below(200_000) as u64);
        let upto = [Upto::LogEnd, Upto::HighWatermark, Upto::LastStable][self.random.below(3)];
        let partition = self.partition(at);
        let fetch = partition.fetch(Offset(from), limit, upto, None);
        let Some(fetched) = self.node.run(fetch) else {
            return;
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(ReadError::Trimmed { .. }) => panic!("{from} is there"),
            Err(error) => panic!("{error}"),
        };
        let found = self.records(&fetched.batches().unwrap());
        self.say(format_args!(
            "{} of {at} from {from} to {}",
            found.len(),
            fetched.next
        ));
        assert!(
            fetched.next.0 > from || from == end,
            "{at}: a reader at {from} gets on"
        );
        self.check_read(at, &found, (from, fetched.next.0));
    }

    /// Hears what is missing.
    pub(super) fn listen(&mut self) {
        for missing in self.node.log.missing() {
            if !self.told.contains(&missing) {
                self.told.push(missing);
            }
        }
    }

    pub(super) fn check_read(&mut self, at: usize, found: &BTreeMap<i64, Rec>, range: (i64, i64)) {
        self.listen();
        let missing = &self.told;
        let part = &mut self.parts[at];
        for (offset, rec) in found {
            let known = part
                .records
                .get(offset)
                .or_else(|| part.history.get(offset));
            // Of a batch that a start cut, all is answered, and nobody may have heard of its head.
            if known.is_none() && *offset < part.start {
                continue;
            }
            assert_eq!(known, Some(rec), "{} at {offset}", part.name);
        }
        let loss = self.loss;
        self.vague += part.compare(found, range, missing, loss);
    }

    pub(super) fn records(&self, batches: &[RecordBatch]) -> BTreeMap<i64, Rec> {
        let mut found = BTreeMap::new();
        let mut last = -1;
        for batch in batches {
            batch.check_crc().expect("what is answered is whole");
            for (offset, rec) in records_of(batch) {
                assert!(offset > last, "offsets rise");
                last = offset;
                found.insert(offset, rec);
            }
        }
        found
    }

    pub(super) fn look_for_time(&mut self) {
        let Some(at) = self.some_part(|k| matches!(k, Kind::Plain | Kind::Retained)) else {
            return;
        };
        let time = self.node.now() - self.below(20_000);
        let partition = self.partition(at);
        let Some(found) = self.node.run(partition.offset_for(Timestamp(time))) else {
            return;
        };
        let found = found.expect("the store reads").map(|(offset, _)| offset.0);
        self.say(format_args!("at {time} of {at}: {found:?}"));
        let part = &self.parts[at];
        if self.loss.told || part.lossy {
            return;
        }
        let mut wanted = part.records.iter().filter(|(_, rec)| rec.time >= time);
        let wanted = wanted.next().map(|(offset, _)| *offset);
        assert_eq!(found, wanted, "{} at {time}", part.name);
    }

    pub(super) fn delete_before(&mut self) {
        let Some(at) = self.some_part(|k| k != Kind::Followed) else {
            return;
        };
        let (start, end) = (self.parts[at].start, self.parts[at].end);
        let to = start + self.below(end - start + 2);
        let partition = self.partition(at);
        let deleted = self.node.run(partition.delete_before(Offset(to)));
        self.say(format_args!("{at} before {to}: {deleted:?}"));
        if deleted.is_none() {
            let part = &mut self.parts[at];
            part.start_max = part.start_max.max(to);
            return;
        }
        self.settle_step();
        let part = &mut self.parts[at];
        match deleted {
            Some(Ok(start)) => {
                assert!(start.0 >= to, "{}", part.name);
                part.raise_start(start.0);
            }
            Some(Err(DeleteError::PastEnd { end, .. })) => assert!(to > end.0),
            Some(Err(DeleteError::Append(error))) => {
                check_refusal(&error);
                part.start_max = part.start_max.max(to);
            }
            None => {}
        }
    }
}
