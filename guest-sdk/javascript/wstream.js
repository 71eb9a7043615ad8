// The wstream SDK for transforms in JavaScript and TypeScript: a function that gets each record of
// a topic and says what becomes of it. See README.md.

import { Answer, Batch, behind } from './frame.js';
import { JsonObject } from './json.js';

export { JsonObject };

const CODE_MAX = 999;
const OUTPUT_MAX = 0xffff;
const PARTITION_MAX = 0xffffffff;
// Between a record's start and its key: the offset and the time.
const FIXED = 16;
const NOT_OBJECT = 'the value is not a JSON object';

/** Fails the record, or in a constructor the configuration, with a code of 0 to 999. */
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'Failure';
    this.code = whole(code, CODE_MAX, "a failure's code");
  }
}

/** What a transform gets. */
export class Record {
  // Not private fields, which take the engine longer to make.
  constructor(batch, at) {
    const { view } = batch;
    this._batch = batch;
    // Where it is, and its fields with their lengths. A call takes the engine as long as a read.
    const key = view.getInt32(at + FIXED, true);
    const valueAt = at + FIXED + 4 + (key > 0 ? key : 0);
    const value = view.getInt32(valueAt, true);
    const headersAt = valueAt + 4 + (value > 0 ? value : 0);
    let end = headersAt + 4;
    for (let count = view.getUint32(headersAt, true); count > 0; count -= 1) {
      end = behind(view, behind(view, end));
    }
    this._at = at;
    this._valueAt = valueAt;
    this._headersAt = headersAt;
    this._end = end;
    // What was read, once it was.
    this._key = undefined;
    this._value = undefined;
  }

  get topic() {
    return this._batch.topic;
  }

  get partition() {
    return this._batch.partition;
  }

  get offset() {
    return Number(this._batch.view.getBigInt64(this._at, true));
  }

  get timestamp() {
    return Number(this._batch.view.getBigInt64(this._at + 8, true));
  }

  get key() {
    if (this._key === undefined) this._key = this._batch.payload(this._at + FIXED);
    return this._key;
  }

  get value() {
    if (this._value === undefined) this._value = this._batch.payload(this._valueAt);
    return this._value;
  }

  get headers() {
    return this._batch.headers(this._headersAt);
  }

  header(name) {
    return this.headers.findLast(([given]) => given === name)?.[1] ?? null;
  }

  bytes() {
    return this._batch.copy(this._valueAt);
  }

  text() {
    if (typeof this._value === 'string') return this._value;
    return this._batch.text(this._valueAt);
  }

  json(code = 0) {
    try {
      return JSON.parse(this.text() ?? '');
    } catch (cause) {
      throw new Failure(code, 'the value is not JSON');
    }
  }

  object(code = 0) {
    let object;
    try {
      object = JsonObject.parse(this.text() ?? '');
    } catch {
      // Not UTF-8.
    }
    if (!object) throw new Failure(code, NOT_OBJECT);
    return object;
  }

  with(changes) {
    // What is given instead need not be read.
    const given = changes ?? {};
    return {
      key: Object.hasOwn(given, 'key') ? null : this.key,
      value: Object.hasOwn(given, 'value') ? null : this.value,
      headers: Object.hasOwn(given, 'headers') ? null : this.headers,
      ...changes,
    };
  }
}

/** What the module exports as `guest`. */
export function transform(definition, options = {}) {
  const outputs = options.outputs ?? definition.outputs ?? ['default'];
  const payloads = options.payloads ?? definition.payloads ?? 'text';
  const isClass = typeof definition.prototype?.transform === 'function';
  const answer = new Answer();
  let work;
  return {
    outputs,
    init(config) {
      try {
        const settings = JSON.parse(config);
        const made = isClass ? new definition(settings) : definition(settings);
        work = typeof made === 'function' ? made : (record) => made.transform(record);
      } catch (error) {
        throw failureOf(error);
      }
    },
    process(bytes) {
      const batch = new Batch(bytes, payloads === 'text');
      answer.length = 0;
      let at = batch.first;
      for (let index = 0; index < batch.count; index += 1) {
        const record = new Record(batch, at);
        at = record._end;
        const start = answer.length;
        try {
          send(answer, index, work(record), outputs);
        } catch (error) {
          answer.length = start;
          answer.failure(index, failureOf(error));
        }
      }
      return answer.bytes();
    },
  };
}

function failureOf(error) {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  return { code: 0, message: error instanceof Error ? error.message : String(error) };
}

/** Writes what a transform made of a record. */
function send(answer, index, made, names) {
  if (made === undefined || made === null) return;
  if (made instanceof Record) {
    sendSame(answer, index, made);
    return;
  }
  if (typeof made !== 'object') {
    throw new TypeError(`a transform returns outputs, not a ${typeof made}`);
  }
  if (typeof made.then === 'function') {
    throw new TypeError('a transform cannot be async: there is nothing to wait for');
  }
  if (typeof made[Symbol.iterator] !== 'function') {
    sendOne(answer, index, made, names);
    return;
  }
  for (const output of made) sendOne(answer, index, output, names);
}

function sendSame(answer, index, { _batch, _at, _end }) {
  answer.same(index, _batch.bytes, _at + FIXED, _end);
}

function sendOne(answer, index, made, names) {
  if (made instanceof Record) {
    sendSame(answer, index, made);
    return;
  }
  if (typeof made !== 'object' || made === null || made instanceof Uint8Array) {
    throw new TypeError('an output is an object with a value');
  }
  const { output, partition, timestamp, key, value, headers } = made;
  answer.output(
    index,
    numberOf(output ?? 0, names),
    optional(partition, (p) => whole(p, PARTITION_MAX, "an output's partition")),
    optional(timestamp, BigInt),
  );
  answer.payload(payload(key, "an output's key"));
  answer.payload(payload(value, "an output's value"));
  if (headers === undefined || headers === null || headers.length === 0) {
    answer.count(0);
    return;
  }
  const all = Array.from(headers);
  answer.count(all.length);
  for (const [name, value] of all) {
    answer.payload(String(name));
    answer.payload(payload(value, "a header's value"));
  }
}

function optional(value, convert) {
  return value === undefined || value === null ? undefined : convert(value);
}

function numberOf(output, names) {
  if (typeof output === 'number') return whole(output, OUTPUT_MAX, "an output's number");
  const number = names.indexOf(output);
  if (number < 0) throw new RangeError(`there is no output ${JSON.stringify(output)}`);
  return number;
}

function whole(value, max, what) {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(`${what} is a whole number up to ${max}, not ${value}`);
}

/** Text, bytes or null. */
function payload(value, what) {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string' || value instanceof Uint8Array) return value;
  if (value instanceof JsonObject) return value.toString();
  throw new TypeError(`${what} is a string, a Uint8Array or null, not a ${typeof value}`);
}
