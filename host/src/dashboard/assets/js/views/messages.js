// The messages of a topic: the newest first, from an offset or a time, or as they arrive.

import { h } from '../dom.js';
import { getLines, Resource, segment } from '../api.js';
import { exact, plural, utcTime } from '../format.js';
import { href } from '../router.js';
import { Stream } from '../live.js';
import { copyButton, field, time } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { headersOf, jsonView, keyPreview, readValue, valuePreview } from '../parts/json.js';
import { openRow } from '../parts/rows.js';
import { empty, failure, loading } from '../parts/states.js';

const PAGE = 50;
const TAIL_MAX = 500;

export class Messages {
  constructor({ router, redraw, topic, detail }) {
    Object.assign(this, { router, redraw, topic, detail });
    this.page = null;
    this.asked = '';
    this.tail = null;
  }

  stop() {
    if (this.page) this.page.stop();
    this.endTail();
  }

  endTail() {
    if (this.tail) this.tail.stream.close();
    this.tail = null;
  }

  /** What the address asks for. */
  wish() {
    const { query } = this.router.at;
    return {
      partition: query.get('partition'),
      offset: query.get('offset'),
      at: query.get('at'),
      back: Math.max(0, Number(query.get('back')) || 0),
      live: query.get('live') === '1',
      open: query.get('open'),
      q: (query.get('q') || '').toLowerCase(),
    };
  }

  draw(topic) {
    const wish = this.wish();
    if (wish.live) this.follow(wish);
    else {
      this.endTail();
      this.fetch(topic, wish);
    }
    return h(
      'div',
      { class: 'stack' },
      this.controls(topic, wish),
      wish.live ? this.tailView(wish) : this.pageView(topic, wish),
    );
  }

  fetch(topic, wish) {
    const asked = JSON.stringify([wish.partition, wish.offset, wish.at, wish.back]);
    if (this.asked === asked) return;
    this.asked = asked;
    const before = this.page;
    if (before) before.stop();
    const details = topic.partition_details || [];
    this.page = new Resource((signal) => this.load(details, wish, signal), this.redraw);
    // The page before stays until the next one is there, so that nothing jumps.
    this.page.value = before ? before.value : null;
    this.page.start();
  }

  async load(details, wish, signal) {
    const path = (parts) =>
      `/api/v1/topics/${segment(this.topic)}/records?${new URLSearchParams(parts)}`;
    const chosen = details.filter(
      (detail) => wish.partition === null || String(detail.partition) === wish.partition,
    );
    if (wish.at !== null || wish.offset !== null) {
      const from = wish.at !== null ? { timestamp: wish.at } : { offset: wish.offset };
      const lists = await Promise.all(
        chosen.map((detail) =>
          getLines(path({ partition: detail.partition, ...from, limit: PAGE }), signal),
        ),
      );
      return lists.flat().sort(byTime).slice(0, PAGE);
    }
    // The newest page ends at each high watermark; older pages end where the one after them began.
    const each = Math.max(1, Math.ceil(PAGE / Math.max(chosen.length, 1)));
    const lists = await Promise.all(
      chosen.map(async (detail) => {
        const end = detail.high_watermark - each * wish.back;
        const start = Math.max(detail.log_start, end - each);
        if (end <= start) return [];
        const records = await getLines(
          path({ partition: detail.partition, offset: start, limit: end - start }),
          signal,
        );
        return records.filter((record) => record.offset < end);
      }),
    );
    return lists.flat().sort(byTime).reverse();
  }

  controls(topic, wish) {
    const set = (changes) =>
      this.router.set({ offset: null, at: null, back: null, open: null, ...changes });
    const partitions = (topic.partition_details || []).map((detail) => String(detail.partition));
    const seek = wish.offset !== null ? 'offset' : wish.at !== null ? 'time' : 'newest';
    return h(
      'div',
      { class: 'bar', key: 'controls' },
      field(
        'Partition',
        h(
          'select',
          {
            value: wish.partition ?? '',
            disabled: wish.live,
            onchange: (event) => set({ partition: event.target.value || null }),
          },
          h('option', { value: '' }, 'All'),
          partitions.map((name) => h('option', { key: name, value: name }, name)),
        ),
      ),
      field(
        'Start at',
        h(
          'select',
          {
            value: seek,
            disabled: wish.live,
            onchange: (event) => set(startAt(event.target.value, topic, wish)),
          },
          h('option', { value: 'newest' }, 'Newest'),
          h('option', { value: 'offset' }, 'Offset'),
          h('option', { value: 'time' }, 'Time'),
        ),
      ),
      seek === 'offset'
        ? field(
            'Offset',
            h('input', {
              type: 'number',
              min: 0,
              value: wish.offset,
              onchange: (event) => set({ offset: event.target.value || '0' }),
            }),
          )
        : null,
      seek === 'time'
        ? field(
            'Time',
            h('input', {
              type: 'datetime-local',
              step: 1,
              value: forInput(wish.at),
              onchange: (event) => set({ at: String(new Date(event.target.value).getTime()) }),
            }),
          )
        : null,
      field(
        'Filter',
        h('input', {
          type: 'search',
          value: this.router.at.query.get('q') || '',
          placeholder: 'Text in key, value or headers',
          oninput: (event) => this.router.set({ q: event.target.value }, true),
        }),
        true,
      ),
      h(
        'button',
        {
          type: 'button',
          class: wish.live ? 'button on' : 'button',
          'aria-pressed': String(wish.live),
          onclick: () =>
            this.router.set({
              live: wish.live ? null : '1',
              offset: null,
              at: null,
              back: null,
              open: null,
            }),
        },
        icon(wish.live ? 'close' : 'play'),
        wish.live ? 'Stop live tail' : 'Live tail',
      ),
      wish.live
        ? h(
            'button',
            {
              type: 'button',
              class: 'button',
              'aria-pressed': String(Boolean(this.tail && this.tail.held)),
              onclick: () => this.pause(),
            },
            icon(this.tail && this.tail.held ? 'play' : 'pause'),
            this.tail && this.tail.held
              ? `Resume${this.tail.held.length ? ` (${exact(this.tail.held.length)} new)` : ''}`
              : 'Pause',
          )
        : h(
            'button',
            {
              type: 'button',
              class: 'button',
              onclick: () => {
                this.asked = '';
                this.redraw();
              },
            },
            icon('refresh'),
            'Refresh',
          ),
    );
  }

  pageView(topic, wish) {
    const { page } = this;
    if (page.state === 'error')
      return failure(page.error, () => page.retry(), 'The messages could not be read');
    if (page.value === null) return loading(10);
    if (!page.value.length && !wish.back) {
      return topic.records && (wish.offset !== null || wish.at !== null)
        ? h(
            'p',
            { class: 'muted pad', key: 'past' },
            'There is no record at or after this point yet.',
          )
        : empty({
            title: 'No messages yet',
            text: 'Write one:',
            command: `echo '{"value":"hello"}' | wstream produce ${this.topic}`,
          });
    }
    return [this.list(page.value, wish), this.pager(topic, wish, page.value)];
  }

  pager(topic, wish, records) {
    const seeking = wish.offset !== null || wish.at !== null;
    if (seeking && wish.partition === null) return null;
    const last = records.length ? records[records.length - 1].offset : null;
    const starts = (topic.partition_details || []).filter(
      (detail) => wish.partition === null || String(detail.partition) === wish.partition,
    );
    const each = Math.max(1, Math.ceil(PAGE / Math.max(starts.length, 1)));
    const more = seeking
      ? last !== null && starts.some((detail) => last + 1 < detail.high_watermark)
      : starts.some((detail) => detail.high_watermark - each * (wish.back + 1) > detail.log_start);
    const onward = seeking
      ? { at: null, offset: last === null ? null : last + 1, open: null }
      : { back: wish.back + 1, open: null };
    const before = seeking
      ? {
          at: null,
          offset: Math.max(0, Number(records.length ? records[0].offset : wish.offset) - PAGE),
          open: null,
        }
      : { back: wish.back - 1 || null, open: null };
    const canBefore = seeking ? records.length > 0 && records[0].offset > 0 : wish.back > 0;
    return h(
      'div',
      { class: 'pager', key: 'pager' },
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          disabled: !canBefore,
          onclick: () => this.router.set(before),
        },
        seeking ? 'Earlier' : 'Newer',
      ),
      h(
        'span',
        { class: 'muted small' },
        plural(records.length, 'record'),
        seeking ? ', oldest first' : ', newest first',
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          disabled: !more,
          onclick: () => this.router.set(onward),
        },
        seeking ? 'Later' : 'Older',
      ),
    );
  }

  follow() {
    if (this.tail) return;
    const tail = { records: [], held: null, pending: [], stream: null, missing: null, end: null };
    this.tail = tail;
    this.asked = '';
    tail.stream = new Stream(
      `/api/v1/topics/${segment(this.topic)}/records?offset=latest&follow=true`,
      {
        record: (record) => {
          const into = tail.held || tail.records;
          into.unshift(record);
          if (into.length > TAIL_MAX) into.length = TAIL_MAX;
          this.soon();
        },
        missing: (missing) => {
          tail.missing = missing.message;
          this.soon();
        },
        // It would only be opened again, and then follow a new topic of the name.
        end: (end) => {
          tail.end = [end.message, end.hint].filter(Boolean).join(': ');
          tail.stream.close();
          this.redraw();
        },
      },
      this.redraw,
    );
  }

  // Thousands of records a second become four drawings a second.
  soon() {
    if (this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      this.redraw();
    }, 250);
  }

  pause() {
    const { tail } = this;
    if (!tail) return;
    if (tail.held) {
      tail.records = tail.held.concat(tail.records).slice(0, TAIL_MAX);
      tail.held = null;
    } else {
      tail.held = [];
    }
    this.redraw();
  }

  tailView(wish) {
    const { tail } = this;
    const told = [tail.missing, tail.end].filter(Boolean);
    const notes = told.map((note) => h('p', { class: 'muted pad', role: 'status', key: note }, note));
    if (tail.records.length) return [...notes, this.list(tail.records, wish)];
    if (tail.end) return notes;
    const words =
      tail.stream.state === 'reconnecting'
        ? 'Reconnecting to the live tail.'
        : 'Listening. Records appear here as they are written.';
    return h(
      'div',
      { class: 'listening', role: 'status', key: 'listening' },
      h('span', { class: 'pulse', 'aria-hidden': 'true' }),
      words,
    );
  }

  list(records, wish) {
    const shown = wish.q ? records.filter((record) => matches(record, wish.q)) : records;
    if (!shown.length)
      return h('p', { class: 'muted pad', key: 'no-match' }, 'No message here contains the text.');
    return h(
      'div',
      { class: 'card flush', key: 'list' },
      h(
        'div',
        { class: 'table-scroll', tabindex: 0, role: 'group', 'aria-label': 'Messages' },
        h(
          'table',
          { class: 'grid-table messages' },
          h('caption', { class: 'visually-hidden' }, `Messages of ${this.topic}`),
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['', 'Time', 'Partition', 'Offset', 'Key', 'Value'].map((name, i) =>
                h(
                  'th',
                  { scope: 'col', class: i === 2 || i === 3 ? 'num' : null },
                  name || h('span', { class: 'visually-hidden' }, 'Open'),
                ),
              ),
            ),
          ),
          h(
            'tbody',
            {},
            shown.map((record) => this.row(record, wish)),
          ),
        ),
      ),
    );
  }

  row(record, wish) {
    const id = `${record.partition}-${record.offset}`;
    const cells = [
      h('td', {}, time(record.timestamp)),
      h('td', { class: 'num' }, exact(record.partition)),
      h('td', { class: 'num' }, exact(record.offset)),
      h('td', { class: 'mono key' }, keyPreview(record)),
      h('td', { class: 'mono value' }, valuePreview(record)),
    ];
    return openRow({
      id,
      open: wish.open === id,
      label: `Record ${id}`,
      router: this.router,
      cells,
      body: () => recordView(record, this.topic),
    });
  }
}

/** A whole record: its value as a tree or as text, its headers, where it is. */
export function recordView(record, topic) {
  const value = readValue(record);
  const headers = headersOf(record);
  const text =
    value.json !== undefined
      ? JSON.stringify(value.json, null, 2)
      : (value.text ?? value.base64 ?? '');
  return h(
    'div',
    { class: 'record' },
    h(
      'div',
      { class: 'record-head' },
      h(
        'span',
        { class: 'muted small' },
        `${record.topic || topic}, partition ${record.partition}, offset ${record.offset}, ${utcTime(record.timestamp)}`,
      ),
      h('span', { class: 'grow' }),
      h(
        'a',
        {
          class: 'small',
          href: href('topics', topic, { partition: record.partition, offset: record.offset }),
        },
        'Link',
      ),
      copyButton(text, 'Copy the value'),
    ),
    h('div', { class: 'record-part' }, h('h3', {}, 'Value'), valueBody(value)),
    headers.length
      ? h(
          'div',
          { class: 'record-part' },
          h('h3', {}, 'Headers'),
          h(
            'dl',
            { class: 'facts tight' },
            headers.map(([name, content], i) =>
              h(
                'div',
                { class: 'fact', key: `${i} ${name}` },
                h('dt', {}, name),
                h('dd', { class: 'mono' }, content),
              ),
            ),
          ),
        )
      : null,
  );
}

export function valueBody(value) {
  if (value.json !== undefined) return jsonView(value.json);
  if (value.absent) return h('p', { class: 'muted' }, 'null (no value)');
  return h(
    'pre',
    { class: 'json wrap', tabindex: 0, 'aria-label': 'Value' },
    value.text ?? `base64 ${value.base64}`,
  );
}

function matches(record, q) {
  return [
    keyPreview(record),
    typeof record.value === 'string' ? record.value : valuePreview(record),
    ...headersOf(record).flat(),
  ].some((text) => text.toLowerCase().includes(q));
}

function byTime(a, b) {
  return a.timestamp - b.timestamp || a.partition - b.partition || a.offset - b.offset;
}

function startAt(kind, topic, wish) {
  if (kind === 'newest') return {};
  if (kind === 'time') return { at: String(Date.now() - 15 * 60 * 1000) };
  const detail = (topic.partition_details || []).find(
    (entry) => wish.partition === null || String(entry.partition) === wish.partition,
  );
  return {
    offset: String(detail ? detail.log_start : 0),
    partition: wish.partition ?? (detail ? detail.partition : null),
  };
}

function forInput(ms) {
  const d = new Date(Number(ms) - new Date(Number(ms)).getTimezoneOffset() * 60000);
  return Number.isNaN(d.getTime()) ? '' : d.toISOString().slice(0, 19);
}
