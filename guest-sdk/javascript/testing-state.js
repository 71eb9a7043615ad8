// Keyed state, in tests: one map of the process, its keys one character a byte. It answers as the
// host's does.

const KEY_BYTES_MAX = 4096;
const VALUE_BYTES_MAX = 1 << 20;
const ENTRIES_MAX = 100_000;

const entries = new Map();
// What the record in work has replaced, in order.
let replaced = [];
let passedMs = 0;

const text = (bytes) => Buffer.from(bytes).toString('latin1');
const bytes = (key) => new Uint8Array(Buffer.from(key, 'latin1'));
const now = () => Date.now() + passedMs;

function live(key) {
  const entry = entries.get(key);
  return entry && entry.expires > now() ? entry : undefined;
}

function set(key, entry) {
  if (entry) entries.set(key, entry);
  else entries.delete(key);
}

function write(key, entry) {
  replaced.push([key, entries.get(key)]);
  set(key, entry);
}

export const get = (key) => live(text(key))?.value;

export function put(key, value, ttlMs) {
  if (!key.length || key.length > KEY_BYTES_MAX) {
    throw new Error(`a key has 1 to ${KEY_BYTES_MAX} bytes`);
  }
  if (value.length > VALUE_BYTES_MAX) {
    throw new Error(`a value has at most ${VALUE_BYTES_MAX} bytes`);
  }
  const name = text(key);
  if (!entries.has(name) && entries.size >= ENTRIES_MAX) {
    throw new Error('the state has as many entries as it may have');
  }
  const expires = ttlMs > 0n ? now() + Number(ttlMs) : Infinity;
  write(name, { value: new Uint8Array(value), expires });
}

function remove(key) {
  const name = text(key);
  const wasLive = live(name) !== undefined;
  write(name, undefined);
  return wasLive;
}
export { remove as delete };

export function scan(prefix, after, limit) {
  const start = text(prefix);
  const above = after && text(after);
  const keys = [...entries.keys()].filter((key) => key.startsWith(start) && live(key));
  const behind = keys.filter((key) => above === undefined || key > above).sort();
  return behind.slice(0, limit).map((key) => [bytes(key), entries.get(key).value]);
}

/** Removes all entries. */
export function clear() {
  entries.clear();
  replaced = [];
}

/** Lets time pass: what was put for less is gone. */
export function pass(ms) {
  passedMs += ms;
}

/** What was written so far holds. */
export function commit() {
  replaced = [];
}

/** What was written since is discarded, as the host does it where a record fails. */
export function discard() {
  for (const [key, entry] of replaced.reverse()) set(key, entry);
  replaced = [];
}
