// The wstream SDK for transforms in JavaScript and TypeScript: a function that gets each record of
// a topic and says what becomes of it. See README.md.

import { given } from './bytes.js';
import { JsonObject } from './json.js';

export { JsonObject };

const CODE_MAX = 999;
const OUTPUT_MAX = 0xffff;
const PARTITION_MAX = 0xffffffff;
const NOT_OBJECT = 'the value is not a JSON object';

// A byte order mark is part of the text: what is passed on keeps its bytes.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

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
  // Not a private field, which takes the engine longer to make.
  constructor(input, topic, partition) {
    this._input = input;
    this.topic = topic;
    this.partition = partition;
  }

  get offset() {
    return Number(this._input.offset);
  }

  get timestamp() {
    return Number(this._input.timestamp);
  }

  get key() {
    return given(this._input.key);
  }

  get value() {
    return given(this._input.value);
  }

  get headers() {
    const { headers } = this._input;
    return headers.length ? headers.map(({ name, value }) => [name, given(value)]) : [];
  }

  header(name) {
    return given(this._input.headers.findLast((header) => header.name === name)?.value);
  }

  bytes() {
    const value = this.value;
    return typeof value === 'string' ? encoder.encode(value) : value;
  }

  text() {
    const value = this.value;
    return value instanceof Uint8Array ? utf8.decode(value) : value;
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
    return { key: this.key, value: this.value, headers: this.headers, ...changes };
  }
}

/** What the module exports as `guest`. */
export function transform(definition, options = {}) {
  const outputs = options.outputs ?? definition.outputs ?? ['default'];
  const payloads = options.payloads ?? definition.payloads ?? 'text';
  const isClass = typeof definition.prototype?.transform === 'function';
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
      return payloads;
    },
    process(topic, partition, inputs) {
      const answers = [];
      // The engine interprets: an iterator takes it longer than an index.
      for (let i = 0; i < inputs.length; i += 1) {
        const record = new Record(inputs[i], topic, partition);
        try {
          answers.push({ tag: 'ok', val: outputsOf(work(record), outputs) });
        } catch (error) {
          answers.push({ tag: 'err', val: failureOf(error) });
        }
      }
      return answers;
    },
  };
}

function failureOf(error) {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  return { code: 0, message: error instanceof Error ? error.message : String(error) };
}

/** What a transform answered, as the host wants it. */
function outputsOf(answer, names) {
  if (answer === undefined || answer === null) return [];
  if (answer instanceof Record) return [sameOf(answer._input)];
  if (typeof answer !== 'object') {
    throw new TypeError(`a transform returns outputs, not a ${typeof answer}`);
  }
  if (typeof answer.then === 'function') {
    throw new TypeError('a transform cannot be async: there is nothing to wait for');
  }
  if (typeof answer[Symbol.iterator] !== 'function') return [outputOf(answer, names)];
  return Array.from(answer, (output) => outputOf(output, names));
}

function outputOf(answer, names) {
  if (answer instanceof Record) return sameOf(answer._input);
  if (typeof answer !== 'object' || answer === null || answer instanceof Uint8Array) {
    throw new TypeError('an output is an object with a value');
  }
  const { output, partition, timestamp, key, value, headers } = answer;
  return {
    output: numberOf(output ?? 0, names),
    partition: optional(partition, (p) => whole(p, PARTITION_MAX, "an output's partition")),
    timestamp: optional(timestamp, BigInt),
    key: payload(key, "an output's key"),
    value: payload(value, "an output's value"),
    headers: headersOf(headers),
  };
}

/** The output that is the record itself. */
function sameOf({ key, value, headers }) {
  return {
    output: 0,
    partition: undefined,
    timestamp: undefined,
    key: sent(key),
    value: sent(value),
    headers: headers.length
      ? headers.map(({ name, value }) => ({ name, value: sent(value) }))
      : headers,
  };
}

function headersOf(headers) {
  if (headers === undefined || headers === null || headers.length === 0) return [];
  return Array.from(headers, ([name, value]) => ({
    name: String(name),
    value: payload(value, "a header's value"),
  }));
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

function payload(value, what) {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return bytesOf(value);
  if (value instanceof JsonObject) return bytesOf(value.toString());
  if (value instanceof Uint8Array) return { tag: 'binary', val: value };
  throw new TypeError(`${what} is a string, a Uint8Array or null, not a ${typeof value}`);
}

/** A payload that came, to be sent. */
function sent(payload) {
  return payload?.tag === 'text' ? bytesOf(payload.val) : payload;
}

// Text is sent as bytes. The bindings of componentize-js go through a string character by character
// before they encode it, which takes longer than all else that is done for a record.
function bytesOf(text) {
  return { tag: 'binary', val: encoder.encode(text) };
}
