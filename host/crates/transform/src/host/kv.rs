//! Module `wstream_kv_v1`: keyed state.

use std::time::Duration;

use wasmtime::{AsContextMut as _, Linker};

use super::{Answer, Host, memory, slice, slice_mut};
use crate::imports::KEYED_STATE;
use crate::keyed::{PutError, WRITER_UNKNOWN};
use crate::state::{HostState, cursor};

/// Entries of one answer of `scan`; the buffer bounds it further.
const SCAN_ENTRIES_MAX: usize = 10_000;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    linker.func_wrap(KEYED_STATE, "get", get)?;
    linker.func_wrap(KEYED_STATE, "put", put)?;
    linker.func_wrap(KEYED_STATE, "delete", delete)?;
    linker.func_wrap(KEYED_STATE, "scan", scan)?;
    Ok(())
}

/// The record that is in work, as far as the host can tell.
fn writer(host: &mut Host<'_>) -> u32 {
    let pulled = host.data().pull.as_ref().and_then(|pull| pull.index());
    pulled
        .or_else(|| cursor(&mut host.as_context_mut()))
        .unwrap_or(WRITER_UNKNOWN)
}

fn get(mut host: Host<'_>, key: u32, key_length: u32, at: u32, room: u32) -> Answer<i64> {
    let (memory, state) = memory(&mut host)?;
    let Some(value) = state.keyed.get(slice(memory, key, key_length)?) else {
        return Ok(-1);
    };
    let buffer = slice_mut(memory, at, room)?;
    if let Some(buffer) = buffer.get_mut(..value.len()) {
        buffer.copy_from_slice(&value);
    }
    Ok(i64::try_from(value.len())?)
}

fn put(
    mut host: Host<'_>,
    key: u32,
    key_length: u32,
    value: u32,
    value_length: u32,
    ttl_ms: i64,
) -> Answer<i32> {
    let writer = writer(&mut host);
    let (memory, state) = memory(&mut host)?;
    let key = slice(memory, key, key_length)?;
    let value = slice(memory, value, value_length)?;
    let ttl = u64::try_from(ttl_ms).ok().filter(|&ttl| ttl > 0);
    let put = state
        .keyed
        .put(writer, key, value, ttl.map(Duration::from_millis));
    Ok(match put {
        Ok(()) => 0,
        Err(PutError::Key) => -1,
        Err(PutError::Value) => -2,
        Err(PutError::Entries) => -3,
        Err(PutError::Bytes) => -4,
        Err(PutError::Call) => -5,
    })
}

fn delete(mut host: Host<'_>, key: u32, key_length: u32) -> Answer<i32> {
    let writer = writer(&mut host);
    let (memory, state) = memory(&mut host)?;
    let deleted = state.keyed.delete(writer, slice(memory, key, key_length)?);
    Ok(i32::from(deleted))
}

fn scan(
    mut host: Host<'_>,
    prefix: u32,
    prefix_length: u32,
    after: u32,
    after_length: u32,
    at: u32,
    room: u32,
) -> Answer<i64> {
    let (memory, state) = memory(&mut host)?;
    let prefix = slice(memory, prefix, prefix_length)?;
    let after = slice(memory, after, after_length)?;
    let found = state.keyed.scan(prefix, after, SCAN_ENTRIES_MAX);
    let mut buffer = slice_mut(memory, at, room)?;
    let mut written = 0_i64;
    for (key, value) in found {
        let needed = 8 + key.len() + value.len();
        let Some((entry, rest)) = buffer.split_at_mut_checked(needed) else {
            if written == 0 {
                // The length that would do.
                return Ok(-i64::try_from(needed)?);
            }
            break;
        };
        let (length, entry) = entry.split_at_mut(4);
        length.copy_from_slice(&u32::try_from(key.len())?.to_le_bytes());
        let (own_key, entry) = entry.split_at_mut(key.len());
        own_key.copy_from_slice(&key);
        let (length, own_value) = entry.split_at_mut(4);
        length.copy_from_slice(&u32::try_from(value.len())?.to_le_bytes());
        own_value.copy_from_slice(&value);
        written += i64::try_from(needed)?;
        buffer = rest;
    }
    Ok(written)
}
