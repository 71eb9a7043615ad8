//! Module `wstream_v1`.

use tracing::Level;
use wasmtime::Linker;

use super::{Answer, Host, memory, slice_cut};
use crate::failure::{MESSAGE_BYTES_MAX, text};
use crate::imports::WSTREAM;
use crate::state::HostState;

/// Longest name of a metric.
pub(super) const METRIC_NAME_BYTES_MAX: usize = 128;
/// Highest code a module may give.
const CODE_MAX: u16 = 999;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    linker.func_wrap(WSTREAM, "log", log)?;
    linker.func_wrap(WSTREAM, "metric", metric)?;
    linker.func_wrap(WSTREAM, "fail", fail)?;
    linker.func_wrap(WSTREAM, "now_ms", |host: Host<'_>| {
        host.data().clock.now().0
    })?;
    Ok(())
}

fn log(mut host: Host<'_>, level: i32, address: u32, length: u32) -> Answer<()> {
    let level = match level {
        0 => Level::TRACE,
        1 => Level::DEBUG,
        3 => Level::WARN,
        4 => Level::ERROR,
        _ => Level::INFO,
    };
    let (memory, state) = memory(&mut host)?;
    let line = slice_cut(memory, address, length, MESSAGE_BYTES_MAX)?;
    state.log(level, text(line, MESSAGE_BYTES_MAX));
    Ok(())
}

fn metric(mut host: Host<'_>, kind: i32, address: u32, length: u32, value: f64) -> Answer<()> {
    let (memory, state) = memory(&mut host)?;
    let name = slice_cut(memory, address, length, METRIC_NAME_BYTES_MAX)?;
    state
        .metrics
        .update(kind, &String::from_utf8_lossy(name), value);
    Ok(())
}

fn fail(mut host: Host<'_>, code: i32, address: u32, length: u32) -> Answer<()> {
    let (memory, state) = memory(&mut host)?;
    let message = slice_cut(memory, address, length, MESSAGE_BYTES_MAX)?;
    let code = u16::try_from(code).ok().filter(|&c| c <= CODE_MAX);
    state.told.fail = Some((code.unwrap_or(0), text(message, MESSAGE_BYTES_MAX)));
    Ok(())
}
