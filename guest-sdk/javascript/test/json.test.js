// Objects are edited by their text; what is no object is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonObject } from '../wstream.js';

test('edits keep what they do not touch', () => {
  const rows = [
    ['{"a":1.50}', (o) => o.set('b', 'ü'), '{"a":1.50,"b":"ü"}'],
    ['{ "a" : 1e2 , "b" : [ "}" ] }', (o) => o.delete('a'), '{ "b" : [ "}" ] }'],
    ['{"a":1,"b":2,"a":3}', (o) => o.set('a', null), '{"a":null,"b":2,"a":null}'],
    ['{"a":1,"b":2,"a":3}', (o) => o.rename('a', 'b'), '{"b":1,"b":3}'],
    ['{"\\u0061":"\\\\"}', (o) => o.rename('a', 'x"'), '{"x\\"":"\\\\"}'],
    [
      '{"__proto__":{"a":1}}',
      (o) => o.set('b', o.get('__proto__').a),
      '{"__proto__":{"a":1},"b":1}',
    ],
    ['{"a":1}', (o) => o.rename('b', 'c'), '{"a":1}'],
    ['{ "a" : 1 , "b":2 }\n', (o) => o.rename('a', '$&'), '{ "$&" : 1 , "b":2 }'],
    ['{ "a" : 1 , "b":2 }', (o) => o.set('c', 3), '{ "a" : 1 , "b":2,"c":3}'],
    ['{"c":{"a":1},"a":"a"}', (o) => o.rename('a', 'b'), '{"c":{"a":1},"b":"a"}'],
    ['{"\\u0061":1,"b":"a"}', (o) => o.rename('a', 'c'), '{"c":1,"b":"a"}'],
    ['{"x\\/y":1,"b":"x/y"}', (o) => o.rename('x/y', 'c'), '{"c":1,"b":"x/y"}'],
    ['{"a":{"b":1.0,"c":["}"]},"d":2}', (o) => o.delete('d'), '{"a":{"b":1.0,"c":["}"]}}'],
    ['{"a":1}', (o) => o.set('__proto__', { a: 2 }), '{"a":1,"__proto__":{"a":2}}'],
  ];
  for (const [text, edit, wanted] of rows) {
    const object = JsonObject.parse(text);
    edit(object);
    assert.equal(String(object), wanted);
  }
});

test('values are seen as they are now', () => {
  const object = JsonObject.parse('{"a":{"b":[1,"]"]},"list":[ 1.0 , [2] ,"\\"," ],"a":null}');
  assert.equal(object.get('a'), null);
  assert.equal(object.get('toString'), undefined);
  assert.deepEqual(object.elements('list'), ['1.0', '[2]', '"\\","']);
  assert.equal(object.elements('a'), undefined);
  object.set('a', 2);
  assert.deepEqual([object.get('a'), object.raw('a'), object.has('a')], [2, '2', true]);
  object.delete('a');
  assert.deepEqual(
    [object.get('a'), object.raw('a'), object.has('a')],
    [undefined, undefined, false],
  );
  assert.throws(() => object.set('a', undefined), /a cannot be set to a undefined/);
});

test('what is no object is refused', () => {
  for (const text of ['', '[]', 'null', '{"a":NaN}', '\ufeff{}']) {
    assert.equal(JsonObject.parse(text), undefined);
  }
});
