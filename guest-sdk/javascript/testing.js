// Runs a transform's cases in Node.js, natively: for its own tests.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import * as modules from 'node:module';
import * as state from './testing-state.js';

// The host's functions are stood in for; see testing-host.js and testing-state.js.
const HOOKS = `
const standIn = /^wstream:transform\\/(host|state)@/;
export const resolve = (specifier, context, next) => {
  const found = standIn.exec(specifier);
  const url = found && new URL('./testing-' + found[1] + '.js', ${JSON.stringify(import.meta.url)}).href;
  return url ? { url, format: 'module', shortCircuit: true } : next(specifier, context);
};`;
modules.register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Runs every case of a file; throws with what differs first. */
export async function checkCases(module, cases) {
  const { guest } = await import(module);
  const lines = (await readFile(cases, 'utf8')).split('\n');
  let count = 0;
  for (const [index, line] of lines.entries()) {
    if (!line.trim()) continue;
    const given = JSON.parse(line);
    const wanted = given.error ?? given.out.map((record) => expected(record, guest.outputs));
    assert.deepEqual(run(guest, given), wanted, `line ${index + 1}: ${line.slice(0, 200)}`);
    count += 1;
  }
  assert.ok(count, 'there is no case');
}

/** What becomes of a case's record, behind those before it, with an instance and a state of its own. */
function run(guest, { config = {}, after = [], in: record }) {
  state.clear();
  let payloads;
  try {
    payloads = guest.init(JSON.stringify(config));
  } catch (failure) {
    return failure;
  }
  for (const before of after) feed(guest, payloads, before);
  const answer = feed(guest, payloads, record);
  return answer.tag === 'err' ? answer.val : answer.val.map(shown);
}

function feed(guest, payloads, record) {
  const [answer] = guest.process(record.topic ?? 'test', record.partition ?? 0, [
    {
      offset: BigInt(record.offset ?? 0),
      timestamp: BigInt(record.timestamp ?? -1),
      key: incoming(bytesOf(record, 'key'), payloads),
      value: incoming(bytesOf(record, 'value'), payloads),
      headers: (record.headers ?? []).map(([name, value]) => ({
        name,
        value: incoming(headerBytes(value), payloads),
      })),
    },
  ]);
  if (answer.tag === 'err') state.discard();
  state.commit();
  return answer;
}

function incoming(bytes, payloads) {
  if (!bytes) return undefined;
  if (payloads === 'text') {
    try {
      return { tag: 'text', val: utf8.decode(bytes) };
    } catch {
      // Not UTF-8: as it is.
    }
  }
  return { tag: 'binary', val: new Uint8Array(bytes) };
}

function bytesOf(record, field) {
  const text = record[field];
  const base64 = record[`${field}_base64`];
  if (typeof text === 'string') return Buffer.from(text);
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64');
  const json = field === 'value' && record.value_json;
  return json === undefined || json === false ? null : Buffer.from(JSON.stringify(json));
}

function headerBytes(value) {
  if (value === null) return null;
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.base64, 'base64');
}

const latin = (bytes) => bytes && Buffer.from(bytes).toString('latin1');
const sent = (payload) => (payload ? Buffer.from(payload.val) : null);

function shown({ output, partition, timestamp, key, value, headers }) {
  return {
    output,
    partition: partition ?? null,
    timestamp: timestamp === undefined ? null : Number(timestamp),
    key: latin(sent(key)),
    value: latin(sent(value)),
    headers: headers.map((header) => [header.name, latin(sent(header.value))]),
  };
}

function expected(record, outputs) {
  return {
    output: outputs.indexOf(record.output ?? outputs[0]),
    partition: record.partition ?? null,
    timestamp: record.timestamp ?? null,
    key: latin(bytesOf(record, 'key')),
    value: latin(bytesOf(record, 'value')),
    headers: (record.headers ?? []).map(([name, value]) => [name, latin(headerBytes(value))]),
  };
}
