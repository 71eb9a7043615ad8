//! Which partition a record goes to: the same as Kafka's own producers choose for its key.

use wstream_record::PartitionId;

/// Kafka's hash of a key: 32-bit murmur2 with Kafka's seed.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const FACTOR: u32 = 0x5bd1_e995;
    const SHIFT: u32 = 24;
    // Kafka keeps the length in an int, so a cut to 32 bits is what its clients do.
    #[expect(clippy::cast_possible_truncation, reason = "as in Kafka")]
    let length = key.len() as u32;
    let mut hash = SEED ^ length;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        k ^= k >> SHIFT;
        hash = hash.wrapping_mul(FACTOR) ^ k.wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

/// The partition of a record with `key` in a topic of `partitions`: Kafka's for a key, and for a
/// null key the partition that the record came from, modulo the count.
#[must_use]
pub fn partition_for(key: Option<&[u8]>, partitions: i32, from: PartitionId) -> PartitionId {
    let count = partitions.max(1);
    match key {
        Some(key) => {
            let positive = (murmur2(key) & 0x7fff_ffff).cast_signed();
            PartitionId(positive % count)
        }
        None => PartitionId(from.0.rem_euclid(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_kafkas() {
        // The first six rows stand in Kafka's own tests; the others come from kafka-python.
        let rows: [(&[u8], i32); 8] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
            (b"\xff\x80\x7f", 968_261_134),
        ];
        for (key, hash) in rows {
            assert_eq!(murmur2(key), hash.cast_unsigned(), "{key:?}");
        }
    }

    #[test]
    fn partitions_follow_the_key_and_else_the_input() {
        // The right column comes from kafka-python's default partitioner.
        let rows: [(&[u8], i32); 4] = [(b"21", 3), (b"foobar", 0), (b"abc", 4), (b"", 2)];
        for (key, partition) in rows {
            let chosen = partition_for(Some(key), 7, PartitionId(5));
            assert_eq!(chosen, PartitionId(partition), "{key:?}");
        }
        assert_eq!(partition_for(None, 3, PartitionId(2)), PartitionId(2));
        assert_eq!(partition_for(None, 3, PartitionId(7)), PartitionId(1));
    }
}
