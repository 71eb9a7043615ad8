// Bytes outside the garbage collector: buffers that are reused from call to call.

/** A growing buffer whose address may move when it grows. */
export class Buffer {
  ptr: usize = 0;
  len: usize = 0;
  room: usize = 0;

  /** Room for `bytes` more; the address where they begin. */
  @inline more(bytes: usize): usize {
    const at = this.len;
    const need = at + bytes;
    if (need > this.room) this.grow(need);
    this.len = need;
    return this.ptr + at;
  }

  private grow(need: usize): void {
    const room = max<usize>(need * 2, 4096);
    const ptr = heap.alloc(room);
    memory.copy(ptr, this.ptr, this.len);
    if (this.ptr) heap.free(this.ptr);
    this.ptr = ptr;
    this.room = room;
  }
}

const BLOCK_BYTES: usize = 16384;

let block: usize = 0;
let used: usize = 0;
let room: usize = 0;
// Blocks that are full: freed when the record is done.
const full = new Array<usize>();

/** Memory until the record is done. */
// @ts-ignore: decorator
@inline
export function scratch(bytes: usize): usize {
  if (room - used < bytes) addBlock(bytes);
  const at = block + used;
  used += (bytes + 7) & ~(<usize>7);
  if (used > room) used = room;
  return at;
}

function addBlock(bytes: usize): void {
  if (block) full.push(block);
  room = max<usize>(max<usize>(room * 2, BLOCK_BYTES), bytes);
  block = heap.alloc(room);
  used = 0;
}

// @ts-ignore: decorator
@inline
export function resetScratch(): void {
  used = 0;
  if (full.length) freeFull();
}

function freeFull(): void {
  while (full.length) heap.free(full.pop());
}

// The longest copy that is made here: a longer one is cheaper as a call of the engine's.
const COPY_BYTES_MAX: usize = 128;

/** Copies to where none of the bytes stand; answers the place behind them. */
// @ts-ignore: decorator
@inline
export function copy(to: usize, from: usize, len: usize): usize {
  if (len > COPY_BYTES_MAX) memory.copy(to, from, len);
  else copyShort(to, from, len);
  return to + len;
}

/** The first bytes and the last ones, which overlap where the length lies between. */
function copyShort(to: usize, from: usize, len: usize): void {
  if (len >= 16) {
    const last = len - 16;
    for (let i: usize = 0; i < last; i += 16) v128.store(to + i, v128.load(from + i));
    v128.store(to + last, v128.load(from + last));
  } else if (len >= 8) {
    store<u64>(to, load<u64>(from));
    store<u64>(to + len - 8, load<u64>(from + len - 8));
  } else if (len >= 4) {
    store<u32>(to, load<u32>(from));
    store<u32>(to + len - 4, load<u32>(from + len - 4));
  } else if (len) {
    store<u8>(to, load<u8>(from));
    if (len > 1) store<u16>(to + len - 2, load<u16>(from + len - 2));
  }
}

/** Whether two spans of one length hold the same bytes. */
export function equal(left: usize, right: usize, len: usize): bool {
  if (len < 8) {
    if (len < 4) {
      while (len && load<u8>(left + len - 1) == load<u8>(right + len - 1)) len--;
      return !len;
    }
    const last = len - 4;
    return load<u32>(left) == load<u32>(right) && load<u32>(left + last) == load<u32>(right + last);
  }
  const last = len - 8;
  for (let i: usize = 0; i < last; i += 8) {
    if (load<u64>(left + i) != load<u64>(right + i)) return false;
  }
  return load<u64>(left + last) == load<u64>(right + last);
}
