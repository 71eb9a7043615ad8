//! Module `wasi_snapshot_preview1`, just enough that every toolchain links: no files, no sockets;
//! arguments and environment for Redpanda modules only; a clock, random numbers, sleep, and stdout
//! and stderr that go to the module's log.

use std::time::Duration;

use wasmtime::{Error, FuncType, Linker, Val, ValType};

use super::{Answer, Host, array, memory, slice, slice_mut, write};
use crate::imports::{IMPORTS, WASI};
use crate::state::{HostState, Stopped, Stream};

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const NOSYS: i32 = 52;
const SPIPE: i32 = 70;

/// stdin, stdout and stderr.
const STDIO: std::ops::RangeInclusive<u32> = 0..=2;
const FILETYPE_CHARACTER_DEVICE: u8 = 2;
/// Bytes that one call of `random_get` gives.
const RANDOM_BYTES_MAX: u32 = 1 << 20;
/// Buffers one `fd_write` takes, and subscriptions one `poll_oneoff` takes.
const VECTORS_MAX: u32 = 1024;
/// Bytes of one `fd_write` that reach the log; the rest counts as written.
const WRITE_BYTES_MAX: usize = 64 << 10;

pub(super) fn define(linker: &mut Linker<HostState>) -> Answer<()> {
    linker.func_wrap(
        WASI,
        "args_get",
        |mut host: Host<'_>, list: u32, at: u32| {
            let texts = arguments(host.data());
            texts_get(&mut host, &texts, list, at)
        },
    )?;
    linker.func_wrap(
        WASI,
        "args_sizes_get",
        |mut host: Host<'_>, count: u32, bytes: u32| {
            let texts = arguments(host.data());
            sizes_get(&mut host, &texts, count, bytes)
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_get",
        |mut host: Host<'_>, list: u32, at: u32| {
            let texts = environment(host.data());
            texts_get(&mut host, &texts, list, at)
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |mut host: Host<'_>, count: u32, bytes: u32| {
            let texts = environment(host.data());
            sizes_get(&mut host, &texts, count, bytes)
        },
    )?;
    linker.func_wrap(WASI, "clock_res_get", clock_res_get)?;
    linker.func_wrap(WASI, "clock_time_get", clock_time_get)?;
    linker.func_wrap(WASI, "random_get", random_get)?;
    linker.func_wrap(WASI, "sched_yield", || SUCCESS)?;
    linker.func_wrap(WASI, "proc_exit", proc_exit)?;
    linker.func_wrap(WASI, "fd_write", fd_write)?;
    linker.func_wrap(WASI, "fd_fdstat_get", fd_fdstat_get)?;
    linker.func_wrap(WASI, "fd_filestat_get", fd_filestat_get)?;
    linker.func_wrap(WASI, "fd_close", |fd: u32| stdio(fd, SUCCESS))?;
    linker.func_wrap(WASI, "fd_fdstat_set_flags", |fd: u32, _: u32| {
        stdio(fd, SUCCESS)
    })?;
    linker.func_wrap(WASI, "fd_seek", |fd: u32, _: i64, _: u32, _: u32| {
        stdio(fd, SPIPE)
    })?;
    linker.func_wrap(WASI, "fd_tell", |fd: u32, _: u32| stdio(fd, SPIPE))?;
    linker.func_wrap_async(WASI, "poll_oneoff", |host, arguments| {
        Box::new(poll_oneoff(host, arguments))
    })?;
    define_absent(linker)
}

/// The rest answers that there is no such file, or no such function.
fn define_absent(linker: &mut Linker<HostState>) -> Answer<()> {
    const HERE: [&str; 15] = [
        "args_get",
        "environ_get",
        "args_sizes_get",
        "environ_sizes_get",
        "clock_res_get",
        "clock_time_get",
        "random_get",
        "sched_yield",
        "proc_exit",
        "fd_write",
        "fd_fdstat_get",
        "fd_filestat_get",
        "fd_close",
        "fd_fdstat_set_flags",
        "poll_oneoff",
    ];
    let engine = linker.engine().clone();
    for import in IMPORTS.iter().filter(|i| i.module == WASI) {
        let name = import.name;
        if HERE.contains(&name) || matches!(name, "fd_seek" | "fd_tell") {
            continue;
        }
        let of_a_file = ["fd_", "path_", "sock_"];
        let is_of_a_file = of_a_file.iter().any(|p| name.starts_with(p));
        let errno = if is_of_a_file { BADF } else { NOSYS };
        let params = import.signature.params.chars().map(|letter| match letter {
            'I' => ValType::I64,
            _ => ValType::I32,
        });
        let ty = FuncType::new(&engine, params, [ValType::I32]);
        linker.func_new(WASI, name, ty, move |_, _, results| {
            if let Some(result) = results.first_mut() {
                *result = Val::I32(errno);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn stdio(fd: u32, errno: i32) -> i32 {
    if STDIO.contains(&fd) { errno } else { BADF }
}

/// The arguments of a program: its name. A library has none.
fn arguments(state: &HostState) -> Vec<String> {
    let is_program = state.pull.is_some();
    let name = is_program.then(|| state.shared.name.to_string());
    name.into_iter().collect()
}

fn environment(state: &HostState) -> Vec<String> {
    let variables = state.shared.environment.iter();
    variables
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn sizes_get(host: &mut Host<'_>, texts: &[String], count: u32, bytes: u32) -> Answer<i32> {
    let (memory, _) = memory(host)?;
    let size: usize = texts.iter().map(|text| text.len() + 1).sum();
    write(memory, count, &u32::try_from(texts.len())?.to_le_bytes())?;
    write(memory, bytes, &u32::try_from(size)?.to_le_bytes())?;
    Ok(SUCCESS)
}

/// Writes the texts, each ended by a zero, and their addresses.
fn texts_get(host: &mut Host<'_>, texts: &[String], list: u32, at: u32) -> Answer<i32> {
    let (memory, _) = memory(host)?;
    let (mut list, mut at) = (list, at);
    for text in texts {
        write(memory, list, &at.to_le_bytes())?;
        write(memory, at, text.as_bytes())?;
        at = at.wrapping_add(u32::try_from(text.len())?);
        write(memory, at, &[0])?;
        (list, at) = (list.wrapping_add(4), at.wrapping_add(1));
    }
    Ok(SUCCESS)
}

fn clock_res_get(mut host: Host<'_>, clock: u32, out: u32) -> Answer<i32> {
    if clock > 3 {
        return Ok(INVAL);
    }
    let (memory, _) = memory(&mut host)?;
    write(memory, out, &1_000_000u64.to_le_bytes())?;
    Ok(SUCCESS)
}

/// Clock 0 is the wall clock; the others only run forwards.
fn time(state: &HostState, clock: u32) -> Duration {
    if clock == 0 {
        Duration::from_millis(u64::try_from(state.clock.now().0).unwrap_or(0))
    } else {
        state.clock.monotonic()
    }
}

fn clock_time_get(mut host: Host<'_>, clock: u32, _precision: u64, out: u32) -> Answer<i32> {
    if clock > 3 {
        return Ok(INVAL);
    }
    let (memory, state) = memory(&mut host)?;
    let nanos = u64::try_from(time(state, clock).as_nanos()).unwrap_or(u64::MAX);
    write(memory, out, &nanos.to_le_bytes())?;
    Ok(SUCCESS)
}

fn random_get(mut host: Host<'_>, address: u32, length: u32) -> Answer<i32> {
    if length > RANDOM_BYTES_MAX {
        return Ok(INVAL);
    }
    let (memory, state) = memory(&mut host)?;
    state.random.fill(slice_mut(memory, address, length)?);
    Ok(SUCCESS)
}

fn proc_exit(mut host: Host<'_>, status: i32) -> Answer<()> {
    host.data_mut().told.stopped = Some(Stopped::Exit(status));
    Err(Error::msg("proc_exit"))
}

fn fd_write(mut host: Host<'_>, fd: u32, vectors: u32, count: u32, out: u32) -> Answer<i32> {
    let stream = match fd {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Ok(BADF),
    };
    if count > VECTORS_MAX {
        return Ok(INVAL);
    }
    let (memory, state) = memory(&mut host)?;
    let mut written = 0u32;
    let mut room = WRITE_BYTES_MAX;
    for i in 0..count {
        let address = u32::from_le_bytes(array(memory, vectors, i * 8)?);
        let length = u32::from_le_bytes(array(memory, vectors, i * 8 + 4)?);
        let bytes = slice(memory, address, length)?;
        let taken = bytes.get(..room).unwrap_or(bytes);
        room -= taken.len();
        state.write(stream, taken);
        written = written.wrapping_add(length);
    }
    write(memory, out, &written.to_le_bytes())?;
    Ok(SUCCESS)
}

fn fd_fdstat_get(mut host: Host<'_>, fd: u32, out: u32) -> Answer<i32> {
    if !STDIO.contains(&fd) {
        return Ok(BADF);
    }
    let mut fdstat = [0; 24];
    fdstat[0] = FILETYPE_CHARACTER_DEVICE;
    let (memory, _) = memory(&mut host)?;
    write(memory, out, &fdstat)?;
    Ok(SUCCESS)
}

fn fd_filestat_get(mut host: Host<'_>, fd: u32, out: u32) -> Answer<i32> {
    if !STDIO.contains(&fd) {
        return Ok(BADF);
    }
    let mut filestat = [0; 64];
    filestat[16] = FILETYPE_CHARACTER_DEVICE;
    let (memory, _) = memory(&mut host)?;
    write(memory, out, &filestat)?;
    Ok(SUCCESS)
}

/// What a subscription waits for.
enum Waits {
    /// It is ready, with this errno.
    Ready(i32),
    /// Until so long from now.
    For(Duration),
}

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;
const EVENT_CLOCK: u8 = 0;
const CLOCK_ABSOLUTE: u16 = 1;

/// Sleeps until the first subscription is ready, at most until the time limit, which then ends the
/// call. There is nothing to wait for but clocks.
async fn poll_oneoff(
    mut host: Host<'_>,
    (subscriptions, events, count, out): (u32, u32, u32, u32),
) -> Answer<i32> {
    if count == 0 || count > VECTORS_MAX {
        return Ok(INVAL);
    }
    let waits: Vec<Waits> = {
        let (memory, state) = memory(&mut host)?;
        let subscription = |i| subscription(memory, state, subscriptions, i * SUBSCRIPTION_BYTES);
        (0..count).map(subscription).collect::<Answer<_>>()?
    };
    let shortest = waits.iter().map(|w| match w {
        Waits::Ready(_) => Duration::ZERO,
        Waits::For(duration) => *duration,
    });
    let shortest = shortest.min().unwrap_or(Duration::ZERO);
    sleep(&mut host, shortest).await?;
    let (memory, _) = memory(&mut host)?;
    let mut ready = 0u32;
    for (i, wait) in (0u32..).zip(&waits) {
        let errno = match wait {
            Waits::Ready(errno) => *errno,
            Waits::For(duration) if *duration <= shortest => SUCCESS,
            Waits::For(_) => continue,
        };
        let at = i * SUBSCRIPTION_BYTES;
        let user: [u8; 8] = array(memory, subscriptions, at)?;
        let [tag]: [u8; 1] = array(memory, subscriptions, at + 8)?;
        let mut event = [0; EVENT_BYTES as usize];
        event[..8].copy_from_slice(&user);
        event[8..10].copy_from_slice(&u16::try_from(errno).unwrap_or(0).to_le_bytes());
        event[10] = tag;
        slice_mut(memory, events, EVENT_BYTES * (ready + 1))?
            .last_chunk_mut::<{ EVENT_BYTES as usize }>()
            .ok_or_else(|| Error::msg("an event is outside memory"))?
            .copy_from_slice(&event);
        ready += 1;
    }
    write(memory, out, &ready.to_le_bytes())?;
    Ok(SUCCESS)
}

fn subscription(memory: &[u8], state: &HostState, base: u32, at: u32) -> Answer<Waits> {
    let [tag]: [u8; 1] = array(memory, base, at + 8)?;
    if tag != EVENT_CLOCK {
        let fd = u32::from_le_bytes(array(memory, base, at + 16)?);
        return Ok(Waits::Ready(if fd == 1 || fd == 2 {
            SUCCESS
        } else {
            BADF
        }));
    }
    let clock = u32::from_le_bytes(array(memory, base, at + 16)?);
    let until = Duration::from_nanos(u64::from_le_bytes(array(memory, base, at + 24)?));
    let flags = u16::from_le_bytes(array(memory, base, at + 40)?);
    if clock > 3 {
        Ok(Waits::Ready(INVAL))
    } else if flags & CLOCK_ABSOLUTE == 0 {
        Ok(Waits::For(until))
    } else {
        Ok(Waits::For(until.saturating_sub(time(state, clock))))
    }
}

async fn sleep(host: &mut Host<'_>, asked: Duration) -> Answer<()> {
    let state = host.data_mut();
    let length = asked.min(state.time_left());
    if !length.is_zero() {
        let (clock, given_up) = (state.clock.clone(), state.given_up.clone());
        let from = clock.monotonic();
        let slept = || clock.monotonic().saturating_sub(from);
        state
            .sleeper
            .clone()
            .until(|| slept() >= length || given_up.load(std::sync::atomic::Ordering::Relaxed))
            .await;
        state.stopwatch.count_as_work(slept());
    }
    state.check_time()
}
