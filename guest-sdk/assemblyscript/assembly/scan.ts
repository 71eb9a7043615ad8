// How JSON is read: each function gets a place and the end of the text and answers the place
// behind what it read, 0 where that is no JSON. Strings and numbers are read sixteen bytes at a
// time; what is common is tried first, what is rare is a call.

const DEPTH_MAX = 128;

/** Whether the string that was passed last has escapes. */
export let escaped: bool = false;
/** Whether a string since `begin` holds bytes above 127, which nobody has checked yet. */
let wide: bool = false;
// The brackets that close what the value in work stands in.
const closings: usize = memory.data(DEPTH_MAX);

/** Begins to read a text. */
// @ts-ignore: decorator
@inline
export function begin(): void {
  wide = false;
}

/** Whether nothing stands behind `at`, and what the strings hold is UTF-8. */
export function finish(from: usize, at: usize, end: usize): bool {
  return space(at, end) == end && (!wide || isUtf8(from, end));
}

// @ts-ignore: decorator
@inline
export function space(at: usize, end: usize): usize {
  return at < end && load<u8>(at) <= 0x20 ? moreSpace(at, end) : at;
}

function moreSpace(at: usize, end: usize): usize {
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

// @ts-ignore: decorator
@inline
export function colon(at: usize, end: usize): usize {
  if (end - at > 1 && load<u8>(at) == 0x3a && load<u8>(at, 1) > 0x20) return at + 1;
  return spacedColon(at, end);
}

function spacedColon(at: usize, end: usize): usize {
  at = space(at, end);
  return at < end && load<u8>(at) == 0x3a ? space(at + 1, end) : 0;
}

/** The bytes of sixteen that end a look at the plain text of a string, as bits: a quote, a
 * backslash, what is below a space, and as signed numbers those above 127 are below it too. */
// @ts-ignore: decorator
@inline
function stops(at: usize): i32 {
  const chunk = v128.load(at);
  const quoteOrBackslash = v128.or(
    i8x16.eq(chunk, i8x16.splat(0x22)),
    i8x16.eq(chunk, i8x16.splat(0x5c)),
  );
  return i8x16.bitmask(v128.or(quoteOrBackslash, i8x16.lt_s(chunk, i8x16.splat(0x20))));
}

/** Passes a string whose quote stands at `at`. */
// @ts-ignore: decorator
@inline
export function str(at: usize, end: usize): usize {
  if (end - at > 16) {
    // No stop is place 32, whose byte is not looked at.
    const stop = stops(at + 1);
    const place = at + 1 + <usize>ctz(stop);
    if (stop && load<u8>(place) == 0x22) {
      escaped = false;
      return place + 1;
    }
  }
  return longStr(at, end);
}

function longStr(at: usize, end: usize): usize {
  let hasEscapes = false;
  at++;
  while (at < end) {
    if (end - at >= 16) {
      const stop = stops(at);
      if (!stop) {
        at += 16;
        continue;
      }
      at += <usize>ctz(stop);
    }
    const c = load<u8>(at);
    if (c == 0x22) {
      escaped = hasEscapes;
      return at + 1;
    }
    if (c < 0x20) return 0;
    if (c == 0x5c) {
      hasEscapes = true;
      at = escape(at + 1, end);
      if (!at) return 0;
    } else if (c >= 0x80) {
      wide = true;
      at = passWide(at, end);
      continue;
    }
    at++;
  }
  return 0;
}

/** Passes bytes above 127, which rarely come alone. */
function passWide(at: usize, end: usize): usize {
  do at++;
  while (at < end && load<u8>(at) >= 0x80);
  return at;
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

/** Passes digits. */
function digits(at: usize, end: usize): usize {
  while (at < end && <u8>(load<u8>(at) - 0x30) < 10) at++;
  return at;
}

/** Passes a number: most are digits, perhaps with a fraction, within sixteen bytes. */
// @ts-ignore: decorator
@inline
function shortNumber(at: usize, end: usize): usize {
  if (end - at >= 16) {
    const offsets = i8x16.sub(v128.load(at), i8x16.splat(0x30));
    const others = i8x16.bitmask(i8x16.gt_u(offsets, i8x16.splat(9)));
    const whole = ctz(others);
    // A zero in front stands alone.
    if (others && whole && (whole == 1 || load<u8>(at) != 0x30)) {
      let behind = at + <usize>whole;
      let c = load<u8>(behind);
      if (c == 0x2e) {
        const rest = others & (others - 1);
        const point = behind;
        behind = at + <usize>ctz(rest);
        c = rest && behind > point + 1 ? load<u8>(behind) : 0x65;
      }
      if ((c | 0x20) != 0x65) return behind;
    }
  }
  return number(at, end);
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

/** Passes a value that stands `outside` deep. */
// @ts-ignore: decorator
@inline
export function value(at: usize, end: usize, outside: i32): usize {
  if (at >= end) return 0;
  const c = load<u8>(at);
  return (c | 0x20) == 0x7b ? container(at, end, outside) : scalar(at, end, c);
}

// @ts-ignore: decorator
@inline
function scalar(at: usize, end: usize, c: u8): usize {
  if (c == 0x22) return str(at, end);
  return c <= 0x39 ? shortNumber(at, end) : word(at, end);
}

function word(at: usize, end: usize): usize {
  if (end - at < 4) return 0;
  const four = load<u32>(at);
  // true, null
  if (four == 0x65757274 || four == 0x6c6c756e) return at + 4;
  // false
  return four == 0x736c6166 && end - at > 4 && load<u8>(at, 4) == 0x65 ? at + 5 : 0;
}

/** Passes an array or an object: a loop, not a recursion. */
function container(at: usize, end: usize, outside: i32): usize {
  let depth = outside;
  while (true) {
    // A value begins here.
    if (at >= end) return 0;
    const c = load<u8>(at);
    if ((c | 0x20) == 0x7b) {
      if (depth >= DEPTH_MAX) return 0;
      // Closing brackets come two behind their opening ones in ASCII.
      const closing: u8 = c + 2;
      at = space(at + 1, end);
      if (at >= end) return 0;
      if (load<u8>(at) != closing) {
        store<u8>(closings + depth, closing);
        depth++;
        if (closing == 0x7d) at = name(at, end);
        if (!at) return 0;
        continue;
      }
      at++;
    } else {
      at = scalar(at, end, c);
      if (!at) return 0;
    }
    // And has ended here, perhaps with what it is the last of.
    while (true) {
      if (depth == outside) return at;
      at = space(at, end);
      if (at >= end) return 0;
      const closing = load<u8>(closings + depth - 1);
      const c = load<u8>(at++);
      if (c == 0x2c) {
        at = space(at, end);
        if (closing == 0x7d) at = name(at, end);
        if (!at) return 0;
        break;
      }
      if (c != closing) return 0;
      depth--;
    }
  }
}

/** Passes a name and its colon. */
// @ts-ignore: decorator
@inline
function name(at: usize, end: usize): usize {
  if (at >= end || load<u8>(at) != 0x22) return 0;
  at = str(at, end);
  return at ? colon(at, end) : 0;
}

/** Whether bytes are UTF-8. */
function isUtf8(at: usize, end: usize): bool {
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
