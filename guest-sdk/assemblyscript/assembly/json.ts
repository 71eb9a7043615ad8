// JSON objects whose fields are looked up and edited where they stand: what is not touched is
// copied as it is, and numbers keep their text.

import { Buffer, copy, equal, scratch } from './memory';
import {
  begin,
  colon,
  escaped,
  finish,
  first,
  hex4,
  more,
  next,
  number,
  space,
  str,
  value,
} from './scan';
import { encode, encodedLen, same, Text, textOf } from './text';

/** A field: name, value, and how it stands to the source. A value of 0 was removed. */
// @ts-ignore: decorator
@unmanaged
class Field {
  name: usize;
  nameLen: u32;
  value: usize;
  valueLen: u32;
  escaped: bool;
  touched: bool;
}

/** A value as it stands in its text: `"text"` with its quotes, `1.50`, `[1]`. */
export class Raw extends Text {
  /** Whether the value is this string. */
  is(text: string): bool {
    if (!this.isString) return false;
    const inner = unescape(this.ptr + 1, this.len - 2);
    return same(inner.ptr, inner.len, text);
  }

  get isString(): bool {
    return this.len >= 2 && load<u8>(this.ptr) == 0x22;
  }

  get isArray(): bool {
    return this.len >= 2 && load<u8>(this.ptr) == 0x5b;
  }

  get isNumber(): bool {
    return this.len > 0 && number(this.ptr, this.ptr + this.len) == this.ptr + this.len;
  }

  /** The text of a string, null if it is none. */
  get string(): string | null {
    if (!this.isString) return null;
    return unescape(this.ptr + 1, this.len - 2).toString();
  }

  /** The value of a number, NaN if it is none. */
  get number(): f64 {
    return this.isNumber ? F64.parseFloat(this.toString()) : NaN;
  }

  /** The elements of an array; none if it is no array. */
  elements(): Raw[] {
    const elements = new Array<Raw>();
    if (!this.isArray) return elements;
    const end = this.ptr + this.len;
    let at = first(this.ptr, end);
    if (load<u8>(at) == 0x5d) return elements;
    do {
      const from = at;
      at = value(at, end, 1);
      if (!at) break;
      elements.push(new Raw(from, <u32>(at - from)));
      at = next(at, end, 0x5d);
    } while (at && more);
    return elements;
  }
}

// As the texts in text.ts.
const RAWS_KEPT = 16;
const kept = new StaticArray<Raw>(RAWS_KEPT);
for (let i = 0; i < RAWS_KEPT; i++) kept[i] = new Raw();
let taken = 0;

function rawOf(ptr: usize, len: u32): Raw {
  if (taken == RAWS_KEPT) return new Raw(ptr, len);
  const raw = unchecked(kept[taken++]);
  raw.ptr = ptr;
  raw.len = len;
  return raw;
}

// @ts-ignore: decorator
@inline
export function resetRaws(): void {
  taken = 0;
}

/** An object to look into and to edit. Of fields with one name the last counts; an edit changes
 * all of them. */
export class Json {
  private source: usize = 0;
  private len: u32 = 0;
  private fields: Buffer = new Buffer();
  private edited: bool = false;

  /** Reads an object; false if the text is not exactly one. */
  parse(text: Text): bool {
    this.source = text.ptr;
    this.len = text.len;
    this.fields.len = 0;
    this.edited = false;
    const end = text.ptr + text.len;
    if (!text.ptr) return false;
    begin();
    let at = space(text.ptr, end);
    if (at == end || load<u8>(at) != 0x7b) return false;
    at = first(at, end);
    if (at < end && load<u8>(at) == 0x7d) return space(at + 1, end) == end;
    while (true) {
      if (at >= end || load<u8>(at) != 0x22) return false;
      const name = at + 1;
      at = str(at, end);
      const hasEscapes = escaped;
      const nameEnd = at - 1;
      if (at) at = colon(at, end);
      if (!at) return false;
      const from = at;
      at = value(at, end, 1);
      if (!at) return false;
      const field = changetype<Field>(this.fields.more(offsetof<Field>()));
      field.name = name;
      field.nameLen = <u32>(nameEnd - name);
      field.value = from;
      field.valueLen = <u32>(at - from);
      field.escaped = hasEscapes;
      field.touched = false;
      at = next(at, end, 0x7d);
      if (!at) return false;
      if (!more) return finish(text.ptr, at, end);
    }
    return false;
  }

  /** The value of a field, valid until the record is done; a null one if there is no such field. */
  get(name: string): Raw {
    const key = encode(name);
    const keyLen = encodedLen;
    for (let i = this.count - 1; i >= 0; i--) {
      const field = this.at(i);
      if (isNamed(field, key, keyLen)) return rawOf(field.value, field.valueLen);
    }
    return rawOf(0, 0);
  }

  /** Removes a field; false if there is none. */
  remove(name: string): bool {
    const key = encode(name);
    const keyLen = encodedLen;
    let found = false;
    for (let i = 0, n = this.count; i < n; i++) {
      const field = this.at(i);
      if (!isNamed(field, key, keyLen)) continue;
      field.value = 0;
      field.valueLen = 0;
      found = this.edited = true;
    }
    return found;
  }

  /** Gives a field another name in its place; a field that had that name is removed. False if
   * there is no such field. */
  rename(from: string, to: string): bool {
    const key = encode(from);
    const keyLen = encodedLen;
    const n = this.count;
    let i = 0;
    while (i < n && !isNamed(this.at(i), key, keyLen)) i++;
    if (i == n) return false;
    if (from == to) return true;
    this.remove(to);
    const quoted = quote(to);
    for (; i < n; i++) if (isNamed(this.at(i), key, keyLen)) call(this.at(i), quoted);
    return (this.edited = true);
  }

  /** Sets a field to a value that is JSON already, in its place or behind the last field. */
  setRaw(name: string, raw: Text): void {
    this.put(name, raw.ptr, raw.len);
  }

  /** Sets a field to a string. */
  set(name: string, text: string): void {
    const quoted = quote(text);
    this.put(name, quoted, quotedLen);
  }

  private put(name: string, value: usize, valueLen: u32): void {
    const key = encode(name);
    const keyLen = encodedLen;
    this.edited = true;
    let found = false;
    for (let i = 0, n = this.count; i < n; i++) {
      const field = this.at(i);
      if (!isNamed(field, key, keyLen)) continue;
      field.value = value;
      field.valueLen = valueLen;
      field.touched = found = true;
    }
    if (found) return;
    const field = changetype<Field>(this.fields.more(offsetof<Field>()));
    field.value = value;
    field.valueLen = valueLen;
    call(field, quote(name));
  }

  /** The object as it is now, valid until the record is done. */
  text(): Text {
    if (!this.edited) return textOf(this.source, this.len);
    const n = this.count;
    let room: usize = 2 + this.len;
    for (let i = 0; i < n; i++) room += 4 + this.at(i).nameLen + this.at(i).valueLen;
    const start = scratch(room);
    let at = start;
    store<u8>(at++, 0x7b);
    for (let i = 0; i < n; i++) {
      let field = this.at(i);
      if (!field.value) continue;
      if (at > start + 1) store<u8>(at++, 0x2c);
      let from = field.name - 1;
      if (field.touched) {
        store<u8>(at++, 0x22);
        at = copy(at, field.name, field.nameLen);
        store<u16>(at, 0x3a22);
        at += 2;
        from = field.value;
      } else {
        // A run of fields that nobody touched is one copy.
        while (i + 1 < n && this.at(i + 1).value && !this.at(i + 1).touched) field = this.at(++i);
      }
      at = copy(at, from, field.value + field.valueLen - from);
    }
    store<u8>(at++, 0x7d);
    return textOf(start, <u32>(at - start));
  }

  private get count(): i32 {
    return <i32>(this.fields.len / offsetof<Field>());
  }

  // @ts-ignore: decorator
  @inline
  private at(i: i32): Field {
    return changetype<Field>(this.fields.ptr + <usize>i * offsetof<Field>());
  }
}

// @ts-ignore: decorator
@inline
function isNamed(field: Field, key: usize, len: u32): bool {
  if (field.escaped) return isNamedEscaped(field, key, len);
  return field.nameLen == len && field.value != 0 && equal(field.name, key, len);
}

function isNamedEscaped(field: Field, key: usize, len: u32): bool {
  if (!field.value) return false;
  const text = unescape(field.name, field.nameLen);
  return text.len == len && equal(text.ptr, key, len);
}

/** Gives a field a name, which was quoted just now. */
function call(field: Field, quoted: usize): void {
  field.name = quoted + 1;
  field.nameLen = quotedLen - 2;
  field.escaped = field.nameLen != plainLen;
  field.touched = true;
}

/** The length of what was quoted last, with and without quotes and escapes. */
let quotedLen: u32 = 0;
let plainLen: u32 = 0;

/** A string as JSON, valid until the record is done. */
function quote(text: string): usize {
  const plain = encode(text);
  const len = encodedLen;
  const start = scratch(2 + <usize>len * 6);
  let at = start;
  store<u8>(at++, 0x22);
  for (let i: u32 = 0; i < len; i++) {
    const c = <u32>load<u8>(plain + i);
    if (c >= 0x20 && c != 0x22 && c != 0x5c) {
      store<u8>(at++, c);
    } else if (c >= 0x20) {
      store<u16>(at, (c << 8) | 0x5c);
      at += 2;
    } else {
      store<u32>(at, 0x3030755c); // \u00
      store<u8>(at, 0x30 + (c >> 4), 4);
      const low = c & 15;
      store<u8>(at, low < 10 ? 0x30 + low : 0x57 + low, 5);
      at += 6;
    }
  }
  store<u8>(at++, 0x22);
  quotedLen = <u32>(at - start);
  plainLen = len;
  return start;
}

/** What stands between quotes as text; half a surrogate pair becomes U+FFFD. */
function unescape(from: usize, len: u32): Text {
  const end = from + len;
  let plain = from;
  while (plain < end && load<u8>(plain) != 0x5c) plain++;
  if (plain == end) return textOf(from, len);
  const start = scratch(len);
  let to = copy(start, from, plain - from);
  let at = plain;
  while (at < end) {
    let c = <i32>load<u8>(at++);
    if (c == 0x5c) {
      c = load<u8>(at++);
      if (c == 0x75) {
        c = hex4(at, end);
        at += 4;
        if (c >= 0xd800 && c < 0xe000) {
          const low = end - at >= 6 && load<u16>(at) == 0x755c ? hex4(at + 2, end) : 0;
          const pair = c < 0xdc00 && low >= 0xdc00 && low < 0xe000;
          if (pair) at += 6;
          c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
        }
        to = putUtf8(to, c);
        continue;
      }
      c = meaning(c);
    }
    store<u8>(to++, c);
  }
  return textOf(start, <u32>(to - start));
}

function meaning(c: i32): i32 {
  switch (c) {
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return c;
  }
}

function putUtf8(at: usize, c: i32): usize {
  if (c < 0x80) {
    store<u8>(at, c);
    return at + 1;
  }
  if (c < 0x800) {
    store<u8>(at, 0xc0 | (c >> 6));
    store<u8>(at, 0x80 | (c & 63), 1);
    return at + 2;
  }
  if (c < 0x10000) {
    store<u8>(at, 0xe0 | (c >> 12));
    store<u8>(at, 0x80 | ((c >> 6) & 63), 1);
    store<u8>(at, 0x80 | (c & 63), 2);
    return at + 3;
  }
  store<u8>(at, 0xf0 | (c >> 18));
  store<u8>(at, 0x80 | ((c >> 12) & 63), 1);
  store<u8>(at, 0x80 | ((c >> 6) & 63), 2);
  store<u8>(at, 0x80 | (c & 63), 3);
  return at + 4;
}
