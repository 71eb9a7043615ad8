// Drops debug events, calls `msg` `message`, and says where events come from.
import { transform } from '../wstream.js';

export const guest = transform(() => (record) => {
  const event = record.object(1);
  if (event.get('level') === 'debug') return null;
  event.rename('msg', 'message');
  event.set('env', 'prod');
  return record.with({ value: event });
});
