// Makes a record of each element of an array, and one with their number for the output `totals`.
import { fail, Json, Output, Record, refuse, register, registerSetup, send, Text } from '../assembly/index';
export * from '../assembly/abi';

const TOTALS: u16 = 1;

let field = 'items';

registerSetup((config: Json): bool => {
  const given = config.get('field');
  if (given.isNull) return true;
  const name = given.string;
  if (name === null) return refuse(1, 'field is not a string');
  field = name;
  return true;
});

register((record: Record): void => {
  const order = record.json();
  if (!order) return fail(1, 'the value is not a JSON object');
  const items = order.get(field);
  if (!items.isArray) return fail(2, field + ' is not an array');
  const output = new Output();
  output.key = record.key;
  const elements = items.elements();
  for (let i = 0; i < elements.length; i++) {
    output.value = elements[i];
    send(output);
  }
  output.number = TOTALS;
  output.value = Text.of('{"count":' + elements.length.toString() + '}');
  send(output);
});
