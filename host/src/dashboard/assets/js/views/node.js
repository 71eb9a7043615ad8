// The node itself: version, listeners, where its data is and how much of it.

import { h } from '../dom.js';
import { getJson, Resource } from '../api.js';
import { duration, exact } from '../format.js';
import { card, copyButton, facts, notice, size, tile } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { stateOf } from '../parts/states.js';
import { table } from '../parts/table.js';

const DURABILITY = {
  process: 'process: an acknowledged record survives a killed process',
  disk: 'disk: an acknowledged record survives a power cut',
};

export class NodeView {
  constructor({ live, redraw }) {
    this.live = live;
    this.first = new Resource((signal) => getJson('/api/v1/node', signal), redraw).start();
  }

  stop() {
    this.first.stop();
  }

  draw() {
    const pushed = this.live.stats && this.live.stats.node;
    if (pushed) this.first.value = { ...(this.first.value || {}), ...pushed };
    return stateOf(this.first, {
      what: 'The node could not be asked',
      draw: (node) => this.view(node),
    });
  }

  view(node) {
    const missing = node.missing || [];
    const problems = node.problems || [];
    return [
      node.reload_error
        ? notice('The changed file was not taken.', node.reload_error, 'reload')
        : null,
      ...problems.map((problem, n) =>
        notice('The log has a problem.', problem.message, `problem-${n}`),
      ),
      missing.length
        ? notice(
            'Some records are missing.',
            'What was damaged is kept aside; the rest is served. See below.',
            'missing',
          )
        : null,
      h(
        'div',
        { class: 'tiles', key: 'tiles' },
        tile('Version', node.version || '\u2013', 'wstream'),
        tile('Running for', duration(node.uptime_ms), 'since the last start'),
        tile('Memory', size(node.memory_bytes), 'resident'),
        tile('Log', size(node.log_bytes), 'on disk'),
        tile('Disk free', size(node.disk_free_bytes), 'where the data is'),
      ),
      card(
        'Listeners',
        facts([
          ...Object.entries(node.listeners || {}).map(([name, address]) => [
            listenerName(name),
            address ? h('code', {}, String(address)) : 'off',
          ]),
          [
            'Metrics',
            h(
              'a',
              { href: '/metrics', target: '_blank', rel: 'noreferrer' },
              '/metrics ',
              icon('external', 12),
              h('span', { class: 'visually-hidden' }, '(opens in a new tab)'),
            ),
          ],
          [
            'Health',
            [
              h(
                'a',
                { href: '/health/ready', target: '_blank', rel: 'noreferrer' },
                '/health/ready ',
                icon('external', 12),
                h('span', { class: 'visually-hidden' }, '(opens in a new tab)'),
              ),
            ],
          ],
        ]),
        { key: 'listeners' },
      ),
      card(
        'Storage',
        facts([
          [
            'Data directory',
            [
              h('code', {}, node.data_dir || '\u2013'),
              node.data_dir ? copyButton(node.data_dir, 'Copy the path') : null,
            ],
          ],
          ['Durability', DURABILITY[node.durability] || node.durability || '\u2013'],
          [
            'Log',
            [
              size(node.log_bytes),
              h('span', { class: 'muted' }, ` (${exact(node.log_bytes)} bytes)`),
            ],
          ],
          ['Disk free', size(node.disk_free_bytes)],
        ]),
        { key: 'storage' },
      ),
      missing.length
        ? card('Missing records', this.missing(missing), { flush: true, key: 'missing-list' })
        : null,
    ];
  }

  missing(rows) {
    return table({
      label: 'Missing records',
      rows,
      keyOf: (row) => JSON.stringify([row.partition, row.first, row.segment]),
      columns: [
        {
          id: 'partition',
          name: 'Partition',
          cell: (row) =>
            h(
              'span',
              { class: 'name' },
              row.partition ? `${row.partition.topic} / ${row.partition.partition}` : 'not known',
            ),
        },
        {
          id: 'offsets',
          name: 'Offsets',
          cell: (row) => `${exact(row.first)} up to ${exact(row.next)}`,
        },
        {
          id: 'kept',
          name: 'Kept at',
          cell: (row) => (row.kept_at ? h('code', {}, row.kept_at) : '\u2013'),
        },
        { id: 'why', name: 'Reason', wide: true, cell: (row) => row.reason },
      ],
    });
  }
}

function listenerName(name) {
  return { http: 'Page and API', search: 'Elasticsearch API', kafka: 'Kafka' }[name] || name;
}
