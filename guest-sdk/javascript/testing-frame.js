// The frames as the host has them, in tests: makes a batch, and reads what is answered.

const I64_MIN = -(2n ** 63n);

/** A batch of records, whose keys, values and headers' values are bytes or null. */
export function batchOf(topic, partition, records) {
  const name = Buffer.from(topic);
  const parts = [number('UInt16LE', 2, name.length), name];
  parts.push(number('Int32LE', 4, partition), number('UInt32LE', 4, records.length));
  for (const { offset = 0n, timestamp = -1n, key, value, headers } of records) {
    parts.push(number('BigInt64LE', 8, offset), number('BigInt64LE', 8, timestamp));
    parts.push(...sized(key), ...sized(value), number('UInt32LE', 4, headers.length));
    for (const [name, value] of headers) parts.push(...sized(Buffer.from(name)), ...sized(value));
  }
  return new Uint8Array(Buffer.concat(parts));
}

function number(kind, bytes, value) {
  const buffer = Buffer.alloc(bytes);
  buffer[`write${kind}`](value);
  return buffer;
}

function sized(bytes) {
  return bytes ? [number('Int32LE', 4, bytes.length), bytes] : [number('Int32LE', 4, -1)];
}

/** The entries of an answer: outputs, as bytes or null, and failures. */
export function entriesOf(answer) {
  const frame = Buffer.from(answer);
  let at = 0;
  const read = (kind, bytes) => frame[`read${kind}`]((at += bytes) - bytes);
  const bytes = (length) => (length < 0 ? null : frame.subarray(at, (at += length)));
  const sized = () => bytes(read('Int32LE', 4));
  const entries = [];
  while (at < frame.length) {
    const index = read('UInt32LE', 4);
    const kind = read('UInt8', 1);
    const code = read('UInt16LE', 2);
    if (kind === 1) {
      entries.push({ index, failure: { code, message: String(sized()) } });
      continue;
    }
    const partition = read('Int32LE', 4);
    const timestamp = read('BigInt64LE', 8);
    const output = {
      output: code,
      partition: partition === -1 ? null : partition,
      timestamp: timestamp === I64_MIN ? null : Number(timestamp),
      key: sized(),
      value: sized(),
      headers: [],
    };
    for (let count = read('UInt32LE', 4); count > 0; count -= 1) {
      output.headers.push([String(sized()), sized()]);
    }
    entries.push({ index, output });
  }
  return entries;
}
