// How JSON is read: each function gets a place and the end of the text and answers the place
// behind what it read, 0 where that is no JSON.

const DEPTH_MAX = 128;

/** Whether the string that was passed last has escapes. */
export let escaped: bool = false;

export function space(at: usize, end: usize): usize {
  while (at < end) {
    const c = load<u8>(at);
    if (c != 0x20 && c != 0x0a && c != 0x0d && c != 0x09) break;
    at++;
  }
  return at;
}

/** Passes an opening bracket and what follows up to the first element. */
// @ts-ignore: decorator
@inline
export function first(at: usize, end: usize): usize {
  return space(at + 1, end);
}

/** Passes the comma or the closing bracket behind an element; `more` says which it was. */
export let more: bool = false;

export function next(at: usize, end: usize, closing: u8): usize {
  at = space(at, end);
  more = false;
  if (at == end) return 0;
  const c = load<u8>(at);
  if (c == 0x2c) {
    more = true;
    return space(at + 1, end);
  }
  return c == closing ? at + 1 : 0;
}

export function colon(at: usize, end: usize): usize {
  at = space(at, end);
  return at < end && load<u8>(at) == 0x3a ? space(at + 1, end) : 0;
}

export function str(at: usize, end: usize): usize {
  escaped = false;
  at++;
  while (at < end) {
    const c = load<u8>(at);
    if (c == 0x22) return at + 1;
    if (c < 0x20) return 0;
    if (c == 0x5c) {
      escaped = true;
      at = escape(at + 1, end);
      if (!at) return 0;
    }
    at++;
  }
  return 0;
}

/** Passes what stands behind a backslash but its last byte. */
function escape(at: usize, end: usize): usize {
  if (at >= end) return 0;
  switch (load<u8>(at)) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return at;
    case 0x75:
      return hex4(at + 1, end) >= 0 ? at + 4 : 0;
    default:
      return 0;
  }
}

export function hex4(at: usize, end: usize): i32 {
  if (end - at < 4) return -1;
  let unit = 0;
  for (let i: usize = 0; i < 4; i++) {
    const c = <i32>load<u8>(at + i);
    const low = c | 0x20;
    if (c >= 0x30 && c <= 0x39) unit = (unit << 4) | (c - 0x30);
    else if (low >= 0x61 && low <= 0x66) unit = (unit << 4) | (low - 0x57);
    else return -1;
  }
  return unit;
}

function digits(at: usize, end: usize): usize {
  while (at < end && <u8>(load<u8>(at) - 0x30) < 10) at++;
  return at;
}

export function number(at: usize, end: usize): usize {
  if (at < end && load<u8>(at) == 0x2d) at++;
  const whole = at;
  at = digits(at, end);
  if (at == whole || (load<u8>(whole) == 0x30 && at > whole + 1)) return 0;
  if (at < end && load<u8>(at) == 0x2e) {
    const fraction = at + 1;
    at = digits(fraction, end);
    if (at == fraction) return 0;
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    const exponent = at;
    at = digits(at, end);
    if (at == exponent) return 0;
  }
  return at;
}

export function value(at: usize, end: usize, depth: i32): usize {
  if (at >= end || depth >= DEPTH_MAX) return 0;
  switch (load<u8>(at)) {
    case 0x22:
      return str(at, end);
    case 0x7b:
      return list(at, end, depth + 1, 0x7d);
    case 0x5b:
      return list(at, end, depth + 1, 0x5d);
    case 0x74: // true
      return end - at >= 4 && load<u32>(at) == 0x65757274 ? at + 4 : 0;
    case 0x66: // false
      return end - at >= 5 && load<u32>(at, 1) == 0x65736c61 ? at + 5 : 0;
    case 0x6e: // null
      return end - at >= 4 && load<u32>(at) == 0x6c6c756e ? at + 4 : 0;
    default:
      return number(at, end);
  }
}

function list(at: usize, end: usize, depth: i32, closing: u8): usize {
  at = first(at, end);
  if (at < end && load<u8>(at) == closing) return at + 1;
  do {
    if (closing == 0x7d) {
      if (at >= end || load<u8>(at) != 0x22) return 0;
      at = str(at, end);
      if (at) at = colon(at, end);
      if (!at) return 0;
    }
    at = value(at, end, depth);
    if (at) at = next(at, end, closing);
    if (!at) return 0;
  } while (more);
  return at;
}

/** Whether bytes are UTF-8. */
export function isUtf8(at: usize, end: usize): bool {
  while (at < end) {
    while (end - at >= 8 && !(load<u64>(at) & 0x8080808080808080)) at += 8;
    if (at == end) break;
    const c = <u32>load<u8>(at++);
    if (c < 0x80) continue;
    let rest: usize = 0;
    if (c >= 0xc2 && c < 0xe0) rest = 1;
    else if ((c & 0xf0) == 0xe0) rest = 2;
    else if (c >= 0xf0 && c < 0xf5) rest = 3;
    if (!rest || end - at < rest) return false;
    const second = <u32>load<u8>(at);
    const low: u32 = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const high: u32 = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (let i: usize = 1; i < rest; i++) if ((load<u8>(at + i) & 0xc0) != 0x80) return false;
    at += rest;
  }
  return true;
}
