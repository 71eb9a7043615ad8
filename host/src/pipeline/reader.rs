//! Reads a partition ahead of its pipeline: decoded records in order, none left out.
//!
//! A task of its own, so that the log is read and batches are unpacked while the transform and
//! the sinks work on what came before; at most one chunk waits. Control batches and offsets at which
//! there is nothing are passed over. What retention took before it was read is told and passed over.

use std::ops::Range;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use wstream_log::{Partition, ReadError, Upto, Waiter};
use wstream_record::{ByteSize, Offset, RecordBatch, StoredRecord};

/// Bytes asked of the log at once, and payload bytes at which a chunk ends.
const READ_BYTES: ByteSize = ByteSize::mib(1);
/// Chunks that wait for the pipeline.
const CHUNKS_AHEAD_MAX: usize = 1;
/// How much larger than `max.message.bytes` a batch may become when it is unpacked.
const UNPACKED_FACTOR_MAX: u64 = 16;

/// Records of a partition that go through the pipeline together.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Where it begins: the end of the one before.
    pub(super) first: Offset,
    /// Where it ends.
    pub(super) next: Offset,
    /// The records, by offset.
    pub(super) records: Vec<StoredRecord>,
    /// Bytes of keys, values and headers.
    pub(super) bytes: usize,
    /// Batches that do not decode.
    pub(super) broken: Vec<Broken>,
}

/// A batch that does not decode.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) batch: RecordBatch,
    pub(super) reason: String,
}

/// A reader at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    chunks: mpsc::Receiver<Result<Chunk, ReadError>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Reads `partition` from `next` on.
    pub(super) fn start(partition: Partition, next: Offset, max_message_bytes: ByteSize) -> Self {
        let (send, chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let unpacked_max = max_message_bytes.0.saturating_mul(UNPACKED_FACTOR_MAX);
        let unpacked_max = usize::try_from(unpacked_max).unwrap_or(usize::MAX);
        let task = tokio::spawn(async move {
            if let Err(error) = read(&partition, next, unpacked_max, &send).await {
                // Nobody is left to tell when the pipeline has gone.
                send.send(Err(error)).await.ok();
            }
        });
        Self { chunks, task }
    }

    /// The next chunk; waits while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Chunk, ReadError> {
        self.chunks.recv().await.unwrap_or(Err(ReadError::Closed))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends chunks until the log says no or the receiver has gone.
async fn read(
    partition: &Partition,
    mut next: Offset,
    unpacked_max: usize,
    to: &mpsc::Sender<Result<Chunk, ReadError>>,
) -> Result<(), ReadError> {
    let mut waiter = Waiter::new();
    loop {
        let fetch = partition.fetch(next, READ_BYTES, Upto::HighWatermark, None);
        let fetched = match fetch.await {
            Ok(fetched) => fetched,
            Err(ReadError::Trimmed { at, start }) => {
                let partition = partition.name();
                warn!(%partition, %at, %start, "records were removed before they were read");
                let trimmed = Chunk::empty(next, start);
                next = start;
                if to.send(Ok(trimmed)).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let upto = fetched.next;
        if upto <= next {
            // It wakes as well when the next fetch would answer an error.
            waiter.watch(partition, next, Upto::HighWatermark);
            waiter.wait().await;
            continue;
        }
        let batches = fetched.batches()?;
        let packed = batches
            .iter()
            .any(|b| b.header().compression != wstream_record::Compression::None);
        let chunks = if packed {
            let decode = move || decode(batches, next..upto, unpacked_max);
            let decoded = tokio::task::spawn_blocking(decode).await;
            decoded.map_err(|_ended| ReadError::Closed)?
        } else {
            decode(batches, next..upto, unpacked_max)
        };
        for chunk in chunks {
            next = chunk.next;
            if to.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Chunk {
    fn empty(first: Offset, next: Offset) -> Self {
        Self {
            first,
            next,
            records: Vec::new(),
            bytes: 0,
            broken: Vec::new(),
        }
    }
}

/// The records of a range. A chunk ends behind the batch that makes it large, the last one at the
/// end of the range.
fn decode(batches: Vec<RecordBatch>, range: Range<Offset>, unpacked_max: usize) -> Vec<Chunk> {
    let from = range.start;
    let mut chunks = Vec::with_capacity(1);
    let mut chunk = Chunk::empty(from, from);
    for batch in batches {
        let header = *batch.header();
        chunk.next = chunk.next.max(header.next_offset());
        if header.is_control() {
            continue;
        }
        match wstream_kafka::records(&batch, unpacked_max) {
            Ok(mut records) => {
                if header.base_offset < from {
                    records.retain(|r| r.offset >= from);
                }
                let bytes = records.iter().map(|r| r.record.payload_bytes());
                chunk.bytes += bytes.sum::<usize>();
                if chunk.records.is_empty() {
                    chunk.records = records;
                } else {
                    chunk.records.append(&mut records);
                }
            }
            Err(error) => chunk.broken.push(Broken {
                batch,
                reason: error.to_string(),
            }),
        }
        if chunk.bytes as u64 >= READ_BYTES.0 {
            let next = chunk.next;
            chunks.push(std::mem::replace(&mut chunk, Chunk::empty(next, next)));
        }
    }
    chunk.next = chunk.next.max(range.end);
    if chunk.next > chunk.first {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use wstream_kafka::compress;
    use wstream_log::{Log, TopicSpec};
    use wstream_record::{
        BatchBuilder, Clock, Compression, LeaderEpoch, PartitionId, Timestamp, TopicName,
        TopicPartition,
    };

    use super::*;

    fn batch(values: &[&[u8]]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for value in values {
            builder.push_parts(Timestamp(1), None, Some(value), [].into_iter());
        }
        builder.finish(None).unwrap()
    }

    fn at(batch: RecordBatch, offset: i64) -> RecordBatch {
        batch.at(Offset(offset), LeaderEpoch(0))
    }

    fn offsets(chunk: &Chunk) -> Vec<i64> {
        chunk.records.iter().map(|r| r.offset.0).collect()
    }

    /// The same bytes with other attributes and a fitting checksum.
    fn with_attributes(batch: &RecordBatch, attributes: i16) -> RecordBatch {
        let mut bytes = batch.bytes().to_vec();
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        RecordBatch::parse_trusted(bytes.into()).unwrap()
    }

    #[test]
    fn a_chunk_holds_what_lies_at_or_above_the_position() {
        let batches = vec![at(batch(&[b"a", b"b", b"c"]), 5), at(batch(&[b"d"]), 8)];
        let chunks = decode(batches, Offset(6)..Offset(9), 1 << 20);
        assert_eq!(chunks.len(), 1);
        assert_eq!(offsets(&chunks[0]), [6, 7, 8]);
        assert_eq!((chunks[0].first, chunks[0].next), (Offset(6), Offset(9)));
        assert_eq!(chunks[0].bytes, 3);
    }

    #[test]
    fn gaps_move_the_position_alone() {
        let chunks = decode(vec![at(batch(&[b"a"]), 5)], Offset(2)..Offset(9), 1 << 20);
        assert_eq!(offsets(&chunks[0]), [5]);
        assert_eq!((chunks[0].first, chunks[0].next), (Offset(2), Offset(9)));
        let chunks = decode(Vec::new(), Offset(2)..Offset(9), 1 << 20);
        assert_eq!((chunks[0].records.len(), chunks[0].next), (0, Offset(9)));
    }

    #[test]
    fn control_batches_move_the_position_alone() {
        let control = with_attributes(&batch(&[b"commit"]), 1 << 5);
        let chunks = decode(vec![at(control, 0)], Offset(0)..Offset(1), 1 << 20);
        assert_eq!(offsets(&chunks[0]), [0_i64; 0]);
        assert_eq!((chunks[0].next, chunks[0].broken.len()), (Offset(1), 0));
    }

    #[test]
    fn what_does_not_decode_is_kept_whole() {
        let bomb = compress(&batch(&[&[0; 4096]]), Compression::Gzip).unwrap();
        let corrupt = with_attributes(&batch(&[b"plain"]), 4);
        let batches = vec![at(bomb.clone(), 0), at(corrupt, 1), at(batch(&[b"ok"]), 2)];
        let chunks = decode(batches, Offset(0)..Offset(3), 1024);
        assert_eq!(offsets(&chunks[0]), [2]);
        let reasons: Vec<&str> = chunks[0].broken.iter().map(|b| b.reason.as_str()).collect();
        assert!(reasons[0].contains("above 1024 bytes"), "{reasons:?}");
        assert!(reasons[1].contains("cannot decompress Zstd"), "{reasons:?}");
        assert_eq!(chunks[0].broken[0].batch, at(bomb, 0));
    }

    #[test]
    fn large_unpacked_batches_make_chunks_of_their_own() {
        let large = vec![b'x'; 800_000];
        let packed = compress(&batch(&[&large]), Compression::Zstd).unwrap();
        let batches = (0..4).map(|i| at(packed.clone(), i)).collect();
        let chunks = decode(batches, Offset(0)..Offset(4), 1 << 20);
        let found: Vec<Vec<i64>> = chunks.iter().map(offsets).collect();
        assert_eq!(found, [[0, 1], [2, 3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_follows_the_log() {
        let log = Log::in_memory(Clock::system());
        let topic = TopicName::new("t").unwrap();
        log.create_topic(&topic, TopicSpec::default())
            .await
            .unwrap();
        let partition = log.partition(&TopicPartition::new(topic.clone(), PartitionId(0)));
        let partition = partition.unwrap();
        for values in [[b"a", b"b"], [b"c", b"d"]] {
            partition
                .append(batch(&[values[0], values[1]]))
                .await
                .unwrap();
        }
        partition.delete_before(Offset(1)).await.unwrap();
        let mut reader = Reader::start(partition.clone(), Offset(0), ByteSize::mib(1));
        let trimmed = reader.next().await.unwrap();
        assert_eq!((trimmed.next, trimmed.records.len()), (Offset(1), 0));
        let chunk = reader.next().await.unwrap();
        assert_eq!(offsets(&chunk), [1, 2, 3]);
        partition.append(batch(&[b"e"])).await.unwrap();
        assert_eq!(offsets(&reader.next().await.unwrap()), [4]);
        log.delete_topic(&topic).await.unwrap();
        assert!(matches!(reader.next().await, Err(ReadError::Closed)));
        let mut past = Reader::start(partition, Offset(9), ByteSize::mib(1));
        assert!(past.next().await.is_err());
    }
}
