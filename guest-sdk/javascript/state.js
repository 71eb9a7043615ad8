// Keyed state of the (pipeline, partition) that the instance works for: it survives the instance
// and the node. Import it only where it is used.

import { own } from './bytes.js';
import * as host from 'wstream:transform/state@1.0.0';

const PAGE = 1000;
const encoder = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const bytes = (value) => (typeof value === 'string' ? encoder.encode(value) : value);

function* scan(prefix = '') {
  const start = bytes(prefix);
  let after;
  for (;;) {
    const page = host.scan(start, after, PAGE);
    if (!page.length) return;
    for (const [key, value] of page) yield [own(key), own(value)];
    [after] = page.at(-1);
  }
}

export const state = {
  get(key) {
    const value = host.get(bytes(key));
    return value === undefined ? null : own(value);
  },
  text(key) {
    const value = host.get(bytes(key));
    return value === undefined ? null : utf8.decode(value);
  },
  put(key, value, { ttlMs = 0 } = {}) {
    try {
      host.put(bytes(key), bytes(value), BigInt(ttlMs));
    } catch (error) {
      throw new Error(error?.payload ?? error?.message ?? String(error));
    }
  },
  delete: (key) => host.delete(bytes(key)),
  scan,
};
