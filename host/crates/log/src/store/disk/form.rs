//! The form of small stored things, an index or a snapshot: a checksum of the rest, a number of the
//! form, numbers as varints, nothing behind them. Reads whatever the bytes are.

use bytes::Buf;
use wstream_record::varint;

const FORM: u8 = 1;
const CRC_BYTES: usize = 4;
pub(super) const CUT: &str = "it is cut";

/// Bytes to which the fields are put; `close` ends them.
pub(super) fn begin() -> Vec<u8> {
    let mut out = vec![0; CRC_BYTES];
    out.push(FORM);
    out
}

/// Puts the checksum where `begin` left room.
pub(super) fn close(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&out[CRC_BYTES..]);
    out[..CRC_BYTES].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The fields of what `close` gave.
pub(super) fn open(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let mut rest = bytes;
    let crc = rest.try_get_u32().map_err(|_| CUT)?;
    if crc32c::crc32c(rest) != crc {
        return Err("its checksum does not fit");
    }
    if rest.try_get_u8().map_err(|_| CUT)? != FORM {
        return Err("it is of an unknown form");
    }
    Ok(rest)
}

/// Refuses what stands behind the last field.
pub(super) fn end(rest: &[u8]) -> Result<(), &'static str> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err("bytes after its end")
    }
}

pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    varint::put(out, i64::try_from(count).expect("counts fit"));
}

/// Takes a number off the front.
pub(super) fn take(rest: &mut &[u8]) -> Result<i64, &'static str> {
    varint::take(rest).ok_or(CUT)
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Result<u32, &'static str> {
    u32::try_from(take(rest)?).map_err(|_| "a number is out of range")
}
