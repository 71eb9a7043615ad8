// Bytes of a record: keys, values, headers. They stand in memory as UTF-8 and are not strings
// until somebody asks for one.

import { equal, scratch } from './memory';

/** A pointer and a length; a `ptr` of 0 is null, which differs from empty. */
export class Text {
  constructor(
    public ptr: usize = 0,
    public len: u32 = 0,
  ) {}

  /** A string as bytes, valid until the record is done. */
  static of(text: string): Text {
    const ptr = encode(text);
    return textOf(ptr, encodedLen);
  }

  get isNull(): bool {
    return !this.ptr;
  }

  /** Whether the bytes are those of the string. */
  is(text: string): bool {
    return this.ptr != 0 && same(this.ptr, this.len, text);
  }

  toString(): string {
    return String.UTF8.decodeUnsafe(this.ptr, this.len);
  }
}

// Texts are taken from these, which each record has anew: the bytes they show do not live longer,
// and to allocate and to collect an object takes longer than to find a field.
const TEXTS_KEPT = 16;
const kept = new StaticArray<Text>(TEXTS_KEPT);
for (let i = 0; i < TEXTS_KEPT; i++) kept[i] = new Text();
let taken = 0;

/** A text that is valid until the record is done. */
export function textOf(ptr: usize, len: u32): Text {
  if (taken == TEXTS_KEPT) return new Text(ptr, len);
  const text = unchecked(kept[taken++]);
  text.ptr = ptr;
  text.len = len;
  return text;
}

// @ts-ignore: decorator
@inline
export function resetTexts(): void {
  taken = 0;
}

/** The length of what was encoded last. */
export let encodedLen: u32 = 0;

/** The UTF-8 bytes of a string, valid until the record is done. */
export function encode(text: string): usize {
  const units = <usize>text.length;
  let from = changetype<usize>(text);
  const ptr = scratch(max<usize>(units, 1));
  let to = ptr;
  const end = ptr + units;
  for (; end - to >= 4; to += 4, from += 8) {
    const four = v128.load64_zero(from);
    if (i64x2.extract_lane(four, 0) & 0xff80ff80ff80ff80) return encodeAny(text);
    store<u32>(to, i32x4.extract_lane(i8x16.narrow_i16x8_u(four, four), 0));
  }
  for (; to < end; to++, from += 2) {
    const unit = load<u16>(from);
    if (unit >= 0x80) return encodeAny(text);
    store<u8>(to, unit);
  }
  encodedLen = <u32>units;
  return ptr;
}

function encodeAny(text: string): usize {
  encodedLen = <u32>String.UTF8.byteLength(text);
  const ptr = scratch(encodedLen);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, ptr);
  return ptr;
}

/** Whether UTF-8 bytes are those of a string. */
export function same(ptr: usize, len: u32, text: string): bool {
  // A unit of UTF-16 takes one to three bytes.
  const units = <u32>text.length;
  if (len < units || len > units * 3) return false;
  const other = encode(text);
  return len == encodedLen && equal(ptr, other, len);
}
