//! The functions a module may import, and the rule for what they read: every pointer and length is
//! checked against the memory as it is now, and no call copies more than its bound.

mod component;
mod env;
mod kv;
mod redpanda;
mod schemas;
mod wasi;
pub(crate) mod wasi2;
mod wstream;

use std::ops::Range;

use wasmtime::{Caller, Engine, Error, Linker, Memory};

use crate::state::HostState;

type Host<'a> = Caller<'a, HostState>;
type Answer<T> = Result<T, Error>;

/// Defines all imports.
pub(crate) fn linker(engine: &Engine) -> Answer<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wstream::define(&mut linker)?;
    env::define(&mut linker)?;
    wasi::define(&mut linker)?;
    kv::define(&mut linker)?;
    redpanda::define(&mut linker)?;
    schemas::define(&mut linker)?;
    Ok(linker)
}

/// Memory and state, side by side. Imports may be called before instantiation has ended.
#[inline]
fn memory<'a>(caller: &'a mut Host<'_>) -> Answer<(&'a mut [u8], &'a mut HostState)> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => find_memory(caller)?,
    };
    Ok(memory.data_and_store_mut(caller))
}

#[cold]
fn find_memory(caller: &mut Host<'_>) -> Answer<Memory> {
    let memory = caller
        .get_export("memory")
        .and_then(|export| export.into_memory());
    let memory = memory.ok_or_else(|| Error::msg("the module has no memory yet"))?;
    caller.data_mut().memory = Some(memory);
    Ok(memory)
}

#[inline]
fn range(address: u32, length: u32) -> Answer<Range<usize>> {
    let from = usize::try_from(address)?;
    let to = from.checked_add(usize::try_from(length)?);
    to.map(|to| from..to)
        .ok_or_else(|| outside(address, length))
}

#[inline]
fn slice(memory: &[u8], address: u32, length: u32) -> Answer<&[u8]> {
    memory
        .get(range(address, length)?)
        .ok_or_else(|| outside(address, length))
}

/// At most `max` bytes of the range, all of which must be in memory.
fn slice_cut(memory: &[u8], address: u32, length: u32, max: usize) -> Answer<&[u8]> {
    let whole = slice(memory, address, length)?;
    Ok(whole.get(..max).unwrap_or(whole))
}

#[inline]
fn slice_mut(memory: &mut [u8], address: u32, length: u32) -> Answer<&mut [u8]> {
    memory
        .get_mut(range(address, length)?)
        .ok_or_else(|| outside(address, length))
}

fn array<const N: usize>(memory: &[u8], address: u32, offset: u32) -> Answer<[u8; N]> {
    let at = address.checked_add(offset);
    let at = at.ok_or_else(|| outside(address, offset))?;
    let bytes = slice(memory, at, u32::try_from(N)?)?;
    bytes
        .first_chunk()
        .copied()
        .ok_or_else(|| outside(address, offset))
}

#[inline]
fn write(memory: &mut [u8], address: u32, bytes: &[u8]) -> Answer<()> {
    let length = u32::try_from(bytes.len())?;
    slice_mut(memory, address, length)?.copy_from_slice(bytes);
    Ok(())
}

fn outside(address: u32, length: u32) -> Error {
    Error::msg(format!(
        "{length} bytes at {address:#x}, given to an import, are outside memory"
    ))
}
