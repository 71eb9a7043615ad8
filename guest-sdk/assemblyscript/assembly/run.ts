// A batch: records are read from the host's frame, answers written to ours.

import { reason } from './host';
import { Json, resetRaws } from './json';
import { Buffer, resetScratch } from './memory';
import { Output, Record, resetOutputs, take } from './record';
import { resetTexts, Text } from './text';

const input = new Buffer();
const frame = new Buffer();
const record = new Record();
const cursor: usize = memory.data(4, 4);

let start: usize = 0;
let failed: bool = false;
let index: u32 = 0;
let transform: ((record: Record) => void) | null = null;
let setup: ((config: Json) => bool) | null = null;

/** Says what to call for each record. */
export function register(call: (record: Record) => void): void {
  transform = call;
}

/** Says what to call with the configuration before the first record: false, after `refuse`,
 * refuses it. */
export function registerSetup(call: (config: Json) => bool): void {
  setup = call;
}

/** Refuses the configuration: `return refuse(1, 'field is missing')`. */
export function refuse(code: u16, message: string): bool {
  reason(code, message);
  return false;
}

/** Sends a record on. */
export function send(output: Output): void {
  if (!failed) output.write(frame, index);
}

/** The record failed: its outputs so far are taken back. Codes are 0 to 999. */
export function fail(code: u16, message: string): void {
  if (failed) return;
  failed = true;
  frame.len = start;
  const text = Text.of(message);
  const at = frame.more(11 + text.len);
  store<u32>(at, index);
  store<u8>(at, 1, 4);
  store<u16>(at, code, 5);
  store<u32>(at, text.len, 7);
  memory.copy(at + 11, text.ptr, text.len);
}

export function wstream_abi_v1(): void {}

export function wstream_cursor(): usize {
  return cursor;
}

export function wstream_alloc(len: u32): usize {
  if (<usize>len > input.room) {
    if (input.ptr) heap.free(input.ptr);
    input.room = 0;
    input.ptr = heap.alloc(len);
    input.room = len;
  }
  return input.ptr;
}

export function wstream_init(ptr: usize, len: u32): i32 {
  const call = setup;
  let good = true;
  if (call) {
    const config = new Json();
    good = config.parse(new Text(ptr, len))
      ? call(config)
      : refuse(1, 'the configuration is not an object');
  }
  forget();
  return good ? 0 : -1;
}

export function wstream_process(ptr: usize, len: u32): u64 {
  // Nothing of an earlier batch is in use here.
  __collect();
  const call = transform!;
  let at = ptr + 2;
  record.topic.ptr = at;
  record.topic.len = load<u16>(ptr);
  at += record.topic.len;
  record.partition = load<i32>(at);
  const count = load<u32>(at, 4);
  at += 8;
  frame.len = 0;
  for (let i: u32 = 0; i < count; i++) {
    store<u32>(cursor, i);
    index = i;
    start = frame.len;
    failed = false;
    record.offset = load<i64>(at);
    record.timestamp = load<i64>(at, 8);
    at += 16;
    record.body = at;
    at = take(take(at, record.key), record.value);
    record.headerCount = load<u32>(at);
    at += 4;
    record.headers.ptr = at;
    for (let n = record.headerCount; n > 0; n--) at = pass(pass(at));
    record.headers.len = <u32>(at - record.headers.ptr);
    call(record);
    forget();
  }
  return ((<u64>frame.ptr) << 32) | frame.len;
}

/** Takes back what was valid until the record is done. */
// @ts-ignore: decorator
@inline
function forget(): void {
  resetScratch();
  resetTexts();
  resetRaws();
  resetOutputs();
}

/** Passes a length and its bytes. */
// @ts-ignore: decorator
@inline
function pass(at: usize): usize {
  return at + 4 + max<i32>(load<i32>(at), 0);
}
