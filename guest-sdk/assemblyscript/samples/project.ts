// Drops debug events, calls `msg` `message`, and says where events come from.
import { fail, Output, Record, register, send } from '../assembly/index';
export * from '../assembly/abi';

register((record: Record): void => {
  const event = record.json();
  if (!event) return fail(1, 'the value is not a JSON object');
  if (event.get('level').is('debug')) return;
  event.rename('msg', 'message');
  event.set('env', 'prod');
  const output = Output.of(record);
  output.value = event.text();
  send(output);
});
