// The list of topics: how much is in each, how fast it grows, who lags behind.

import { h } from '../dom.js';
import { href } from '../router.js';
import { alarm, card, DEAD_LETTER, field, num, size, speed } from '../parts/bits.js';
import { ListView } from '../parts/list.js';
import { amount, table } from '../parts/table.js';
import { bytes, duration } from '../format.js';

export class Topics extends ListView {
  what = 'The topics could not be loaded';

  whenEmpty = {
    title: 'No topics yet',
    text: 'A topic is created by a source, by a Kafka client, or by hand:',
    command: 'wstream topic create orders --partitions 3',
  };

  constructor(context) {
    super(context, { kind: 'topics' });
  }

  /** How many records of each topic the pipelines that read it have before them. */
  lags() {
    const lags = new Map();
    for (const pipeline of this.live.list('pipelines') || []) {
      for (const topic of pipeline.from || []) lags.set(topic, lags.get(topic) || 0);
      for (const { topic, lag } of pipeline.partitions || []) {
        lags.set(topic, (lags.get(topic) || 0) + (lag || 0));
      }
    }
    return lags;
  }

  list(topics) {
    const { query } = this.router.at;
    const text = query.get('q') || '';
    const internal = query.get('internal') === '1';
    const hidden = topics.filter((topic) => topic.internal).length;
    const rows = topics.filter(
      (topic) =>
        (internal || !topic.internal) && topic.name.toLowerCase().includes(text.toLowerCase()),
    );
    return [
      h(
        'div',
        { class: 'bar', key: 'bar' },
        field(
          'Filter',
          h('input', {
            type: 'search',
            value: text,
            placeholder: 'Name of a topic',
            oninput: (event) => this.router.set({ q: event.target.value }, true),
          }),
        ),
        hidden
          ? h(
              'label',
              { class: 'check' },
              h('input', {
                type: 'checkbox',
                checked: internal,
                onchange: (event) =>
                  this.router.set({ internal: event.target.checked ? '1' : null }, true),
              }),
              `Internal topics (${hidden})`,
            )
          : null,
      ),
      rows.length
        ? card('', this.rows(rows), { flush: true, key: 'topics' })
        : h('p', { class: 'muted pad', key: 'none' }, 'No topic matches the filter.'),
    ];
  }

  rows(rows) {
    const lags = this.lags();
    return table({
      label: 'Topics',
      rows,
      keyOf: (row) => row.name,
      router: this.router,
      order: 'name',
      columns: [
        {
          id: 'name',
          name: 'Topic',
          by: (row) => row.name,
          cell: (row) =>
            h(
              'a',
              {
                href: href('topics', row.name),
                class: DEAD_LETTER.test(row.name) ? 'name letter' : 'name',
              },
              row.name,
            ),
        },
        amount('rate', 'Records/s', 'records_per_second', speed),
        amount('records', 'Records', 'records', num),
        amount('size', 'Size', 'bytes', size),
        amount('partitions', 'Partitions', 'partitions', num),
        {
          id: 'lag',
          name: 'Pipeline lag',
          num: true,
          by: (row) => lags.get(row.name) ?? -1,
          cell: (row) => lagCell(lags.get(row.name)),
        },
        {
          id: 'retention',
          name: 'Retention',
          low: true,
          cell: (row) => h('span', { class: 'quiet' }, retentionText(row.retention)),
        },
      ],
    });
  }
}

function lagCell(lag) {
  return lag === undefined ? h('span', { class: 'quiet' }, '\u2013') : alarm(lag, 'warn');
}

/** `10 GiB, 30 d`, or `kept` without limits. */
export function retentionText(retention) {
  const limits = [];
  if (retention && retention.bytes) limits.push(bytes(retention.bytes).replace('.0 ', ' '));
  if (retention && retention.age_ms) limits.push(duration(retention.age_ms));
  return limits.join(', ') || 'no limit';
}
