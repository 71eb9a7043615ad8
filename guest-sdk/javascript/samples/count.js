// Adds to each object how many records with its key came so far, this one included.
import { state } from '../state.js';
import { Failure, transform } from '../wstream.js';

export const guest = transform(() => (record) => {
  const { key } = record;
  if (key === null) throw new Failure(2, 'the record has no key');
  const count = Number(state.text(key) ?? 0) + 1;
  try {
    state.put(key, String(count));
  } catch (limit) {
    throw new Failure(3, limit.message);
  }
  // If this throws, what was just put is discarded: a record that fails does not count.
  const object = record.object(1);
  object.set('count', count);
  return record.with({ value: object });
});
