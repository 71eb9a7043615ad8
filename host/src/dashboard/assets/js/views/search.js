// Search: an index, a query, the documents it finds; their times and their fields' top values.

import { h } from '../dom.js';
import { chart } from '../../charts/chart.js';
import { getJson, postJson, Resource, segment } from '../api.js';
import { exact, number, plural } from '../format.js';
import { card, copyButton, field } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { jsonView } from '../parts/json.js';
import { openRow } from '../parts/rows.js';
import { empty, failure, loading } from '../parts/states.js';
import {
  bucketMs,
  cellText,
  columnsFor,
  fieldsOf,
  intervalFor,
  timeFieldOf,
  valueAt,
} from './documents.js';
import { fieldList } from './fields.js';
import { withFilter } from './query.js';

const PAGE = 50;

export class Search {
  constructor({ router, redraw }) {
    Object.assign(this, { router, redraw });
    this.indices = new Resource((signal) => getJson('/api/v1/indices', signal), redraw).start();
    this.found = null;
    this.asked = '';
    this.tops = new Map();
    this.typed = null;
  }

  stop() {
    this.indices.stop();
    if (this.found) this.found.stop();
    for (const top of this.tops.values()) top.stop();
  }

  move() {
    this.typed = null;
  }

  wish() {
    const { query } = this.router.at;
    const list = (this.indices.value && this.indices.value.indices) || [];
    return {
      index: query.get('index') || (list[0] && list[0].name) || '',
      q: query.get('q') || '',
      from: Math.max(0, Number(query.get('from')) || 0),
      sort: query.get('sort') || '',
      open: query.get('open'),
      columns: (query.get('cols') || '').split(',').filter(Boolean),
      fields: query.get('field'),
      range: (query.get('range') || '').split('~').map(Number).filter(Number.isFinite),
      timeField: query.get('time'),
    };
  }

  /** The query of the address, its time range included. */
  query(wish) {
    const text =
      wish.q.trim() && wish.q.trim() !== '*'
        ? { query_string: { query: wish.q } }
        : { match_all: {} };
    if (wish.range.length !== 2 || !wish.timeField) return text;
    const range = {
      gte: new Date(wish.range[0]).toISOString(),
      lt: new Date(wish.range[1]).toISOString(),
    };
    return { bool: { must: [text], filter: [{ range: { [wish.timeField]: range } }] } };
  }

  ask(wish, body, signal) {
    return postJson(
      `/api/v1/indices/${segment(wish.index)}/_search`,
      { query: this.query(wish), ...body },
      signal,
    );
  }

  search(wish) {
    const asked = JSON.stringify([
      wish.index,
      wish.q,
      wish.from,
      wish.sort,
      wish.range,
      wish.timeField,
    ]);
    if (asked === this.asked) return;
    this.asked = asked;
    const before = this.found;
    if (before) before.stop();
    for (const top of this.tops.values()) top.stop();
    this.tops.clear();
    this.found = new Resource((signal) => this.load(wish, signal), this.redraw);
    this.found.value = before ? before.value : null;
    this.found.start();
  }

  async load(wish, signal) {
    const body = { size: PAGE, from: wish.from, track_total_hits: true };
    if (wish.sort)
      body.sort = [
        { [wish.sort.replace(/^-/, '')]: { order: wish.sort.startsWith('-') ? 'desc' : 'asc' } },
      ];
    const answer = await this.ask(wish, body, signal);
    const hits = (answer.hits && answer.hits.hits) || [];
    const time = wish.timeField || timeFieldOf(hits);
    const total =
      typeof answer.hits.total === 'object' ? answer.hits.total.value : answer.hits.total;
    return {
      hits,
      total,
      took: answer.took,
      fields: fieldsOf(hits),
      time,
      times: time ? await this.times(wish, time, signal) : null,
    };
  }

  /** The documents over time, in some sixty buckets; null when they have no times. */
  async times(wish, path, signal) {
    try {
      const ends = await this.ask(
        wish,
        { size: 0, aggs: { from: { min: { field: path } }, to: { max: { field: path } } } },
        signal,
      );
      const [from, to] = [ends.aggregations.from.value, ends.aggregations.to.value];
      if (typeof from !== 'number' || typeof to !== 'number') return null;
      const interval = intervalFor(from, to);
      const answer = await this.ask(
        wish,
        {
          size: 0,
          aggs: {
            times: { date_histogram: { field: path, fixed_interval: interval, min_doc_count: 0 } },
          },
        },
        signal,
      );
      return {
        interval: bucketMs(interval),
        points: answer.aggregations.times.buckets.map((bucket) => ({
          x: Number(bucket.key),
          y: bucket.doc_count,
        })),
      };
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      // A field that only looks like a time has no histogram; the documents still show.
      return null;
    }
  }

  draw() {
    const { indices } = this;
    if (indices.state === 'error' && indices.value === null)
      return failure(indices.error, () => indices.retry(), 'The indices could not be loaded');
    if (indices.value === null) return loading(8);
    const wish = this.wish();
    const list = indices.value.indices || [];
    if (!wish.index)
      return empty({
        title: 'Nothing to search yet',
        text: 'An index is created by a sink of the type "search", or through the Elasticsearch API. The example fills one:',
        command: 'wstream run examples/netflix/wstream.toml',
      });
    this.search(wish);
    return [this.bar(list, wish), this.results(wish)];
  }

  bar(list, wish) {
    const names = list.map((entry) => entry.name);
    if (!names.includes(wish.index)) names.unshift(wish.index);
    const submit = (event) => {
      event.preventDefault();
      const text = new FormData(event.target).get('q').trim();
      if (text === wish.q) this.asked = '';
      this.router.set({ q: text, from: null, open: null });
      this.redraw();
    };
    return h(
      'form',
      { class: 'bar', key: 'bar', role: 'search', onsubmit: submit },
      field(
        'Index',
        h(
          'select',
          {
            value: wish.index,
            onchange: (event) =>
              this.router.set({
                index: event.target.value,
                from: null,
                open: null,
                cols: null,
                field: null,
                sort: null,
                range: null,
                time: null,
              }),
          },
          names.map((name) => h('option', { key: name, value: name }, name)),
        ),
      ),
      field(
        'Query',
        h('input', {
          type: 'search',
          name: 'q',
          value: this.typed ?? wish.q,
          placeholder: 'words, field:value, field:[1 TO 5], AND, OR, NOT',
          autocomplete: 'off',
          spellcheck: 'false',
          oninput: (event) => {
            this.typed = event.target.value;
          },
        }),
        true,
      ),
      h('button', { type: 'submit', class: 'button primary' }, icon('search'), 'Search'),
    );
  }

  results(wish) {
    const { found } = this;
    if (found.state === 'error') return this.refused(found, wish);
    if (found.value === null) return loading(10);
    const { hits, total, took, fields, time, times } = found.value;
    if (!hits.length && !wish.from) {
      return wish.q || wish.range.length
        ? empty({
            title: 'No document matches',
            text: 'Try fewer words, or look at the fields of all documents first.',
            action: h(
              'a',
              { class: 'button', href: `/ui/search?index=${encodeURIComponent(wish.index)}` },
              'Show all documents',
            ),
          })
        : empty({
            title: `${wish.index} is empty`,
            text: 'Documents appear here within a second of being written.',
          });
    }
    return h(
      'div',
      { class: 'search-columns', key: 'results' },
      fieldList(this, fields, total, wish),
      h(
        'div',
        { class: 'stack search-main', key: 'main' },
        h(
          'p',
          { class: 'search-sum', role: 'status', key: 'sum' },
          h('strong', { title: exact(total) }, plural(total, 'document')),
          h('span', { class: 'muted' }, ` in ${exact(took)} ms`),
          wish.range.length === 2
            ? h(
                'button',
                {
                  type: 'button',
                  class: 'pill',
                  onclick: () => this.router.set({ range: null, time: null, from: null }),
                },
                'Time range',
                icon('close', 12),
              )
            : null,
        ),
        times && times.points.length > 1 ? this.histogram(times, time) : null,
        this.documents(hits, fields, wish),
        this.pager(hits, total, wish),
      ),
    );
  }

  refused(found, wish) {
    if (found.error.status !== 400)
      return failure(found.error, () => found.retry(), 'The search failed');
    return h(
      'div',
      { class: 'notice bad', role: 'alert', key: 'refused' },
      icon('alert'),
      h(
        'div',
        {},
        h('strong', {}, 'The query was not understood. '),
        found.error.message,
        h(
          'div',
          { class: 'muted small' },
          'For example: ',
          h('code', {}, 'type:SHOW AND release_year:[2015 TO 2020]'),
          wish.q ? '. Words with special characters go in quotes.' : '',
        ),
      ),
    );
  }

  histogram(times, time) {
    const model = {
      kind: 'bar',
      title: 'Documents over time',
      description: `By ${time}; drag to select a range`,
      total: null,
      note: '',
      options: {},
      x: { type: 'time', label: time, interval: times.interval, plain: true },
      y: { label: 'Documents' },
      series: [{ name: 'Documents', points: times.points }],
    };
    return card(
      '',
      chart({
        key: 'times',
        model,
        height: 110,
        onselect: (from, to) =>
          this.router.set({
            range: `${Math.round(from)}~${Math.round(to)}`,
            time,
            from: null,
            open: null,
          }),
      }),
      { key: 'times' },
    );
  }

  filter(path, value, wanted) {
    this.router.set({ q: withFilter(this.wish().q, path, value, wanted), from: null, open: null });
  }

  documents(hits, fields, wish) {
    const columns = columnsFor(fields, wish.columns);
    const kinds = new Map(fields.map((entry) => [entry.path, entry.kind]));
    const sorter = (path) => {
      const down = wish.sort === `-${path}`;
      const on = down || wish.sort === path;
      return h(
        'th',
        {
          scope: 'col',
          key: path,
          class: kinds.get(path) === 'number' ? 'num' : null,
          'aria-sort': on ? (down ? 'descending' : 'ascending') : 'none',
        },
        h(
          'button',
          {
            type: 'button',
            class: on ? 'sort on' : 'sort',
            onclick: () =>
              this.router.set({
                sort: on ? (down ? path : null) : `-${path}`,
                from: null,
                open: null,
              }),
          },
          path,
          icon(on && !down ? 'up' : 'down', 12),
        ),
      );
    };
    return h(
      'div',
      { class: 'card flush', key: 'documents' },
      h(
        'div',
        { class: 'table-scroll', tabindex: 0, role: 'group', 'aria-label': 'Documents' },
        h(
          'table',
          { class: 'grid-table messages documents' },
          h('caption', { class: 'visually-hidden' }, `Documents of ${wish.index}`),
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, 'Open')),
              columns.map(sorter),
            ),
          ),
          h(
            'tbody',
            {},
            hits.map((hit) => this.row(hit, columns, kinds, wish)),
          ),
        ),
      ),
    );
  }

  row(hit, columns, kinds, wish) {
    const id = `${hit._index}/${hit._id}`;
    const cells = columns.map((path) => {
      const text = cellText(valueAt(hit._source, path));
      const cell = {
        key: path,
        class: kinds.get(path) === 'number' ? 'num' : 'doc-cell',
        title: text.length > 40 ? text.slice(0, 400) : null,
      };
      return h('td', cell, text.slice(0, 300));
    });
    return openRow({
      id,
      open: wish.open === id,
      label: `Document ${hit._id}`,
      router: this.router,
      cells,
      body: () => this.document(hit),
    });
  }

  /** A whole document; its values can be made filters. */
  document(hit) {
    return h(
      'div',
      { class: 'record' },
      h(
        'div',
        { class: 'record-head' },
        h('span', { class: 'muted small' }, `${hit._index}, id ${hit._id}`),
        h('span', { class: 'grow' }),
        copyButton(JSON.stringify(hit._source, null, 2), 'Copy the document'),
      ),
      jsonView(hit._source, (path, value, wanted) => this.filter(path, value, wanted)),
    );
  }

  pager(hits, total, wish) {
    return h(
      'div',
      { class: 'pager', key: 'pager' },
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          disabled: !wish.from,
          onclick: () =>
            this.router.set({ from: Math.max(0, wish.from - PAGE) || null, open: null }),
        },
        'Previous',
      ),
      h(
        'span',
        { class: 'muted small' },
        hits.length
          ? `${exact(wish.from + 1)} to ${exact(wish.from + hits.length)} of ${number(total)}`
          : 'No more documents',
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          disabled: wish.from + hits.length >= total || wish.from + PAGE * 2 > 10000,
          onclick: () => this.router.set({ from: wish.from + PAGE, open: null }),
        },
        'Next',
      ),
    );
  }
}
