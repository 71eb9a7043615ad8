// Runs a transform's cases in Node.js, natively: for its own tests.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import * as modules from 'node:module';
import { batchOf, entriesOf } from './testing-frame.js';
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
  try {
    guest.init(JSON.stringify(config));
  } catch (failure) {
    return failure;
  }
  for (const before of after) feed(guest, before);
  const entries = feed(guest, record);
  return entries[0]?.failure ?? entries.map(({ output }) => shown(output));
}

function feed(guest, record) {
  const given = {
    offset: BigInt(record.offset ?? 0),
    timestamp: BigInt(record.timestamp ?? -1),
    key: bytesOf(record, 'key'),
    value: bytesOf(record, 'value'),
    headers: (record.headers ?? []).map(([name, value]) => [name, headerBytes(value)]),
  };
  const batch = batchOf(record.topic ?? 'test', record.partition ?? 0, [given]);
  const entries = entriesOf(guest.process(batch));
  if (entries[0]?.failure) state.discard();
  state.commit();
  return entries;
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

const shown = (output) => ({
  ...output,
  key: latin(output.key),
  value: latin(output.value),
  headers: output.headers.map(([name, value]) => [name, latin(value)]),
});

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
