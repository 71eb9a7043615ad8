// Keyed state of the pipeline's step and partition that the instance works for: what a record that
// succeeds writes is there for every later record, after a restart and on another node too. A record
// sees what it and the records before it wrote; what a record wrote that fails is discarded. Only a
// module that uses it imports the host's table.

import { scratch } from './memory';
import { Text } from './text';

// @ts-ignore: decorator
@external('wstream_kv_v1', 'get')
declare function hostGet(key: usize, keyLen: u32, buffer: usize, room: u32): i64;
// @ts-ignore: decorator
@external('wstream_kv_v1', 'put')
declare function hostPut(key: usize, keyLen: u32, value: usize, len: u32, ttlMs: i64): i32;
// @ts-ignore: decorator
@external('wstream_kv_v1', 'delete')
declare function hostDelete(key: usize, keyLen: u32): i32;
// @ts-ignore: decorator
@external('wstream_kv_v1', 'scan')
declare function hostScan(
  prefix: usize,
  prefixLen: u32,
  after: usize,
  afterLen: u32,
  buffer: usize,
  room: u32,
): i64;

// What a value is asked for with first; a longer one is asked for again.
const VALUE_BYTES_USUAL: u32 = 256;
// What a page of a scan holds; an entry that is larger has its page to itself.
const PAGE_BYTES: u32 = 16384;
const KEY_BYTES_MAX: u32 = 4096;
const AFTER: usize = memory.data(KEY_BYTES_MAX);

/** Keys and values are bytes: `state.get(record.key)`, `state.get(Text.of('total'))`. */
export namespace state {
  /** The value of a key, valid until the record is done; a null one if there is none, or if it has
   * expired. */
  export function get(key: Text): Text {
    let room = VALUE_BYTES_USUAL;
    while (true) {
      const buffer = scratch(room);
      const len = hostGet(key.ptr, key.len, buffer, room);
      if (len < 0) return new Text();
      if (len <= <i64>room) return new Text(buffer, <u32>len);
      room = <u32>len;
    }
  }

  /** Sets a key, for so many milliseconds or with 0 for good. Null if it was set, else the limit
   * that does not allow it: `const limit = state.put(key, value); if (limit) return fail(3, limit);` */
  export function put(key: Text, value: Text, ttlMs: i64 = 0): string | null {
    switch (hostPut(key.ptr, key.len, value.ptr, value.len, ttlMs)) {
      case 0:
        return null;
      case -1:
        return 'a key has 1 to 4096 bytes';
      case -2:
        return 'a value has at most 1048576 bytes';
      case -3:
        return 'the state has as many entries as it may have';
      case -4:
        return 'the state has as many bytes as it may have';
      default:
        return 'one call may write at most 67108864 bytes of state';
    }
  }

  /** Removes a key; false if there was none. */
  export function remove(key: Text): bool {
    return hostDelete(key.ptr, key.len) != 0;
  }
}

/** Goes through the entries whose key begins with a prefix, in the order of the keys; all with an
 * empty one: `const scan = new Scan(prefix); while (scan.next()) use(scan.key, scan.value);`. They
 * are read page by page: a page shows the table as it is when it is read. */
export class Scan {
  /** Valid until the next entry is asked for, and so is the value. */
  key: Text = new Text();
  value: Text = new Text();
  private page: usize = 0;
  private room: u32 = PAGE_BYTES;
  private at: usize = 0;
  private end: usize = 0;

  constructor(private prefix: Text) {}

  /** The next entry; false at the end. */
  next(): bool {
    if (this.at == this.end && !this.turn()) return false;
    this.key = this.take();
    this.value = this.take();
    return true;
  }

  private turn(): bool {
    const prefix = this.prefix;
    const afterLen = this.key.len;
    // Out of the page, which is written again.
    memory.copy(AFTER, this.key.ptr, afterLen);
    while (true) {
      const page = this.page || scratch(this.room);
      const len = hostScan(prefix.ptr, prefix.len, AFTER, afterLen, page, this.room);
      if (len >= 0) {
        this.page = this.at = page;
        this.end = page + <usize>len;
        return len > 0;
      }
      // The next entry needs so much.
      this.page = 0;
      this.room = <u32>-len;
    }
  }

  private take(): Text {
    const text = new Text(this.at + 4, load<u32>(this.at));
    this.at += 4 + text.len;
    return text;
  }
}
