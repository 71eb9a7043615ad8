// The frames are those of `vectors`, byte for byte.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Answer, Batch } from '../frame.js';
import { batchOf, entriesOf } from '../testing-frame.js';
import { Record, transform } from '../wstream.js';

function vectors(name) {
  const text = readFileSync(new URL(`../../vectors/${name}.jsonl`, import.meta.url), 'utf8');
  // Times above 2^53 are read as they stand.
  const exact = text.replaceAll(/"(offset|timestamp)": (-?\d{16,})/g, '"$1": "$2"');
  return exact
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function payload(record, field) {
  const base64 = record[`${field}_base64`];
  return base64 === undefined ? (record[field] ?? null) : bytes(base64);
}

const bytes = (base64) => new Uint8Array(Buffer.from(base64, 'base64'));
const headers = (record) =>
  (record.headers ?? []).map(([name, value]) => [
    name,
    value?.base64 ? bytes(value.base64) : value,
  ]);
const raw = (value) => (typeof value === 'string' ? Buffer.from(value) : value);
const hex = (frame) => Buffer.from(frame).toString('hex');

test('batches', () => {
  for (const { name, topic, partition, records, hex: wanted } of vectors('input')) {
    const made = records.map((record) => ({
      offset: BigInt(record.offset ?? 0),
      timestamp: BigInt(record.timestamp ?? -1),
      key: raw(payload(record, 'key')),
      value: raw(payload(record, 'value')),
      headers: headers(record).map(([name, value]) => [name, raw(value)]),
    }));
    assert.equal(hex(batchOf(topic, partition, made)), wanted, name);

    const seen = [];
    const guest = transform(() => (record) => void seen.push(record));
    guest.init('{}');
    guest.process(new Uint8Array(Buffer.from(wanted, 'hex')));
    const read = seen.map((record) => ({
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      timestamp: record.timestamp,
      key: record.key,
      value: record.value,
      headers: record.headers,
    }));
    const shown = records.map((record) => ({
      topic,
      partition,
      offset: Number(record.offset ?? 0),
      timestamp: Number(record.timestamp ?? -1),
      key: payload(record, 'key'),
      value: payload(record, 'value'),
      headers: headers(record),
    }));
    assert.deepEqual(read, shown, name);
  }
});

test('a batch that is sent on holds what came', () => {
  for (const { name, hex: given } of vectors('input')) {
    const frame = new Uint8Array(Buffer.from(given, 'hex'));
    const batch = new Batch(frame, true);
    let at = batch.first;
    let wanted = '';
    for (let index = 0; index < batch.count; index += 1) {
      const { _end: end } = new Record(batch, at);
      wanted += `0${index}00000000` + '0000ffffffff' + '0000000000000080';
      wanted += hex(frame.subarray(at + 16, end));
      at = end;
    }
    assert.equal(at, frame.length, name);
    const guest = transform(() => (record) => record);
    guest.init('{}');
    assert.equal(hex(guest.process(frame)), wanted, name);
  }
});

test('answers', () => {
  const good = vectors('output').filter(({ entries, decode_only }) => entries && !decode_only);
  assert.ok(good.length > 10);
  for (const { name, entries, hex: wanted } of good) {
    const answer = new Answer();
    for (const { index, record, ...entry } of entries) {
      if (!record) {
        answer.failure(index, entry);
        continue;
      }
      const timestamp = entry.timestamp === null ? undefined : BigInt(entry.timestamp);
      answer.output(index, entry.output, entry.partition ?? undefined, timestamp);
      answer.payload(payload(record, 'key'));
      answer.payload(payload(record, 'value'));
      answer.count(headers(record).length);
      for (const [name, value] of headers(record)) {
        answer.payload(name);
        answer.payload(value);
      }
    }
    assert.equal(hex(answer.bytes()), wanted, name);
    assert.deepEqual(
      entriesOf(answer.bytes()),
      entries.map(({ index, record, code, message, ...output }) =>
        record
          ? {
              index,
              output: {
                ...output,
                timestamp: output.timestamp === null ? null : Number(output.timestamp),
                key: buffer(payload(record, 'key')),
                value: buffer(payload(record, 'value')),
                headers: headers(record).map(([name, value]) => [name, buffer(value)]),
              },
            }
          : { index, failure: { code, message } },
      ),
      name,
    );
  }
});

const buffer = (value) => (value === null ? null : Buffer.from(value));
