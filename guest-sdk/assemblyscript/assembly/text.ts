// Bytes of a record: keys, values, headers. They stand in memory as UTF-8 and are not strings
// until somebody asks for one.

import { scratch } from './memory';

/** A pointer and a length; a `ptr` of 0 is null, which differs from empty. */
export class Text {
  constructor(
    public ptr: usize = 0,
    public len: u32 = 0,
  ) {}

  /** A string as bytes, valid until the record is done. */
  static of(text: string): Text {
    const bytes = String.UTF8.byteLength(text);
    const ptr = scratch(max<usize>(bytes, 1));
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, ptr);
    return new Text(ptr, bytes);
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

/** Whether UTF-8 bytes are those of a string. */
export function same(ptr: usize, len: u32, text: string): bool {
  const units = text.length;
  if (len < <u32>units) return false;
  const string = changetype<usize>(text);
  for (let i = 0; i < units; i++) {
    const unit = load<u16>(string + (<usize>i << 1));
    if (unit >= 0x80) {
      // Beyond ASCII: by way of a copy.
      const other = Text.of(text);
      return other.len == len && memory.compare(ptr, other.ptr, len) == 0;
    }
    if (load<u8>(ptr + i) != unit) return false;
  }
  return len == <u32>units;
}
