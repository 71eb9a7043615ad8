// What a transform answers becomes a frame; what it throws fails one record.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { batchOf, entriesOf } from '../testing-frame.js';
import { Failure, transform } from '../wstream.js';

function bytesOf(value) {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

/** What each record of a call becomes: its outputs, or its failure. */
function answers(work, ...values) {
  const guest = transform(() => work, { outputs: ['default', 'other'] });
  guest.init('{}');
  const records = values.map((value) => ({
    offset: 7n,
    timestamp: 5n,
    key: null,
    value: bytesOf(value),
    headers: [['h', bytesOf('1')]],
  }));
  const entries = entriesOf(guest.process(batchOf('t', 3, records)));
  return values.map((_, index) => {
    const own = entries.filter((entry) => entry.index === index);
    return own[0]?.failure ?? own.map(({ output }) => output);
  });
}

function throws(error) {
  throw error;
}

test("a failure is the record's own", () => {
  const rows = [
    [() => throws(new Failure(7, 'no')), { code: 7, message: 'no' }],
    [() => throws(new TypeError('odd')), { code: 0, message: 'odd' }],
    [() => throws('text'), { code: 0, message: 'text' }],
    [() => ({ output: 'x' }), { code: 0, message: 'there is no output "x"' }],
    [(record) => record.json(9), { code: 9, message: 'the value is not JSON' }],
    [(record) => record.object(), { code: 0, message: 'the value is not a JSON object' }],
  ];
  for (const [work, failure] of rows) {
    const only = (record) => (record.value === 'bad' ? work(record) : record);
    const [first, bad, last] = answers(only, 'a', 'bad', 'b');
    assert.deepEqual(bad, failure);
    assert.deepEqual([String(first[0].value), String(last[0].value)], ['a', 'b']);
  }
});

test('answers are one, several or none', () => {
  assert.deepEqual(
    answers(() => null, 'a'),
    [[]],
  );
  const two = (record) => [record, { output: 'other', partition: 2, timestamp: 9 }];
  const [outputs] = answers(two, 'a');
  assert.deepEqual(
    outputs.map(({ output, partition, timestamp, headers }) => [
      output,
      partition,
      timestamp,
      headers.length,
    ]),
    [
      [0, null, null, 1],
      [1, 2, 9, 0],
    ],
  );
  const bad = [
    { output: -1 },
    { partition: 1.5 },
    { timestamp: 0.5 },
    { value: 5 },
    'text',
    5,
    [5],
  ];
  for (const output of [...bad, Promise.resolve(), new Uint8Array(2)]) {
    assert.equal(answers(() => output, 'a')[0].code, 0, String(output));
  }
});

test('a record gives its value as it is wanted', () => {
  const seen = [];
  const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0x31]);
  const [text, binary, none, broken] = answers(
    (record) => void seen.push([record.text(), record.bytes(), record.header('h'), record.offset]),
    '1',
    bytes,
    null,
    new Uint8Array([0xff]),
  );
  assert.deepEqual(seen, [
    ['1', new Uint8Array([0x31]), '1', 7],
    ['\ufeff1', bytes, '1', 7],
    [null, null, '1', 7],
  ]);
  assert.deepEqual([text, binary, none, broken.code], [[], [], [], 0]);
});

test('a batch of the bindings passes', () => {
  const records = [{ key: null, value: Uint8Array.of(0, 255), headers: [] }];
  const batch = runInNewContext('new Uint8Array(bytes)', { bytes: batchOf('t', 3, records) });
  assert.ok(!(batch instanceof Uint8Array));
  const guest = transform(() => (record) => {
    assert.ok(record.value instanceof Uint8Array && record.bytes() instanceof Uint8Array);
    return [record, record.with()];
  });
  guest.init('{}');
  const values = entriesOf(guest.process(batch)).map(({ output }) => [...output.value]);
  assert.deepEqual(values, [
    [0, 255],
    [0, 255],
  ]);
});

test('a record that fails leaves nothing behind, however large', () => {
  const large = 'x'.repeat(1 << 20);
  function* work({ value }) {
    yield { value: large, headers: [['h', large]] };
    if (value === 'bad') throw new Failure(1, 'late');
  }
  const [first, bad, last] = answers(work, 'a', 'bad', 'b');
  assert.deepEqual(bad, { code: 1, message: 'late' });
  assert.deepEqual(
    [first, last].map(([{ value }]) => value.length),
    [1 << 20, 1 << 20],
  );
});

test('numbers that a frame cannot hold are as wrong as those that it can', () => {
  const rows = [
    [{ partition: 0xffffffff }, 'partition', 0x7fffffff],
    [{ timestamp: -2 }, 'timestamp', -2],
    [{ timestamp: -(2n ** 63n) }, 'timestamp', Number(1n - 2n ** 63n)],
  ];
  for (const [output, field, wanted] of rows) {
    assert.equal(answers(() => output, 'a')[0][0][field], wanted);
  }
});

test('bytes are bytes where they are wanted', () => {
  const seen = [];
  const guest = transform(() => (record) => void seen.push([record.value, record.text()]), {
    payloads: 'binary',
  });
  guest.init('{}');
  const record = { key: null, value: bytesOf('1'), headers: [] };
  guest.process(batchOf('t', 3, [record]));
  assert.deepEqual(seen, [[Uint8Array.of(0x31), '1']]);
});

test('a configuration is refused with what was thrown', () => {
  class Picky {
    constructor({ field }) {
      if (!field) throw new Failure(4, 'no field');
    }

    transform() {}
  }
  const guest = transform(Picky);
  assert.throws(() => guest.init('{}'), { code: 4, message: 'no field' });
  guest.init('{"field":1}');
});
