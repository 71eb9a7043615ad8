//! What a start needs besides the segments: each partition's marks and what is derived from its
//! batches, as of the beginning of some segment. The newest two are kept.

use wstream_record::Offset;

use super::form;
use super::layout::{put_key, take_key};
use crate::numbers::{put, put_count};
use crate::store::{Aborted, Derived, PartitionKey, Recovered, aborted};

/// Bytes of a partition's marks, of what is derived from one, and of what was aborted in it, at least.
const MARKS_BYTES_MIN: usize = 23;
const DERIVED_BYTES_MIN: usize = 21;
const ABORTED_BYTES_MIN: usize = 21;

/// The state of a stream before some segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) marks: Vec<Recovered>,
    pub(super) derived: Derived,
    /// What was aborted by markers in segments that were not closed then.
    pub(super) aborted: Vec<(PartitionKey, Vec<Aborted>)>,
}

/// The file of the snapshot as of the beginning of segment `before`.
pub(super) fn file(root: &str, before: u64) -> String {
    format!("{root}/derived.{before:010}")
}

impl Snapshot {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = form::begin();
        put_count(&mut out, self.marks.len());
        for marks in &self.marks {
            put_key(&mut out, marks.key);
            put(&mut out, marks.start.0);
            put(&mut out, marks.end.0);
            put(&mut out, marks.high_watermark.0);
        }
        put_count(&mut out, self.derived.len());
        for (key, bytes) in &self.derived {
            put_key(&mut out, *key);
            put_count(&mut out, bytes.len());
            out.extend_from_slice(bytes);
        }
        // Mostly there are none.
        if !self.aborted.is_empty() {
            put_count(&mut out, self.aborted.len());
            for (key, ranges) in &self.aborted {
                put_key(&mut out, *key);
                aborted::encode(ranges, &mut out);
            }
        }
        form::close(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut input = form::open(bytes)?;
        let mut snapshot = Self::default();
        for _ in 0..input.count(MARKS_BYTES_MIN)? {
            snapshot.marks.push(Recovered {
                key: input.taken(take_key)?,
                start: Offset(input.number()?),
                end: Offset(input.number()?),
                high_watermark: Offset(input.number()?),
            });
        }
        for _ in 0..input.count(DERIVED_BYTES_MIN)? {
            let key = input.taken(take_key)?;
            let length = input.count(1)?;
            snapshot.derived.push((key, input.bytes(length)?.to_vec()));
        }
        if !input.is_empty() {
            for _ in 0..input.count(ABORTED_BYTES_MIN)? {
                let key = input.taken(take_key)?;
                snapshot.aborted.push((key, aborted::decode(&mut input)?));
            }
        }
        input.finish()?;
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::{PartitionId, ProducerId, TopicId};

    use super::*;

    #[test]
    fn a_snapshot_survives_its_encoding_and_damage_is_noticed() {
        let key = PartitionKey {
            topic: TopicId([7; 16]),
            partition: PartitionId(3),
        };
        let snapshot = Snapshot {
            marks: vec![Recovered {
                key,
                start: Offset(1),
                end: Offset(1 << 40),
                high_watermark: Offset(5),
            }],
            derived: vec![(key, b"derived".to_vec())],
            aborted: vec![(
                key,
                vec![Aborted {
                    producer: ProducerId(5),
                    first: Offset(2),
                    last: Offset(9),
                    stable: Offset(7),
                }],
            )],
        };
        let bytes = snapshot.encode();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 4;
            assert!(Snapshot::decode(&other).is_err(), "{at}");
            assert!(Snapshot::decode(&bytes[..at]).is_err(), "{at}");
        }
        let without = Snapshot {
            aborted: Vec::new(),
            ..Snapshot::decode(&bytes).unwrap()
        };
        assert_eq!(Snapshot::decode(&without.encode()), Ok(without));
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    }
}
