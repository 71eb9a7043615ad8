// Dead letters: what could not be processed, and why, with the original beside the error.

import { h } from '../dom.js';
import { getJson, getLines, Resource, segment } from '../api.js';
import { exact, plural } from '../format.js';
import { href } from '../router.js';
import { alarm, card, facts, field, time } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { headersOf, keyPreview, readValue } from '../parts/json.js';
import { ListView } from '../parts/list.js';
import { empty, failure, loading } from '../parts/states.js';
import { amount, table } from '../parts/table.js';
import { valueBody } from './messages.js';

const PAGE = 25;
const PREFIX = 'wstream.error.';

export class DeadLetters extends ListView {
  what = 'The dead letters could not be loaded';

  whenEmpty = {
    title: 'No dead letters',
    text: 'A record that a transform refuses, or that no source can read, comes here with the reason. Nothing has failed so far.',
  };

  constructor(context) {
    super(context, { kind: 'dlq', field: 'topics', isShown: (row) => row.records });
  }

  list(rows) {
    const shown = table({
      label: 'Dead letter topics',
      rows,
      keyOf: (row) => row.topic,
      router: this.router,
      order: '-records',
      columns: [
        {
          id: 'topic',
          name: 'Topic',
          by: (row) => row.topic,
          cell: (row) =>
            h('a', { class: 'name letter', href: href('dead-letters', row.topic) }, row.topic),
        },
        { id: 'of', name: 'Records of', cell: (row) => sourceLink(row.topic) },
        amount('records', 'Dead letters', 'records', alarm),
      ],
    });
    return card('', shown, { flush: true, key: 'letters' });
  }
}

function sourceLink(topic) {
  const name = topic.replace(/\.dlq$/, '');
  return name === topic ? '\u2013' : h('a', { href: href('topics', name) }, name);
}

export class DeadLetterTopic {
  constructor({ router, redraw, name }) {
    Object.assign(this, { router, name });
    this.page = new Resource((signal) => this.load(signal), redraw).start();
    this.asked = this.back();
  }

  stop() {
    this.page.stop();
  }

  back() {
    return Math.max(0, Number(this.router.at.query.get('back')) || 0);
  }

  move() {
    if (this.back() === this.asked) return;
    this.asked = this.back();
    this.page.start();
  }

  async load(signal) {
    const topic = await getJson(`/api/v1/topics/${segment(this.name)}`, signal);
    const partitions = topic.partition_details || [];
    const each = Math.max(1, Math.ceil(PAGE / Math.max(partitions.length, 1)));
    const lists = await Promise.all(
      partitions.map(async (detail) => {
        const end = detail.high_watermark - each * this.back();
        const start = Math.max(detail.log_start, end - each);
        if (end <= start) return [];
        const query = new URLSearchParams({
          partition: detail.partition,
          offset: start,
          limit: end - start,
        });
        const records = await getLines(
          `/api/v1/topics/${segment(this.name)}/records?${query}`,
          signal,
        );
        return records.filter((record) => record.offset < end);
      }),
    );
    const records = lists.flat().sort((a, b) => b.timestamp - a.timestamp || b.offset - a.offset);
    return {
      records,
      older: partitions.some(
        (detail) => detail.high_watermark - each * (this.back() + 1) > detail.log_start,
      ),
    };
  }

  draw() {
    const { page } = this;
    if (page.state === 'error')
      return failure(
        page.error,
        () => page.retry(),
        `The dead letters of ${this.name} could not be read`,
      );
    if (page.value === null) return loading(8);
    const { records, older } = page.value;
    if (!records.length)
      return empty({ title: 'No dead letters here', text: `Nothing is in ${this.name}.` });
    const q = (this.router.at.query.get('q') || '').toLowerCase();
    const shown = q
      ? records.filter((record) => JSON.stringify(record).toLowerCase().includes(q))
      : records;
    return h(
      'div',
      { class: 'stack' },
      h(
        'div',
        { class: 'bar', key: 'bar' },
        field(
          'Filter',
          h('input', {
            type: 'search',
            value: this.router.at.query.get('q') || '',
            placeholder: 'Text in the error or the record',
            oninput: (event) => this.router.set({ q: event.target.value }, true),
          }),
          true,
        ),
        h(
          'a',
          { class: 'button', href: href('topics', this.name) },
          icon('topics'),
          'Open as a topic',
        ),
        h(
          'button',
          { type: 'button', class: 'button', onclick: () => page.start() },
          icon('refresh'),
          'Refresh',
        ),
      ),
      shown.length
        ? shown.map((record) => this.letter(record))
        : h('p', { class: 'muted pad', key: 'none' }, 'No dead letter here contains the text.'),
      h(
        'div',
        { class: 'pager', key: 'pager' },
        h(
          'button',
          {
            type: 'button',
            class: 'button',
            disabled: !this.back(),
            onclick: () => this.router.set({ back: this.back() - 1 || null }),
          },
          'Newer',
        ),
        h('span', { class: 'muted small' }, plural(shown.length, 'record'), ', newest first'),
        h(
          'button',
          {
            type: 'button',
            class: 'button',
            disabled: !older,
            onclick: () => this.router.set({ back: this.back() + 1 }),
          },
          'Older',
        ),
      ),
    );
  }

  letter(record) {
    const headers = headersOf(record);
    const error = Object.fromEntries(
      headers
        .filter(([name]) => name.startsWith(PREFIX))
        .map(([name, value]) => [name.slice(PREFIX.length), value]),
    );
    const own = headers.filter(([name]) => !name.startsWith(PREFIX));
    const code = error.code || 'failed';
    const origin =
      error.topic && error.offset
        ? h(
            'a',
            {
              href: href('topics', error.topic, {
                partition: error.partition,
                offset: error.offset,
              }),
            },
            `${error.topic} / ${error.partition} @ ${error.offset}`,
          )
        : error.topic;
    return h(
      'article',
      {
        class: 'card letter-card',
        key: `${record.partition}-${record.offset}`,
        'aria-label': `Dead letter ${record.partition}-${record.offset}`,
      },
      h(
        'div',
        { class: 'letter-why' },
        h(
          'div',
          { class: 'letter-head' },
          h('span', { class: 'badge bad' }, code),
          h('span', { class: 'muted small' }, time(record.timestamp)),
        ),
        h('p', { class: 'letter-message' }, error.message || 'No reason was recorded.'),
        facts([
          error.stage ? ['Stage', error.stage] : null,
          error.pipeline
            ? ['Pipeline', h('a', { href: href('pipelines', error.pipeline) }, error.pipeline)]
            : null,
          error.transform
            ? [
                'Transform',
                [
                  h('a', { href: href('transforms', error.transform) }, error.transform),
                  error.version ? ` version ${error.version}` : '',
                ],
              ]
            : null,
          error.step ? ['Step', error.step] : null,
          error.file ? ['File', error.file] : null,
          error.line ? ['Line', exact(Number(error.line))] : null,
          origin ? ['Original', origin] : null,
          error.timestamp ? ['Original time', time(Number(error.timestamp))] : null,
          error.attempts ? ['Attempts', error.attempts] : null,
        ]),
      ),
      h(
        'div',
        { class: 'letter-original' },
        h(
          'div',
          { class: 'letter-head' },
          h('h2', { class: 'minor' }, 'Original record'),
          h('span', { class: 'grow' }),
          h('span', { class: 'muted small mono' }, `key ${keyPreview(record)}`),
        ),
        valueBody(readValue(record)),
        own.length
          ? h(
              'dl',
              { class: 'facts tight' },
              own.map(([name, value], i) =>
                h(
                  'div',
                  { class: 'fact', key: `${i} ${name}` },
                  h('dt', {}, name),
                  h('dd', { class: 'mono' }, value),
                ),
              ),
            )
          : null,
      ),
    );
  }
}
