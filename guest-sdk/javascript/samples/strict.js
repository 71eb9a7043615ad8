// Passes records whose `amount` is a number from 0 on, and fails the others.
import { Failure, transform } from '../wstream.js';

export const guest = transform(() => (record) => {
  const payment = record.object(1);
  const amount = payment.get('amount');
  if (typeof amount === 'number' && amount >= 0) return record;
  const shown = payment.raw('amount') ?? 'missing';
  throw new Failure(3, `amount is not a number from 0 on: ${shown}`);
});
