// Transforms: versions, size, time per record, and what failed by code.

import { h } from '../dom.js';
import { getJson, Resource } from '../api.js';
import { exact, nanos } from '../format.js';
import { href } from '../router.js';
import { alarm, card, copyButton, facts, num, size, tile } from '../parts/bits.js';
import { ListView } from '../parts/list.js';
import { empty, failure, loading } from '../parts/states.js';
import { amount, table } from '../parts/table.js';

const NONE = {
  title: 'No transforms yet',
  text: 'A transform is a function from a record to records, compiled to WebAssembly. Make one:',
  command: 'wstream transform new my-transform',
};

const failuresOf = (row) =>
  Object.values(row.failures || {}).reduce((sum, count) => sum + count, 0);

function perRecord(ns) {
  return h(
    'span',
    { class: 'figure', title: Number.isFinite(ns) ? `${exact(ns)} ns per record` : '' },
    nanos(ns),
  );
}

export class Transforms extends ListView {
  what = 'The transforms could not be loaded';

  whenEmpty = NONE;

  constructor(context) {
    super(context, { kind: 'transforms' });
  }

  list(rows) {
    const shown = table({
      label: 'Transforms',
      rows,
      keyOf: (row) => `${row.name}@${row.version}`,
      router: this.router,
      order: 'name',
      columns: [
        {
          id: 'name',
          name: 'Transform',
          by: (row) => row.name,
          cell: (row) => h('a', { class: 'name', href: href('transforms', row.name) }, row.name),
        },
        {
          id: 'version',
          name: 'Version',
          by: (row) => String(row.version ?? ''),
          cell: (row) => row.version ?? '\u2013',
        },
        {
          id: 'kind',
          name: 'Kind',
          low: true,
          by: (row) => row.kind,
          cell: (row) => h('code', {}, row.kind),
        },
        amount('size', 'Size', 'size', size),
        amount('records', 'Records', 'records', num),
        amount('time', 'Time per record', 'ns_per_record', perRecord),
        amount('memory', 'Memory', 'memory_bytes', size, { low: true }),
        {
          id: 'failures',
          name: 'Failures',
          num: true,
          by: failuresOf,
          cell: (row) => alarm(failuresOf(row)),
        },
        { id: 'pipelines', name: 'Pipelines', cell: (row) => pipelineLinks(row) },
      ],
    });
    return card('', shown, { flush: true, key: 'transforms' });
  }
}

function pipelineLinks(row) {
  return (row.pipelines || []).map((name, i) => [
    i ? ', ' : null,
    h('a', { href: href('pipelines', name) }, name),
  ]);
}

export class Transform {
  constructor({ live, redraw, name }) {
    Object.assign(this, { live, name });
    this.first = new Resource((signal) => getJson('/api/v1/transforms', signal), redraw).start();
  }

  stop() {
    this.first.stop();
  }

  draw() {
    const { first, name } = this;
    const list = this.live.list('transforms') || (first.value && first.value.transforms);
    if (!list)
      return first.state === 'error'
        ? failure(first.error, () => first.retry(), `The transform ${name} could not be loaded`)
        : loading(6);
    const versions = list.filter((row) => row.name === name);
    if (!versions.length) return empty({ ...NONE, title: `There is no transform named ${name}` });
    return versions.map((row) =>
      h('div', { class: 'stack', key: `${row.name}@${row.version}` }, this.version(row)),
    );
  }

  version(row) {
    const failures = Object.entries(row.failures || {}).filter(([, count]) => count > 0);
    return [
      h(
        'div',
        { class: 'tiles', key: 'tiles' },
        tile('Records', num(row.records), `${exact(row.outputs)} outputs`),
        tile('Time per record', perRecord(row.ns_per_record), 'mean'),
        tile('Failures', alarm(failuresOf(row)), failuresOf(row) ? 'see by code below' : 'none'),
        tile('Memory', size(row.memory_bytes), `${exact(row.instances)} instances`),
      ),
      card(
        'Module',
        facts([
          ['Version', row.version ?? '\u2013'],
          ['Kind', h('code', {}, row.kind)],
          ['Size', size(row.size)],
          [
            'Digest',
            row.sha256
              ? [
                  h('code', { class: 'digest' }, row.sha256),
                  copyButton(row.sha256, 'Copy the digest'),
                ]
              : '\u2013',
          ],
          ['Used by', (row.pipelines || []).length ? pipelineLinks(row) : 'no pipeline'],
        ]),
        { key: 'module' },
      ),
      card(
        'Failures by code',
        failures.length
          ? table({
              label: 'Failures by code',
              rows: failures,
              keyOf: ([code]) => code,
              columns: [
                { id: 'code', name: 'Code', cell: ([code]) => h('code', {}, code) },
                { id: 'count', name: 'Records', num: true, cell: ([, count]) => exact(count) },
              ],
            })
          : h('p', { class: 'muted pad' }, 'No record has failed.'),
        { flush: true, key: 'failures' },
      ),
    ];
  }
}
