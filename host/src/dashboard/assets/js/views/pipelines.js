// Pipelines: what flows through each, how fast, how far behind, and where it stands.

import { h } from '../dom.js';
import { getJson, Resource, segment } from '../api.js';
import { exact, plural } from '../format.js';
import { href } from '../router.js';
import { alarm, card, listOf, notice, num, speed, stateBadge, tile } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { ListView } from '../parts/list.js';
import { failure, loading } from '../parts/states.js';
import { amount, table } from '../parts/table.js';

export class Pipelines extends ListView {
  what = 'The pipelines could not be loaded';

  whenEmpty = {
    title: 'No pipelines yet',
    text: 'A pipeline takes records from topics, through transforms, to sinks. Declare one in wstream.toml and start it:',
    command: 'wstream run wstream.toml',
  };

  constructor(context) {
    super(context, { kind: 'pipelines' });
  }

  list(rows) {
    const shown = table({
      label: 'Pipelines',
      rows,
      keyOf: (row) => row.name,
      router: this.router,
      order: 'name',
      columns: [
        {
          id: 'name',
          name: 'Pipeline',
          by: (row) => row.name,
          cell: (row) => h('a', { class: 'name', href: href('pipelines', row.name) }, row.name),
        },
        {
          id: 'state',
          name: 'State',
          by: (row) => row.state,
          cell: (row) => stateBadge(row.state),
        },
        { id: 'path', name: 'From, through, to', wide: true, cell: (row) => pathOf(row) },
        amount('in', 'In', 'in_per_second', speed),
        amount('out', 'Out', 'out_per_second', speed),
        amount('errors', 'Errors', 'errors_total', alarm),
        amount('lag', 'Lag', 'lag', num),
      ],
    });
    return card('', shown, { flush: true, key: 'pipelines' });
  }
}

const arrow = () => h('span', { class: 'path-arrow' }, icon('right', 12));

/** `titles > netflix-titles > titles-index`, each a link where there is something to open. */
function pathOf(row) {
  return h(
    'span',
    { class: 'path' },
    (row.from || []).map((topic, i) => [
      i ? ', ' : null,
      h('a', { href: href('topics', topic) }, topic),
    ]),
    (row.transforms || []).map((step) => [
      arrow(),
      h('a', { href: href('transforms', step.module) }, step.module),
    ]),
    arrow(),
    (row.to || []).join(', ') || '\u2013',
  );
}

export class Pipeline {
  constructor({ live, router, redraw, name }) {
    Object.assign(this, { live, router, name });
    this.first = new Resource(
      (signal) => getJson(`/api/v1/pipelines/${segment(name)}`, signal),
      redraw,
    ).start();
  }

  stop() {
    this.first.stop();
  }

  draw() {
    const pushed = (this.live.list('pipelines') || []).find((row) => row.name === this.name);
    const row = pushed || this.first.value;
    if (!row) {
      return this.first.state === 'error'
        ? failure(
            this.first.error,
            () => this.first.retry(),
            `The pipeline ${this.name} could not be loaded`,
          )
        : loading(6);
    }
    return [
      row.error ? notice('The pipeline stopped.', row.error, 'error') : null,
      h(
        'div',
        { class: 'tiles', key: 'tiles' },
        tile('State', stateBadge(row.state), plural((row.partitions || []).length, 'partition')),
        tile('In', speed(row.in_per_second), `${exact(row.in_total)} in all`),
        tile('Out', speed(row.out_per_second), `${exact(row.out_total)} in all`),
        tile(
          'Errors',
          alarm(row.errors_total),
          row.errors_per_second ? speed(row.errors_per_second) : 'none now',
        ),
        tile('Lag', num(row.lag), 'records to read'),
      ),
      card('Path', h('div', { class: 'steps' }, this.steps(row)), { key: 'path' }),
      card('Partitions', this.partitions(row.partitions || []), { flush: true, key: 'partitions' }),
    ];
  }

  steps(row) {
    const letters = listOf(row.dead_letter);
    const step = (kind, words, to) =>
      h(
        'div',
        { class: 'step', key: `${kind} ${words}` },
        h('span', { class: 'muted small' }, kind),
        to ? h('a', { href: to, class: 'name' }, words) : h('span', { class: 'name' }, words),
      );
    return [
      (row.from || []).map((topic) => step('Topic', topic, href('topics', topic))),
      arrow(),
      (row.transforms || []).map((entry) => [
        step(
          entry.version ? `Transform, version ${entry.version}` : 'Transform',
          entry.module,
          href('transforms', entry.module),
        ),
        arrow(),
      ]),
      (row.to || []).map((sink) => step('Sink', sink)),
      letters.length ? h('span', { class: 'grow' }) : null,
      letters.map((topic) => step('Dead letters', topic, href('dead-letters', topic))),
    ];
  }

  partitions(rows) {
    if (!rows.length) return h('p', { class: 'muted pad' }, 'No partition has been read yet.');
    return table({
      label: 'Partitions',
      rows,
      keyOf: (row) => `${row.topic}-${row.partition}`,
      router: this.router,
      order: 'partition',
      columns: [
        {
          id: 'partition',
          name: 'Partition',
          by: (row) => `${row.topic} ${String(row.partition).padStart(6, '0')}`,
          cell: (row) =>
            h(
              'a',
              { class: 'name', href: href('topics', row.topic, { partition: row.partition }) },
              `${row.topic} / ${row.partition}`,
            ),
        },
        amount('position', 'Position', 'position', exact),
        {
          id: 'lag',
          name: 'Lag',
          num: true,
          by: (row) => row.lag || 0,
          cell: (row) => alarm(row.lag, 'warn'),
        },
      ],
    });
  }
}
