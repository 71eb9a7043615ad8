// Makes a record of each element of an array, and one with their number for the output `totals`.
import { Failure, transform } from '../wstream.js';

class Split {
  static outputs = ['default', 'totals'];

  constructor({ field = 'items' }) {
    if (typeof field !== 'string') throw new Failure(1, 'field is not a string');
    this.field = field;
  }

  *transform(record) {
    const order = record.object(1);
    const items = order.elements(this.field);
    if (!items) throw new Failure(2, `${this.field} is not an array`);
    const { key } = record;
    for (const value of items) yield { key, value };
    yield { key, value: `{"count":${items.length}}`, output: 'totals' };
  }
}

export const guest = transform(Split);
