// What a transform answers becomes what the host wants; what it throws fails one record.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { Failure, transform } from '../wstream.js';

function answers(work, ...values) {
  const guest = transform(() => work, { outputs: ['default', 'other'] });
  assert.equal(guest.init('{}'), 'text');
  const inputs = values.map((val) => ({
    offset: 7n,
    timestamp: 5n,
    key: undefined,
    value: val === null ? undefined : { tag: typeof val === 'string' ? 'text' : 'binary', val },
    headers: [{ name: 'h', value: { tag: 'text', val: '1' } }],
  }));
  return guest.process('t', 3, inputs);
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
    const tags = answers(only, 'a', 'bad', 'b');
    assert.deepEqual(tags[1], { tag: 'err', val: failure });
    assert.deepEqual([tags[0].tag, tags[2].tag], ['ok', 'ok']);
  }
});

test('answers are one, several or none', () => {
  assert.deepEqual(
    answers(() => null, 'a'),
    [{ tag: 'ok', val: [] }],
  );
  const two = (record) => [record, { output: 'other', partition: 2, timestamp: 9 }];
  const [{ val }] = answers(two, 'a');
  assert.deepEqual(
    val.map(({ output, partition, timestamp, headers }) => [
      output,
      partition,
      timestamp,
      headers.length,
    ]),
    [
      [0, undefined, undefined, 1],
      [1, 2, 9n, 0],
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
    assert.equal(answers(() => output, 'a')[0].tag, 'err', String(output));
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
  assert.deepEqual([text.tag, binary.tag, none.tag, broken.tag], ['ok', 'ok', 'ok', 'err']);
});

test('bytes of the bindings pass', () => {
  const bytes = runInNewContext('new Uint8Array([0, 255])');
  assert.ok(!(bytes instanceof Uint8Array));
  const [answer] = answers((record) => {
    assert.ok(record.value instanceof Uint8Array && record.with().value instanceof Uint8Array);
    return record;
  }, bytes);
  assert.deepEqual(answer.val[0].value, { tag: 'binary', val: bytes });
});

test('a configuration is refused with what was thrown', () => {
  class Picky {
    constructor({ field }) {
      if (!field) throw new Failure(4, 'no field');
    }

    transform() {}
  }
  const guest = transform(Picky, { payloads: 'binary' });
  assert.throws(() => guest.init('{}'), { code: 4, message: 'no field' });
  assert.equal(guest.init('{"field":1}'), 'binary');
});
