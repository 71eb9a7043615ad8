// Adds to each object how many records with its key came so far, this one included.
import { fail, Output, Record, register, send, state, Text } from '../assembly/index';
export * from '../assembly/abi';

register((record: Record): void => {
  if (record.key.isNull) return fail(2, 'the record has no key');
  const stored = state.get(record.key);
  const count = (stored.isNull ? 0 : I64.parseInt(stored.toString())) + 1;
  const text = Text.of(count.toString());
  const limit = state.put(record.key, text);
  if (limit) return fail(3, limit);
  // If this fails, what was just put is discarded: a record that fails does not count.
  const object = record.json();
  if (!object) return fail(1, 'the value is not a JSON object');
  object.setRaw('count', text);
  const output = Output.of(record);
  output.value = object.text();
  send(output);
});
