// The two frames of ABI.md: a batch as it comes (section 3), and what is answered (section 5).
//
// The engine interprets, so what counts is how few steps a record takes: a record that is sent on as
// it came is one copy of bytes, and what no one asks for is not read.

import { own } from './bytes.js';

const I32_MAX = 0x7fffffff;
const I64_MIN = -(2n ** 63n);
const CODE_MAX = 999;
const ROOM = 1 << 16;
// Bytes of UTF-8 that a unit of a string takes at most.
const UTF8_MAX = 3;
// Longer texts are encoded on their own: not to take three times their length.
const TEXT_MAX = 1 << 16;
// What stands before an output's key: index, kind, output, partition and time. This one is the
// default output by key with the record's time, of index 0.
const HEAD = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 128]);
const INDEX = 4;

// A byte order mark is part of the text: what is passed on keeps its bytes.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lossy = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** The place behind bytes and their length at `at`; null has none. */
export function behind(view, at) {
  const length = view.getInt32(at, true);
  return length > 0 ? at + 4 + length : at + 4;
}

/** A batch as it comes; its fields are where their lengths stand. */
export class Batch {
  constructor(bytes, isText) {
    this.bytes = own(bytes);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.isText = isText;
    const end = 2 + this.view.getUint16(0, true);
    this.topic = utf8.decode(this.bytes.subarray(2, end));
    this.partition = this.view.getInt32(end, true);
    this.count = this.view.getUint32(end + 4, true);
    this.first = end + 8;
  }

  /** The bytes at `at`, a copy; null if there are none. */
  copy(at) {
    const length = this.view.getInt32(at, true);
    return length < 0 ? null : this.bytes.slice(at + 4, at + 4 + length);
  }

  /** The text at `at`; null if there is none. Throws where it is not UTF-8. */
  text(at) {
    const length = this.view.getInt32(at, true);
    if (length <= 0) return length < 0 ? null : '';
    return utf8.decode(this.bytes.subarray(at + 4, at + 4 + length));
  }

  /** The text at `at`, or bytes where it is none or bytes are wanted. */
  payload(at) {
    if (!this.isText) return this.copy(at);
    try {
      return this.text(at);
    } catch {
      return this.copy(at);
    }
  }

  /** Names and values of the headers at `at`. */
  headers(at) {
    const found = [];
    let next = at + 4;
    for (let count = this.view.getUint32(at, true); count > 0; count -= 1) {
      const value = behind(this.view, next);
      found.push([lossy.decode(this.bytes.subarray(next + 4, value)), this.payload(value)]);
      next = behind(this.view, value);
    }
    return found;
  }
}

/** The answer to a batch: one buffer, which the next batch's takes too. */
export class Answer {
  constructor() {
    this._use(new Uint8Array(ROOM));
    this.length = 0;
  }

  /** The frame. */
  bytes() {
    return this._bytes.subarray(0, this.length);
  }

  /** The output by key that has these bytes of a batch as key, value and headers. */
  same(index, bytes, from, to) {
    const at = this._take(HEAD.length + to - from);
    this._bytes.set(HEAD, at);
    if (index) this._view.setUint32(at, index, true);
    this._bytes.set(bytes.subarray(from, to), at + HEAD.length);
  }

  /** Begins an output, which has key, value and headers behind it. */
  output(index, number, partition, timestamp) {
    const at = this._take(HEAD.length);
    this._bytes.set(HEAD, at);
    const view = this._view;
    if (index) view.setUint32(at, index, true);
    if (number) view.setUint16(at + 5, number, true);
    // One that no target has fails the record, whichever it is.
    if (partition !== undefined) view.setInt32(at + 7, Math.min(partition, I32_MAX), true);
    if (timestamp !== undefined) {
      // The lowest time means the record's: it is as wrong as the one above it.
      const time = BigInt.asIntN(64, timestamp);
      view.setBigInt64(at + 11, time === I64_MIN ? I64_MIN + 1n : time, true);
    }
  }

  /** Writes text or bytes with their length before them; null has the length -1. */
  payload(value) {
    if (typeof value === 'string') {
      this._text(value);
      return;
    }
    const length = value === null ? 0 : value.length;
    const at = this._take(4 + length);
    this._view.setInt32(at, value === null ? -1 : length, true);
    if (length) this._bytes.set(value, at + 4);
  }

  /** Writes how many headers there are. */
  count(headers) {
    const at = this._take(4);
    this._view.setUint32(at, headers, true);
  }

  failure(index, { code, message }) {
    const at = this._take(INDEX + 3);
    this._view.setUint32(at, index, true);
    this._bytes[at + INDEX] = 1;
    this._view.setUint16(at + INDEX + 1, code >= 0 && code <= CODE_MAX ? code : 0, true);
    this._text(String(message));
  }

  _text(text) {
    if (text.length > TEXT_MAX) {
      this.payload(encoder.encode(text));
      return;
    }
    // As long as it can be; what is not used is given back.
    const at = this._take(4 + UTF8_MAX * text.length);
    const { written } = encoder.encodeInto(text, this._bytes.subarray(at + 4));
    this._view.setInt32(at, written, true);
    this.length = at + 4 + written;
  }

  /** Makes room for so many bytes, and says where it is. */
  _take(count) {
    const at = this.length;
    const end = at + count;
    if (end > this._bytes.length) {
      const old = this._bytes;
      this._use(new Uint8Array(Math.max(end, 2 * old.length)));
      this._bytes.set(old.subarray(0, at));
    }
    this.length = end;
    return at;
  }

  _use(bytes) {
    this._bytes = bytes;
    this._view = new DataView(bytes.buffer);
  }
}
