// The page's calculations, without a browser: ticks, numbers for people, models of panels, query
// texts. Run by `node --test`; expected values are written by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { csvOf, isEmpty, modelOf, tableOf } from '../../host/src/dashboard/assets/charts/model.js';
import {
  multiples,
  step125,
  timeTicks,
  timeTickText,
  valueAxis,
} from '../../host/src/dashboard/assets/charts/scale.js';
import { Speeds } from '../../host/src/dashboard/assets/js/speeds.js';
import * as format from '../../host/src/dashboard/assets/js/format.js';
import {
  intervalFor,
  fieldsOf,
  timeFieldOf,
  valueAt,
} from '../../host/src/dashboard/assets/js/views/documents.js';
import { Lines, LINES_MAX } from '../../host/src/dashboard/assets/js/views/modulelog.js';
import { summary } from '../../host/src/dashboard/assets/js/views/moduletest.js';
import {
  asText,
  bucketCondition,
  conditions,
  flipped,
  withFilter,
} from '../../host/src/dashboard/assets/js/views/query.js';

import { nameFor } from '../../host/src/dashboard/assets/js/views/upload.js';

process.env.TZ = 'UTC';

test('steps are 1, 2 or 5 times a power of ten', () => {
  for (const [span, count, least, wanted] of [
    [10, 5, 0, 2],
    [7, 5, 0, 2],
    [838, 4, 0, 500],
    [77, 14, 1, 10],
    [0.3, 3, 0, 0.1],
    [3, 10, 1, 1],
    [0, 5, 0, 1],
  ]) {
    assert.equal(step125(span, count, least), wanted, `${span} in ${count}`);
  }
  assert.deepEqual(multiples(0.1, 0.5, 0.1), [0.1, 0.2, 0.3, 0.4, 0.5]);
});

test('axes of bars hold zero, axes of lines show their range', () => {
  assert.deepEqual(valueAxis(3, 95, 5).ticks, [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(valueAxis(-4, 8, 4).ticks, [-5, 0, 5]);
  assert.deepEqual(valueAxis(6.1, 7.9, 4, false).ticks, [6, 6.5, 7, 7.5, 8]);
  assert.ok(valueAxis(5, 5, 4, false).to > 5);
  assert.deepEqual(valueAxis(Infinity, -Infinity, 4).ticks, [0, 0.5, 1]);
});

test('time ticks stand on the calendar', () => {
  const at = (text) => Date.parse(text);
  const texts = (from, to, count) => {
    const { ticks, unit } = timeTicks(at(from), at(to), count);
    return ticks.map((tick) => timeTickText(tick, unit));
  };
  assert.deepEqual(texts('2026-11-21T09:07:00Z', '2026-11-21T10:05:00Z', 6), [
    '09:10',
    '09:20',
    '09:30',
    '09:40',
    '09:50',
    '10:00',
  ]);
  assert.deepEqual(texts('2026-01-15T00:00:00Z', '2026-06-20T00:00:00Z', 6), [
    'Feb',
    'Mar',
    'Apr',
    'May',
    'Jun',
  ]);
  assert.deepEqual(texts('2024-02-27T00:00:00Z', '2024-03-02T00:00:00Z', 5), [
    '27 Feb',
    '28 Feb',
    '29 Feb',
    '1 Mar',
    '2 Mar',
  ]);
  assert.deepEqual(texts('1999-06-01T00:00:00Z', '2003-06-01T00:00:00Z', 5), [
    '2000',
    '2001',
    '2002',
    '2003',
  ]);
});

test('numbers as people read them', () => {
  for (const [call, value, wanted] of [
    ['number', 9999, '9,999'],
    ['number', 12400, '12.4 k'],
    ['number', 999960, '1.0 M'],
    ['number', null, '\u2013'],
    ['bytes', 512, '512 B'],
    ['bytes', 1395864371, '1.3 GiB'],
    ['bytes', 1048575, '1.0 MiB'],
    ['rate', 0, '0/s'],
    ['rate', 0.01, '<0.1/s'],
    ['rate', 12400, '12.4 k/s'],
    ['nanos', 812, '812 ns'],
    ['nanos', 1250, '1.3 \u00b5s'],
    ['duration', 59999, '59 s'],
    ['duration', 12000000, '3 h 20 min'],
    ['exact', 1234567.5, '1,234,567.5'],
  ]) {
    assert.equal(format[call](value), wanted, `${call}(${value})`);
  }
});

const terms = (buckets, rest = 0) => ({ buckets, sum_other_doc_count: rest });

test('a missing bucket is a gap, an empty mean is no zero', () => {
  const panel = {
    id: 'p',
    chart: 'line',
    aggs: {
      years: {
        histogram: { field: 'year', interval: 1 },
        aggs: { score: { avg: { field: 's' } } },
      },
    },
  };
  const result = {
    total: 3,
    aggregations: {
      years: {
        buckets: [
          { key: 2000, doc_count: 2, score: { value: 7.5 } },
          { key: 2001, doc_count: 0, score: { value: null } },
          { key: 2003, doc_count: 1, score: { value: null } },
        ],
      },
    },
  };
  const model = modelOf(panel, result);
  assert.deepEqual(
    model.series[0].points.map((point) => point.y),
    [7.5, null, null],
  );
  assert.deepEqual(tableOf(model).rows, [[2000, 7.5]]);
  assert.equal(model.x.interval, 1);
});

test('eight series at most, the rest is Other, colours follow names', () => {
  const kinds = 'abcdefghij'.split('');
  const panel = {
    id: 'p',
    chart: 'stacked_bar',
    aggs: {
      x: {
        terms: { field: 'x' },
        aggs: { kind: { terms: { field: 'kind' } } },
      },
    },
  };
  const inner = terms(kinds.map((key, i) => ({ key, doc_count: i + 1 })));
  const result = {
    total: 55,
    aggregations: { x: terms([{ key: 'all', doc_count: 55, kind: inner }]) },
  };
  const { series } = modelOf(panel, result);
  assert.deepEqual(
    series.map((one) => [one.name, one.points[0].y]),
    [
      ['d', 4],
      ['e', 5],
      ['f', 6],
      ['g', 7],
      ['h', 8],
      ['i', 9],
      ['j', 10],
      ['Other', 6],
    ],
  );
});

test('panels without buckets show a number, empty results say so', () => {
  const number = modelOf({ id: 'p', chart: 'number' }, { total: { value: 12, relation: 'eq' } });
  assert.equal(number.value, 12);
  const none = modelOf(
    { id: 'p', chart: 'bar', aggs: { x: { terms: { field: 'x' } } } },
    { total: 0, aggregations: { x: terms([]) } },
  );
  assert.ok(isEmpty(none));
  assert.ok(
    isEmpty(modelOf({ id: 'p', chart: 'bar', aggs: { x: { terms: { field: 'x' } } } }, {})),
  );
});

test('CSV is quoted and carries no formulas', () => {
  const panel = { id: 'p', chart: 'hbar', aggs: { x: { terms: { field: 'x' } } } };
  const buckets = ['plain', 'a,b', 'say "hi"', '=1+1', '@cmd'].map((key) => ({
    key,
    doc_count: 1,
  }));
  const csv = csvOf(modelOf(panel, { total: 5, aggregations: { x: terms(buckets) } }));
  assert.equal(
    csv,
    'Value,Count\r\nplain,1\r\n"a,b",1\r\n"say ""hi""",1\r\n\'=1+1,1\r\n\'@cmd,1\r\n',
  );
});

test('queries as text', () => {
  for (const [query, wanted] of [
    [undefined, ''],
    [{ match_all: {} }, ''],
    ['a:b', 'a:b'],
    [{ term: { country: 'KR' } }, 'country:KR'],
    [{ term: { title: { value: 'say "hi"' } } }, 'title:"say \\"hi\\""'],
    [{ range: { year: { gte: 2017, lt: 2022 } } }, 'year:[2017 TO 2022}'],
    [
      { bool: { filter: [{ term: { a: 1 } }], must_not: { term: { b: true } } } },
      'a:1 AND NOT (b:true)',
    ],
    [{ bool: { should: [{ term: { a: 1 } }] } }, null],
    [{ prefix: { a: 'x' } }, null],
  ]) {
    assert.equal(asText(query), wanted, JSON.stringify(query));
  }
});

test('filters are added and taken away', () => {
  assert.equal(withFilter('', 'a', 'b c', true), 'a:"b c"');
  assert.equal(withFilter('x OR y', 'a', 1, false), '(x OR y) AND NOT a:1');
  assert.deepEqual(conditions('a:b AND c:"d AND e" AND f:[1 TO 2]'), [
    'a:b',
    'c:"d AND e"',
    'f:[1 TO 2]',
  ]);
  assert.deepEqual(conditions('a OR b AND c'), ['a OR b AND c']);
  assert.equal(flipped('a:b', 'c:d'), 'a:b AND c:d');
  assert.equal(flipped('a:b AND c:d', 'a:b'), 'c:d');
  assert.equal(
    bucketCondition({ kind: 'histogram', field: 'year', interval: 1 }, 2020),
    'year:[2020 TO 2021}',
  );
  assert.equal(bucketCondition({ kind: 'terms', field: 'c' }, 'new york'), 'c:"new york"');
  assert.equal(bucketCondition({ kind: 'terms', field: 'c' }, 'Other'), null);
});

test('fields and times of documents', () => {
  const hits = [
    { _source: { '@timestamp': '2026-11-21T09:00:00Z', a: { b: [1, 2] }, tags: ['x'], n: null } },
    { _source: { '@timestamp': '2026-11-21T09:00:01.5Z', a: { b: [] }, list: [{ c: 'd' }] } },
  ];
  const kinds = Object.fromEntries(fieldsOf(hits).map((field) => [field.path, field.kind]));
  assert.deepEqual(kinds, {
    '@timestamp': 'string',
    'a.b': 'number',
    tags: 'string',
    n: 'null',
    'list.c': 'string',
  });
  assert.equal(timeFieldOf(hits), '@timestamp');
  assert.equal(timeFieldOf([{ _source: { id: '2026' } }]), null);
  assert.deepEqual(valueAt(hits[1]._source, 'list.c'), 'd');
  assert.equal(intervalFor(0, 3600000), '1m');
});

test('speeds are differences over the last seconds', () => {
  const speeds = new Speeds();
  const at = (t, value) => speeds.note(t, [['a', value]]);
  assert.equal(speeds.of('a', 0), null);
  at(1000, 500);
  assert.equal(speeds.of('a', 1000), null, 'one point is no difference');
  at(2000, 600);
  assert.equal(speeds.of('a', 2000), 100);
  at(3000, 800);
  assert.equal(speeds.of('a', 3000), 150);
  assert.equal(speeds.of('a', 8000), 0, 'nothing new for as long as is looked back');
  at(9000, 900);
  assert.equal(speeds.of('a', 9000), 100 / 6, 'from the last point that is old enough');
  at(10000, 10);
  assert.equal(speeds.of('a', 10000), null, 'a counter that went back began anew');
  at(10500, 20);
  assert.equal(speeds.of('a', 10500), 20);
  speeds.note(11000, [['b', 1]]);
  assert.equal(speeds.of('a', 11000), null, 'what is gone is forgotten');
});

test('the log keeps the last lines, and none twice after a new connection', () => {
  const lines = new Lines();
  const texts = () => lines.all.map((line) => line.text);
  lines.add({ text: 'one' }, 1);
  lines.add({ text: 'two' }, 1);
  assert.deepEqual(texts(), ['two', 'one']);
  lines.add({ text: 'one' }, 2);
  lines.add({ text: 'two' }, 2);
  lines.add({ text: 'three' }, 2);
  assert.deepEqual(texts(), ['three', 'two', 'one']);
  assert.equal(new Set(lines.all.map((line) => line.id)).size, 3);
  for (let n = 0; n < LINES_MAX + 10; n += 1) lines.add({ text: String(n) }, 2);
  assert.equal(lines.all.length, LINES_MAX);
  assert.equal(texts()[0], String(LINES_MAX + 9));
});

test('a file gives the name it is uploaded under', () => {
  const rows = [
    ['filter.wasm', 'filter'],
    ['My Filter (2).WASM', 'My-Filter-2'],
    ['.hidden.wasm', 'hidden'],
    ['-v.1.wasm', 'v.1'],
    ['.wasm', ''],
    [`${'x'.repeat(120)}.wasm`, 'x'.repeat(100)],
  ];
  for (const [file, name] of rows) assert.equal(nameFor(file), name, file);
});

test('a trial is summed up', () => {
  const results = [
    { in: {}, out: [{}, {}] },
    { in: {}, out: [] },
    { in: {}, error: { code: 1 } },
  ];
  assert.equal(
    summary({ version: 2, records: 3, results, ns_per_record: 1250 }),
    '3 records through version 2: 2 outputs, 1 failure, 1.3 \u00b5s per record.',
  );
});
