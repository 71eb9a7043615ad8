//! Module `env`, as AssemblyScript imports it: strings are UTF-16, their length in bytes stands in
//! the four bytes before them.

use tracing::Level;
use wasmtime::{Error, Linker};

use super::{Answer, Host, array, memory, slice_cut};
use crate::failure::{MESSAGE_BYTES_MAX, text};
use crate::imports::ENV;
use crate::state::HostState;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    linker.func_wrap(ENV, "abort", abort)?;
    linker.func_wrap(ENV, "trace", trace)?;
    linker.func_wrap(ENV, "seed", seed)?;
    Ok(())
}

/// Ends the call; the message, file and position become the failure's message.
fn abort(mut host: Host<'_>, message: u32, file: u32, line: u32, column: u32) -> Answer<()> {
    let (memory, state) = memory(&mut host)?;
    // A wild pointer in the message must not hide that the module aborted.
    let said = string(memory, message).unwrap_or_else(|_| "abort".to_owned());
    let file = string(memory, file).unwrap_or_default();
    let place = format!("{said} at {file}:{line}:{column}");
    state.told.abort = Some(text(place.as_bytes(), MESSAGE_BYTES_MAX));
    Err(Error::msg("abort"))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the signature is AssemblyScript's"
)]
fn trace(
    mut host: Host<'_>,
    message: u32,
    count: i32,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
) -> Answer<()> {
    let (memory, state) = memory(&mut host)?;
    let mut line = string(memory, message)?;
    let count = usize::try_from(count).unwrap_or(0);
    for value in [a, b, c, d, e].iter().take(count) {
        line.push_str(&format!(" {value}"));
    }
    state.log(Level::DEBUG, text(line.as_bytes(), MESSAGE_BYTES_MAX));
    Ok(())
}

fn seed(mut host: Host<'_>) -> f64 {
    // 53 random bits: a number in [0, 1), as a float holds it exactly.
    let bits = host.data_mut().random.next() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

fn string(memory: &[u8], address: u32) -> Answer<String> {
    let Some(length_at) = address.checked_sub(4) else {
        return Ok(String::new());
    };
    let length = u32::from_le_bytes(array(memory, length_at, 0)?);
    let bytes = slice_cut(memory, address, length, MESSAGE_BYTES_MAX)?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .filter_map(|unit| unit.first_chunk().copied().map(u16::from_le_bytes))
        .collect();
    Ok(String::from_utf16_lossy(&units))
}
