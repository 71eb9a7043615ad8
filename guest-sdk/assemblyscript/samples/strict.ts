// Passes records whose `amount` is a number from 0 on, and fails the others.
import { fail, Output, Record, register, send } from '../assembly/index';
export * from '../assembly/abi';

register((record: Record): void => {
  const payment = record.json();
  if (!payment) return fail(1, 'the value is not a JSON object');
  const amount = payment.get('amount');
  if (!amount.isNumber || amount.number < 0) {
    const shown = amount.isNull ? 'missing' : amount.toString();
    return fail(3, 'amount is not a number from 0 on: ' + shown);
  }
  send(Output.of(record));
});
