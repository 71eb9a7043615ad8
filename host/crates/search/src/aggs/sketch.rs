//! Counts distinct values: exactly up to a bound, then by a HyperLogLog of 16 KB with an error of
//! about 0.8 %.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Distinct values that are counted exactly.
const EXACT_MAX: usize = 10_000;
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// The count.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Exact(HashSet<u64>),
    Registers(Box<[u8]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Exact(HashSet::new())
    }
}

/// The hash of a value, the same in every segment and process.
pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Sketch {
    pub(super) fn add(&mut self, hash: u64) {
        match self {
            Self::Exact(hashes) => {
                hashes.insert(hash);
                if hashes.len() > EXACT_MAX {
                    let mut registers = vec![0; REGISTERS].into_boxed_slice();
                    hashes.iter().for_each(|hash| note(&mut registers, *hash));
                    *self = Self::Registers(registers);
                }
            }
            Self::Registers(registers) => note(registers, hash),
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        match other {
            Self::Exact(hashes) => hashes.into_iter().for_each(|hash| self.add(hash)),
            Self::Registers(theirs) => {
                let mut registers = theirs;
                match self {
                    Self::Exact(hashes) => {
                        hashes.iter().for_each(|hash| note(&mut registers, *hash))
                    }
                    Self::Registers(ours) => {
                        for (ours, theirs) in registers.iter_mut().zip(ours.iter()) {
                            *ours = (*ours).max(*theirs);
                        }
                    }
                }
                *self = Self::Registers(registers);
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub(super) fn count(&self) -> u64 {
        let registers = match self {
            Self::Exact(hashes) => return hashes.len() as u64,
            Self::Registers(registers) => registers,
        };
        let m = REGISTERS as f64;
        let sum: f64 = registers
            .iter()
            .map(|rank| (-f64::from(*rank)).exp2())
            .sum();
        let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = registers.iter().filter(|rank| **rank == 0).count();
        let estimate = if estimate <= 2.5 * m && empty > 0 {
            m * (m / empty as f64).ln()
        } else {
            estimate
        };
        estimate.round() as u64
    }
}

fn note(registers: &mut [u8], hash: u64) {
    let register = usize::try_from(hash >> (64 - REGISTER_BITS)).unwrap_or(0);
    let rank = (hash << REGISTER_BITS)
        .leading_zeros()
        .min(64 - REGISTER_BITS)
        + 1;
    let rank = u8::try_from(rank).unwrap_or(u8::MAX);
    registers[register] = registers[register].max(rank);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_are_exact_and_large_ones_close() {
        for (distinct, error) in [
            (0, 0.0),
            (1, 0.0),
            (10_000, 0.0),
            (20_000, 0.03),
            (1_000_000, 0.03),
        ] {
            let mut halves = [Sketch::default(), Sketch::default()];
            for n in 0..distinct {
                halves[n % 2].add(hash(n));
                halves[(n + 1) % 2].add(hash(n));
            }
            let [mut one, two] = halves;
            one.merge(two);
            let off = (one.count() as f64 - distinct as f64).abs();
            assert!(
                off <= error * distinct as f64,
                "{distinct}: {}",
                one.count()
            );
        }
    }
}
