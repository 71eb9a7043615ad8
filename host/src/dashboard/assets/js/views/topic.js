// One topic: its messages, partitions, configuration and the groups that read it.

import { h } from '../dom.js';
import { getJson, Resource, segment } from '../api.js';
import { duration, exact, plural } from '../format.js';
import { href } from '../router.js';
import { card, facts, meter, num, size, speed, tabs, tile } from '../parts/bits.js';
import { failure, loading } from '../parts/states.js';
import { amount, table } from '../parts/table.js';
import { Messages } from './messages.js';

const REFRESH_MS = 2000;

export class Topic {
  constructor({ live, router, redraw, name }) {
    Object.assign(this, { live, router, name });
    this.detail = new Resource(
      (signal) => getJson(`/api/v1/topics/${segment(name)}`, signal),
      redraw,
    ).start();
    this.messages = new Messages({ router, redraw, topic: name, detail: this.detail });
    this.timer = setInterval(() => {
      if (!document.hidden && this.detail.state !== 'loading') this.detail.start();
    }, REFRESH_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.detail.stop();
    this.messages.stop();
  }

  draw() {
    const { detail } = this;
    if (detail.value === null) {
      return detail.state === 'error'
        ? failure(detail.error, () => detail.retry(), `The topic ${this.name} could not be loaded`)
        : loading(8);
    }
    const pushed = (this.live.list('topics') || []).find((topic) => topic.name === this.name);
    const topic = pushed ? { ...detail.value, ...pushed } : detail.value;
    const tab = this.router.at.query.get('tab') || 'messages';
    const to = (name) => href('topics', this.name, { tab: name === 'messages' ? null : name });
    return [
      h(
        'div',
        { class: 'tiles', key: 'tiles' },
        tile('Records', num(topic.records), 'in all partitions'),
        tile('Rate', speed(topic.records_per_second), 'records written'),
        tile('Size', size(topic.bytes), 'on disk'),
        tile(
          'Partitions',
          num(topic.partitions),
          topic.defined_in_file ? 'defined in the file' : 'created at run time',
        ),
      ),
      h(
        'div',
        { key: 'tabs' },
        tabs('Topic', [
          { name: 'Messages', href: to('messages'), on: tab === 'messages' },
          {
            name: 'Partitions',
            href: to('partitions'),
            on: tab === 'partitions',
            count: topic.partitions,
          },
          {
            name: 'Groups',
            href: to('groups'),
            on: tab === 'groups',
            count: (topic.groups || []).length,
          },
          { name: 'Configuration', href: to('configuration'), on: tab === 'configuration' },
        ]),
      ),
      h('div', { key: `tab ${tab}` }, this.tab(tab, topic)),
    ];
  }

  tab(tab, topic) {
    if (tab === 'partitions') return this.partitions(topic.partition_details || []);
    if (tab === 'groups') return this.groups(topic.groups || []);
    if (tab === 'configuration') return this.configuration(topic);
    return this.messages.draw(topic);
  }

  partitions(rows) {
    const most = Math.max(...rows.map((row) => row.bytes || 0), 1);
    return card(
      '',
      table({
        label: 'Partitions',
        rows,
        keyOf: (row) => row.partition,
        router: this.router,
        order: 'partition',
        columns: [
          {
            id: 'partition',
            name: 'Partition',
            by: (row) => row.partition,
            cell: (row) =>
              h(
                'a',
                { class: 'name', href: href('topics', this.name, { partition: row.partition }) },
                row.partition,
              ),
          },
          amount('size', 'Size', 'bytes', size),
          { id: 'share', name: 'Beside the largest', cell: (row) => meter(row.bytes || 0, most) },
          amount('rate', 'Records/s', 'records_per_second', speed),
          amount('start', 'Log start', 'log_start', exact),
          amount('high', 'High watermark', 'high_watermark', exact),
          {
            id: 'epoch',
            name: 'Leader epoch',
            num: true,
            low: true,
            cell: (row) => exact(row.leader_epoch),
          },
        ],
      }),
      { flush: true, key: 'partitions' },
    );
  }

  groups(rows) {
    if (!rows.length)
      return h(
        'p',
        { class: 'muted pad' },
        'No consumer group has committed a position in this topic.',
      );
    return card(
      '',
      table({
        label: 'Consumer groups',
        rows,
        keyOf: (row) => row.group,
        router: this.router,
        order: '-lag',
        columns: [
          {
            id: 'group',
            name: 'Group',
            by: (row) => row.group,
            cell: (row) => groupLink(row.group),
          },
          amount('lag', 'Lag', 'lag', num),
        ],
      }),
      { flush: true, key: 'groups' },
    );
  }

  configuration(topic) {
    const retention = topic.retention || {};
    return card(
      'Configuration',
      facts([
        ['Partitions', plural(topic.partitions, 'partition')],
        [
          'Retention by size',
          retention.bytes ? [size(retention.bytes), ' per partition'] : 'no limit',
        ],
        [
          'Retention by age',
          retention.age_ms
            ? [
                duration(retention.age_ms),
                retention.by === 'record'
                  ? ' after the record\u2019s own time'
                  : ' after it was appended',
              ]
            : 'no limit',
        ],
        ...(topic.settings || [])
          .filter((setting) => !setting.is_default && !setting.key.startsWith('retention.'))
          .map((setting) => [
            h('code', {}, setting.key),
            setting.without_effect ? `${setting.value} (changes nothing)` : setting.value,
          ]),
        ['Id', h('code', {}, topic.id || '\u2013')],
        [
          'Defined in',
          topic.defined_in_file
            ? 'the configuration file (change it there)'
            : 'the node (created at run time)',
        ],
        ['Internal', topic.internal ? 'yes' : 'no'],
      ]),
      { key: 'configuration' },
    );
  }
}

const PIPELINE_GROUP = /^wstream\.pipeline\.(.+)$/;

function groupLink(group) {
  const match = PIPELINE_GROUP.exec(group);
  return match
    ? h('a', { class: 'name', href: href('pipelines', match[1]) }, `Pipeline ${match[1]}`)
    : h('span', { class: 'name' }, group);
}
