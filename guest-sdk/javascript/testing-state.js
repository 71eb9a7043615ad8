// Keyed state, in tests: one map of the process, its keys one character a byte.

const KEY_BYTES_MAX = 4096;
const entries = new Map();
const text = (bytes) => Buffer.from(bytes).toString('latin1');
const bytes = (key) => new Uint8Array(Buffer.from(key, 'latin1'));

export const get = (key) => entries.get(text(key));

export function put(key, value) {
  if (!key.length || key.length > KEY_BYTES_MAX) throw new Error('a key has 1 to 4096 bytes');
  entries.set(text(key), value);
}

const remove = (key) => entries.delete(text(key));
export { remove as delete };

export function scan(prefix, after, limit) {
  const start = text(prefix);
  const above = after && text(after);
  const keys = [...entries.keys()].filter((key) => key.startsWith(start));
  const behind = keys.filter((key) => above === undefined || key > above).sort();
  return behind.slice(0, limit).map((key) => [bytes(key), entries.get(key)]);
}
