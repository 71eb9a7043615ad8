// What the host offers.

import { Text } from './text';

// @ts-ignore: decorator
@external('wstream_v1', 'log')
declare function hostLog(level: i32, ptr: usize, len: u32): void;
// @ts-ignore: decorator
@external('wstream_v1', 'metric')
declare function hostMetric(kind: i32, ptr: usize, len: u32, value: f64): void;
// @ts-ignore: decorator
@external('wstream_v1', 'fail')
declare function hostFail(code: i32, ptr: usize, len: u32): void;
// @ts-ignore: decorator
@external('wstream_v1', 'now_ms')
declare function hostNow(): i64;

export enum Level {
  Trace,
  Debug,
  Info,
  Warn,
  Error,
}

/** Writes a line to the module's log; the host cuts it at 4 KiB and limits lines per second. */
export function log(level: Level, line: string): void {
  const text = Text.of(line);
  hostLog(<i32>level, text.ptr, text.len);
}

/** Adds to a counter. */
export function count(name: string, by: f64 = 1): void {
  metric(0, name, by);
}

/** Sets a gauge. */
export function gauge(name: string, value: f64): void {
  metric(1, name, value);
}

/** Adds a value to a histogram. */
export function observe(name: string, value: f64): void {
  metric(2, name, value);
}

function metric(kind: i32, name: string, value: f64): void {
  const text = Text.of(name);
  hostMetric(kind, text.ptr, text.len, value);
}

/** Milliseconds since 1970. */
export function now(): i64 {
  return hostNow();
}

export function reason(code: i32, message: string): void {
  const text = Text.of(message);
  hostFail(code, text.ptr, text.len);
}
