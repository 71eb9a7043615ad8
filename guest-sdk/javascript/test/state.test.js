// Keyed state: what transforms rely on, with the table that stands in for the host's.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { clear, commit, discard, pass } from '../testing-state.js';
import '../testing.js';

// Found where testing.js says.
const { state } = await import('../state.js');
const keys = (prefix) => [...state.scan(prefix)].map(([key]) => Buffer.from(key).toString());

beforeEach(clear);

test('what was put is there until it is deleted', () => {
  assert.equal(state.get('a'), null);
  state.put('a', '1');
  state.put(new Uint8Array([0x61]), '\u00fc');
  assert.equal(state.text('a'), '\u00fc');
  assert.deepEqual(state.get('a'), new Uint8Array([0xc3, 0xbc]));
  state.put('a', '');
  assert.deepEqual(state.get('a'), new Uint8Array());
  assert.deepEqual([state.delete('a'), state.delete('a'), state.get('a')], [true, false, null]);
});

test('what was put for some time expires', () => {
  state.put('short', '', { ttlMs: 60_000 });
  state.put('long', '', { ttlMs: 120_000 });
  state.put('for good', '');
  pass(60_000);
  assert.deepEqual([state.get('short'), state.delete('short')], [null, false]);
  assert.deepEqual(keys(), ['for good', 'long']);
  assert.deepEqual(keys('l'), ['long']);
});

test('a limit that is hit is named', () => {
  const rows = [
    ['', '', 'a key has 1 to 4096 bytes'],
    ['k'.repeat(4097), '', 'a key has 1 to 4096 bytes'],
    ['k', new Uint8Array(2 ** 20 + 1), 'a value has at most 1048576 bytes'],
  ];
  for (const [key, value, message] of rows) {
    assert.throws(() => state.put(key, value), { message });
  }
  state.put('k'.repeat(4096), new Uint8Array(2 ** 20));
});

test('a scan goes through pages in the order of keys', () => {
  const name = (n) => `a${String(n).padStart(4, '0')}`;
  const names = Array.from({ length: 2500 }, (_, n) => name(n));
  for (const key of [...names].reverse()) state.put(key, key);
  state.put('b', '');
  assert.deepEqual(keys('a'), names);
});

test('what a record that fails has written is discarded', () => {
  state.put('a', 'before');
  commit();
  state.put('a', 'after');
  state.delete('a');
  state.put('b', '');
  discard();
  assert.deepEqual([state.text('a'), keys()], ['before', ['a']]);
});
