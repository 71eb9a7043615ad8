// Records as a transform gets them, and what it sends.

import { Json } from './json';
import { Buffer, copy } from './memory';
import { Text } from './text';

/** Lets Kafka's hash of the key choose the partition. */
export const BY_KEY: i32 = -1;
/** Gives an output the record's time. */
export const INHERIT: i64 = i64.MIN_VALUE;

/** A record; all of it is valid until the transform returns. */
export class Record {
  topic: Text = new Text();
  partition: i32 = 0;
  offset: i64 = 0;
  /** Milliseconds since 1970, -1 if unknown. */
  timestamp: i64 = 0;
  key: Text = new Text();
  value: Text = new Text();
  headerCount: u32 = 0;
  /** The headers as they came. */
  headers: Text = new Text();
  /** Where the key's length stands; value and headers follow as an output has them. */
  body: usize = 0;

  /** The value as a JSON object to be looked into and edited; null if it is none. */
  json(): Json | null {
    return object.parse(this.value) ? object : null;
  }

  /** Whether key, value and headers stand behind each other, as they came. */
  holds(key: Text, value: Text): bool {
    return (
      key.ptr == this.body + 4 &&
      value.ptr == key.ptr + key.len + 4 &&
      this.headers.ptr == value.ptr + value.len + 4
    );
  }

  /** The value of the last header of that name; a null one if there is none. */
  header(name: string): Text {
    const found = new Text();
    const end = this.headers.ptr + this.headers.len;
    const part = new Text();
    let at = this.headers.ptr;
    while (at < end) {
      at = take(at, part);
      const isIt = part.is(name);
      at = take(at, part);
      if (isIt) {
        found.ptr = part.ptr;
        found.len = part.len;
      }
    }
    return found;
  }
}

const object = new Json();

const NONE = new Text();

/** A record to be sent. */
export class Output {
  /** 0 the default, others as transform.toml names them. */
  number: u16 = 0;
  partition: i32 = BY_KEY;
  timestamp: i64 = INHERIT;
  key: Text = NONE;
  value: Text = NONE;
  private from: Record | null = null;
  // Name and value by turns; made when the first header is added.
  private added: Text[] | null = null;

  /** The record's key, value, headers and time; valid until the record is done. */
  static of(record: Record): Output {
    let output = spare;
    if (isSpareTaken) {
      output = new Output();
    } else {
      isSpareTaken = true;
      output.number = 0;
      output.partition = BY_KEY;
      output.timestamp = INHERIT;
      output.added = null;
    }
    output.key = record.key;
    output.value = record.value;
    output.from = record;
    return output;
  }

  /** Adds a header behind those of the record. */
  header(name: string, value: Text): Output {
    let added = this.added;
    if (!added) this.added = added = new Array<Text>();
    added.push(Text.of(name));
    added.push(value);
    return this;
  }

  write(frame: Buffer, index: u32): void {
    const key = this.key;
    const value = this.value;
    const from = this.from;
    const added = this.added;
    let len: usize = 31 + key.len + value.len;
    if (from) len += from.headers.len;
    if (added) for (let i = 0; i < added.length; i++) len += 4 + added[i].len;
    let at = frame.more(len);
    store<u32>(at, index);
    store<u8>(at, 0, 4);
    store<u16>(at, this.number, 5);
    store<i32>(at, this.partition, 7);
    store<i64>(at, this.timestamp, 11);
    at += 19;
    if (from && !added && from.holds(key, value)) {
      copy(at, from.body, len - 19);
      return;
    }
    at = put(put(at, key), value);
    let count: u32 = from ? from.headerCount : 0;
    if (added) count += (<u32>added.length) >> 1;
    store<u32>(at, count);
    at += 4;
    if (from) at = copy(at, from.headers.ptr, from.headers.len);
    if (added) for (let i = 0; i < added.length; i++) at = put(at, added[i]);
  }
}

// The first output of a record: to use it again is cheaper than to allocate and to collect one.
const spare = new Output();
let isSpareTaken = false;

// @ts-ignore: decorator
@inline
export function resetOutputs(): void {
  isSpareTaken = false;
}

// @ts-ignore: decorator
@inline
function put(at: usize, text: Text): usize {
  store<i32>(at, text.ptr ? <i32>text.len : -1);
  return copy(at + 4, text.ptr, text.len);
}

/** A length and its bytes; the host wrote them, so they are in the frame. */
// @ts-ignore: decorator
@inline
export function take(at: usize, text: Text): usize {
  const len = load<i32>(at);
  text.ptr = len < 0 ? 0 : at + 4;
  text.len = len < 0 ? 0 : len;
  return at + 4 + text.len;
}
