//! The form of small stored things, an index or a snapshot: a checksum of the rest, a number of the
//! form, numbers as `numbers` has them, nothing behind them. Reads whatever the bytes are.

use bytes::Buf;

use crate::numbers::Reader;

const FORM: u8 = 1;
const CRC_BYTES: usize = 4;
const CUT: &str = "it is cut";

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
pub(super) fn open(bytes: &[u8]) -> Result<Reader<'_>, String> {
    let mut rest = bytes;
    let crc = rest.try_get_u32().map_err(|_| CUT)?;
    if crc32c::crc32c(rest) != crc {
        return Err("its checksum does not fit".to_owned());
    }
    if rest.try_get_u8().map_err(|_| CUT)? != FORM {
        return Err("it is of an unknown form".to_owned());
    }
    Ok(Reader::new(rest))
}
