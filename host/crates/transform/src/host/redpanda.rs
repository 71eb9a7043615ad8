//! Module `redpanda_transform`, ABI versions 1 and 2.

use wasmtime::{AsContextMut as _, Caller, Error, Linker};

use super::{Answer, Host, memory, slice, slice_mut, write};
use crate::frame::PayloadRecord;
use crate::frame::payload;
use crate::guest::{Pull, Room, pull_time};
use crate::imports::{REDPANDA, REDPANDA_MARKERS};
use crate::state::{HostState, Stopped, Told};

const NO_ACTIVE_TRANSFORM: i32 = -1;
const INVALID_BUFFER: i32 = -2;
const INVALID_WRITE: i32 = -3;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    for marker in REDPANDA_MARKERS {
        linker.func_wrap(REDPANDA, marker, || ())?;
    }
    linker.func_wrap_async(REDPANDA, "read_batch_header", |host, addresses| {
        Box::new(read_batch_header(host, addresses))
    })?;
    linker.func_wrap(REDPANDA, "read_next_record", read_next_record)?;
    linker.func_wrap(
        REDPANDA,
        "write_record",
        |mut host: Host<'_>, at: u32, length: u32| write_record(&mut host, (at, length), (0, 0)),
    )?;
    linker.func_wrap(
        REDPANDA,
        "write_record_with_options",
        |mut host: Host<'_>, at: u32, length: u32, options: u32, options_length: u32| {
            write_record(&mut host, (at, length), (options, options_length))
        },
    )?;
    Ok(())
}

fn pull(pull: &mut Option<Box<Pull>>) -> Answer<&mut Pull> {
    let none = || Error::msg("no records are pulled here");
    pull.as_deref_mut().ok_or_else(none)
}

/// Addresses of what `read_batch_header` fills in.
type Addresses = (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);

async fn read_batch_header(mut host: Caller<'_, HostState>, at: Addresses) -> Answer<i32> {
    let state = host.data_mut();
    state.end_call();
    let mut metrics = std::mem::take(&mut state.metrics);
    if let Err(message) = pull(&mut state.pull)?.finish(&mut metrics) {
        state.told.bad = Some(message);
        return Err(Error::msg("bad order of calls"));
    }
    pull(&mut state.pull)?.wait().await;
    let Some(header) = pull(&mut host.data_mut().pull)?.begin() else {
        return Ok(NO_ACTIVE_TRANSFORM);
    };
    host.as_context_mut().set_epoch_deadline(1);
    host.data_mut().begin_call(header.records.cast_unsigned());
    let (memory, _) = memory(&mut host)?;
    write(memory, at.0, &header.base_offset.to_le_bytes())?;
    write(memory, at.1, &header.records.to_le_bytes())?;
    // One leader epoch and no producer: what the log knows of them is not a record's.
    write(memory, at.2, &0_i32.to_le_bytes())?;
    write(memory, at.3, &0_i16.to_le_bytes())?;
    write(memory, at.4, &header.last_delta.to_le_bytes())?;
    write(memory, at.5, &header.base_timestamp.to_le_bytes())?;
    write(memory, at.6, &header.max_timestamp.to_le_bytes())?;
    write(memory, at.7, &(-1_i64).to_le_bytes())?;
    write(memory, at.8, &(-1_i16).to_le_bytes())?;
    write(memory, at.9, &(-1_i32).to_le_bytes())?;
    Ok(header.payload_bytes)
}

fn read_next_record(
    mut host: Host<'_>,
    attributes: u32,
    timestamp: u32,
    offset: u32,
    buffer: u32,
    length: u32,
) -> Answer<i32> {
    let (memory, state) = memory(&mut host)?;
    let output_bytes_max = state.shared.limits.output_bytes();
    let pull = pull(&mut state.pull)?;
    let Some(stored) = pull.peek() else {
        return Ok(NO_ACTIVE_TRANSFORM);
    };
    if pull.is_full(output_bytes_max) {
        state.told.stopped = Some(Stopped::Enough);
        return Err(Error::msg("enough for one call"));
    }
    let bytes = payload::payload_bytes(&stored.record);
    let Some(length) = u32::try_from(bytes).ok().filter(|&bytes| bytes <= length) else {
        return Ok(INVALID_BUFFER);
    };
    let written = payload::encode(slice_mut(memory, buffer, length)?, &stored.record);
    debug_assert!(written, "the buffer is as long as the payload");
    write(memory, attributes, &[0])?;
    write(memory, timestamp, &pull_time(stored).to_le_bytes())?;
    write(memory, offset, &stored.offset.0.to_le_bytes())?;
    pull.advance();
    // What was said before is about the records before.
    state.told = Told::default();
    Ok(length.cast_signed())
}

/// What a write gets and gives back.
fn write_record(host: &mut Host<'_>, record: (u32, u32), options: (u32, u32)) -> Answer<i32> {
    let (memory, state) = memory(host)?;
    let bytes = slice(memory, record.0, record.1)?;
    let options = slice(memory, options.0, options.1)?;
    let shared = &state.shared;
    let Ok(topic) = payload::topic(options) else {
        return Ok(INVALID_BUFFER);
    };
    let output = match topic {
        None => 0,
        Some(topic) => {
            let mut names = shared.output_topics.iter();
            let number = names.position(|name| name.as_bytes() == topic);
            match number.map(u16::try_from) {
                Some(Ok(number)) => number,
                _ => return Ok(INVALID_WRITE),
            }
        }
    };
    let Ok(decoded) = PayloadRecord::decode(bytes) else {
        return Ok(INVALID_BUFFER);
    };
    match pull(&mut state.pull)?.output(shared.limits.output_bytes()) {
        None => return Ok(NO_ACTIVE_TRANSFORM),
        Some(Room::Past) => {}
        Some(Room::Frame(frame, index)) => {
            frame.output(index, output, None, None);
            frame.nullable(decoded.key);
            frame.nullable(decoded.value);
            frame.headers(decoded.headers());
        }
    }
    Ok(record.1.cast_signed())
}
