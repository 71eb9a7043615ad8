//! Where random ids come from: the system, or a seed.

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use wstream_record::TopicId;

/// A source of random bytes.
#[derive(Clone)]
pub struct Entropy(Arc<Source>);

type Source = dyn Fn() -> io::Result<[u8; 16]> + Send + Sync;

impl Entropy {
    /// What the operating system gives.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| {
            let mut bytes = [0; 16];
            let mut filled = 0;
            while filled < bytes.len() {
                let rest = bytes.get_mut(filled..).unwrap_or_default();
                match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
                    Ok(more) => filled += more,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(bytes)
        })
    }

    /// The same bytes for the same seed: for simulations.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let state = Mutex::new(seed);
        Self::from_fn(move || {
            let mut state = state.lock();
            let numbers = [split_mix(&mut state), split_mix(&mut state)];
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(numbers.map(u64::to_le_bytes).concat()) {
                *to = from;
            }
            Ok(bytes)
        })
    }

    /// What `source` says.
    pub fn from_fn(source: impl Fn() -> io::Result<[u8; 16]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// A new topic's id.
    pub(super) fn topic_id(&self) -> io::Result<TopicId> {
        Ok(TopicId::from_random((self.0)()?))
    }
}

/// Steele, Lea and Flood's SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}
