// The whole node on one screen: the pipeline graph, its rates, what lags and what failed.

import { h } from '../dom.js';
import { chart } from '../../charts/chart.js';
import { getJson, Resource } from '../api.js';
import { bytes, exact, number } from '../format.js';
import { href } from '../router.js';
import { alarm, card, notice, num, size, speed, stateBadge, tile } from '../parts/bits.js';
import { empty, failure, loading } from '../parts/states.js';
import { table } from '../parts/table.js';
import { graph } from './graph.js';

const POLL_MS = 3000;

export class Overview {
  constructor({ live, redraw }) {
    Object.assign(this, { live, redraw });
    this.hidden = new Set();
    // Only to say why the live stream brings nothing: its own errors carry no text.
    this.probe = new Resource((signal) => getJson('/api/v1/node', signal), redraw);
    this.timer = setInterval(() => {
      if (!live.stats && live.state === 'reconnecting') this.probe.start();
    }, POLL_MS);
    this.probe.start();
  }

  stop() {
    clearInterval(this.timer);
    this.probe.stop();
  }

  draw() {
    const { live } = this;
    if (!live.stats) {
      if (this.probe.state === 'error')
        return failure(this.probe.error, () => this.probe.retry(), 'The node could not be reached');
      return loading(8);
    }
    const pipelines = live.list('pipelines') || [];
    const topics = (live.list('topics') || []).filter((topic) => !topic.internal);
    if (!pipelines.length && !topics.length) {
      return empty({
        title: 'Nothing flows yet',
        text: 'Declare sources, pipelines and sinks in wstream.toml, or start with the example:',
        command: 'wstream run examples/netflix/wstream.toml',
      });
    }
    const node = this.live.stats.node || {};
    return [
      node.reload_error
        ? notice('The changed file was not taken.', node.reload_error, 'reload')
        : null,
      this.failed(pipelines),
      this.tiles(pipelines),
      this.flow(),
      h('div', { class: 'columns', key: 'below' }, this.rates(), this.attention(pipelines)),
    ];
  }

  /** Each pipeline and source that stopped, with its reason. */
  failed(pipelines) {
    const stopped = [
      ...pipelines.map((row) => [`The pipeline ${row.name} stopped.`, row.error]),
      ...(this.live.list('sources') || []).map((row) => [
        `The source ${row.name} stopped.`,
        row.error,
      ]),
    ];
    return stopped.filter(([, error]) => error).map(([what, error]) => notice(what, error));
  }

  tiles(pipelines) {
    const node = this.live.stats.node || {};
    const sum = (field) => pipelines.reduce((total, row) => total + (row[field] || 0), 0);
    const sources = this.live.list('sources') || [];
    const read = sources.reduce((total, row) => total + (row.records_per_second || 0), 0);
    const letters = (this.live.list('dlq') || []).reduce(
      (total, row) => total + (row.records || 0),
      0,
    );
    return h(
      'div',
      { class: 'tiles', key: 'tiles' },
      tile(
        'Records in',
        speed(Math.max(read, sum('in_per_second'))),
        `${number(sum('in_total'))} in all`,
      ),
      tile('Records out', speed(sum('out_per_second')), `${number(sum('out_total'))} in all`),
      tile('Lag', num(sum('lag')), 'records to read'),
      tile(
        'Dead letters',
        letters ? h('a', { href: href('dead-letters') }, alarm(letters)) : alarm(0),
        letters ? 'see why' : 'none',
      ),
      tile('Log', size(node.log_bytes), `${bytes(node.disk_free_bytes)} of disk free`),
      tile('Memory', size(node.memory_bytes), node.version ? `wstream ${node.version}` : ''),
    );
  }

  flow() {
    return card(
      'Flow',
      graph({
        sources: this.live.list('sources') || [],
        topics: this.live.list('topics') || [],
        pipelines: this.live.list('pipelines') || [],
        sinks: this.live.list('sinks') || [],
        letters: this.live.list('dlq') || [],
      }),
      { flush: true, key: 'flow' },
    );
  }

  rates() {
    const { history } = this.live;
    const points = (field) => history.map((point) => ({ x: point.t, y: point[field] ?? null }));
    const model = {
      kind: 'line',
      title: 'Records per second',
      description: 'Records in and out in the last 15 minutes, since this page was opened',
      total: null,
      note: '',
      options: { dots: false },
      x: { type: 'time', label: 'Time', interval: 10000, plain: true },
      y: { label: 'Records/s', min: 0, decimals: 0 },
      series: [
        { name: 'In', points: points('in') },
        { name: 'Out', points: points('out') },
      ],
    };
    const body =
      history.length < 2
        ? h('p', { class: 'muted pad chart-wait' }, 'Collecting rates.')
        : chart({
            key: 'rates',
            model,
            height: 220,
            hidden: this.hidden,
            onhide: (name) => {
              if (!this.hidden.delete(name)) this.hidden.add(name);
              this.redraw();
            },
          });
    return card('Records per second', body, { key: 'rates' });
  }

  attention(pipelines) {
    const sources = this.live.list('sources') || [];
    return h(
      'div',
      { class: 'stack', key: 'attention' },
      card(
        'Pipelines',
        pipelines.length
          ? table({
              label: 'Pipelines',
              rows: pipelines,
              keyOf: (row) => row.name,
              columns: [
                {
                  id: 'name',
                  name: 'Pipeline',
                  cell: (row) =>
                    h('a', { class: 'name', href: href('pipelines', row.name) }, row.name),
                },
                { id: 'state', name: 'State', cell: (row) => stateBadge(row.state) },
                { id: 'lag', name: 'Lag', num: true, cell: (row) => alarm(row.lag, 'warn') },
                { id: 'errors', name: 'Errors', num: true, cell: (row) => alarm(row.errors_total) },
              ],
            })
          : h('p', { class: 'muted pad' }, 'No pipeline is declared.'),
        { flush: true, key: 'pipelines' },
      ),
      sources.length
        ? card(
            'Sources',
            table({
              label: 'Sources',
              rows: sources,
              keyOf: (row) => row.name,
              columns: [
                {
                  id: 'name',
                  name: 'Source',
                  cell: (row) => h('span', { class: 'name', title: row.path || '' }, row.name),
                },
                { id: 'state', name: 'State', cell: (row) => stateBadge(row.state) },
                { id: 'records', name: 'Records', num: true, cell: (row) => num(row.records) },
                {
                  id: 'read',
                  name: 'Read',
                  num: true,
                  cell: (row) =>
                    row.bytes_total
                      ? h(
                          'span',
                          {
                            class: 'figure',
                            title: `${exact(row.bytes_read)} of ${exact(row.bytes_total)} bytes`,
                          },
                          `${Math.floor((row.bytes_read / row.bytes_total) * 100)} %`,
                        )
                      : size(row.bytes_read),
                },
                { id: 'bad', name: 'Bad rows', num: true, cell: (row) => alarm(row.bad_rows) },
              ],
            }),
            { flush: true, key: 'sources' },
          )
        : null,
    );
  }
}
