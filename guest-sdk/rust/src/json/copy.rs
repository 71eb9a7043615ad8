//! Appends short stretches of bytes without a call.
//!
//! A copy of unknown length is a call out of the guest, about 16 ns; most that an edit makes are
//! shorter than that. Copies of fixed length, two that overlap where the length lies between, are
//! a few instructions.

/// Stretches above this are better left to the host.
const INLINE_MAX: usize = 256;

/// Appends bytes.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        0 => {}
        1..4 => bytes.iter().for_each(|byte| out.push(*byte)),
        4..8 => overlapping::<4>(out, bytes),
        8..16 => overlapping::<8>(out, bytes),
        16..32 => overlapping::<16>(out, bytes),
        32..64 => overlapping::<32>(out, bytes),
        64..INLINE_MAX => chunks(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
}

/// Appends `N` to 2 `N` bytes.
#[inline(always)]
fn overlapping<const N: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        let start = out.len();
        out.extend_from_slice(first);
        out.truncate(start + bytes.len() - N);
        out.extend_from_slice(last);
    }
}

/// Appends at least 64 bytes, the last 64 over what is there of them already.
#[inline(never)]
fn chunks(out: &mut Vec<u8>, bytes: &[u8]) {
    let end = out.len() + bytes.len();
    let (chunks, rest) = bytes.as_chunks::<64>();
    for chunk in chunks {
        out.extend_from_slice(chunk);
    }
    if let (false, Some(last)) = (rest.is_empty(), bytes.last_chunk::<64>()) {
        out.truncate(end - 64);
        out.extend_from_slice(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_appended_whole() {
        let text: Vec<u8> = (0..=255).cycle().take(1100).collect();
        for len in 0..text.len() {
            let mut out = b"ab".to_vec();
            append(&mut out, &text[..len]);
            assert_eq!(out, [b"ab", &text[..len]].concat());
        }
    }
}
