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
export function scratch(bytes: usize): usize {
  if (room - used < bytes) {
    if (block) full.push(block);
    room = max<usize>(max<usize>(room * 2, BLOCK_BYTES), bytes);
    block = heap.alloc(room);
    used = 0;
  }
  const at = block + used;
  used += (bytes + 7) & ~(<usize>7);
  if (used > room) used = room;
  return at;
}

export function resetScratch(): void {
  used = 0;
  while (full.length) heap.free(full.pop());
}

/** Copies short spans without a call. */
// @ts-ignore: decorator
@inline
export function copy(to: usize, from: usize, len: usize): usize {
  memory.copy(to, from, len);
  return to + len;
}
