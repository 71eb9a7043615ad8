// Small pieces that every view uses: badges, tiles, definition lists, copy buttons, segments.

import { h } from '../dom.js';
import { ago, bytes, exact, localTime, number, rate, utcTime } from '../format.js';
import { icon } from './icons.js';

const STATES = {
  flowing: ['good', 'flowing'],
  idle: ['calm', 'idle'],
  waiting: ['warn', 'waiting'],
  failed: ['bad', 'failed'],
  failing: ['bad', 'failing'],
  done: ['done', 'done'],
  reading: ['good', 'reading'],
  following: ['good', 'following'],
  running: ['good', 'running'],
  stopped: ['calm', 'stopped'],
};

/** A state as a coloured dot and a word. */
export function stateBadge(state) {
  const [tone, word] = STATES[state] || ['calm', state || 'unknown'];
  return h(
    'span',
    { class: `badge ${tone}`, title: state === 'waiting' ? 'waiting on a sink' : null },
    h('span', { class: 'dot', 'aria-hidden': 'true' }),
    word,
  );
}

export function toneOf(state) {
  return (STATES[state] || ['calm'])[0];
}

export const num = (value) => h('span', { class: 'figure', title: exact(value) }, number(value));
export const size = (value) =>
  h('span', { class: 'figure', title: `${exact(value)} bytes` }, bytes(value));
export const speed = (value) =>
  h(
    'span',
    { class: value ? 'figure' : 'figure quiet', title: `${exact(value)} records per second` },
    rate(value),
  );
export const time = (ms) =>
  h(
    'time',
    {
      class: 'figure',
      title: utcTime(ms),
      datetime: Number.isFinite(ms) ? new Date(ms).toISOString() : null,
    },
    localTime(ms),
  );
export const since = (ms, now = Date.now()) => h('time', { title: utcTime(ms) }, ago(now - ms));

/** A count that matters only when it is not zero. */
export function alarm(value, tone = 'bad') {
  return value
    ? h('span', { class: `badge ${tone}`, title: exact(value) }, number(value))
    : h('span', { class: 'quiet figure' }, '0');
}

export function tile(label, value, detail, title, key = label) {
  return h(
    'div',
    { class: 'tile', key },
    h('div', { class: 'tile-label' }, label),
    h('div', { class: 'tile-value', title: title || null }, value),
    h('div', { class: 'tile-detail' }, detail === undefined || detail === null ? '\u00a0' : detail),
  );
}

/** Names and values, in two columns. */
export function facts(rows) {
  return h(
    'dl',
    { class: 'facts' },
    rows
      .filter(Boolean)
      .map(([name, value]) =>
        h('div', { class: 'fact', key: name }, h('dt', {}, name), h('dd', {}, value)),
      ),
  );
}

export function copyButton(text, label = 'Copy') {
  return h(
    'button',
    {
      type: 'button',
      class: 'button icon-only',
      'aria-label': label,
      title: label,
      onclick: async (event) => {
        const button = event.currentTarget;
        try {
          await navigator.clipboard.writeText(text);
          button.classList.add('copied');
          setTimeout(() => button.classList.remove('copied'), 1200);
        } catch {
          // No permission for the clipboard: the text can still be selected by hand.
        }
      },
    },
    icon('copy'),
  );
}

/** Links that look like tabs; which one is open is in the address. */
export function tabs(label, items) {
  return h(
    'nav',
    { class: 'tabs', 'aria-label': label },
    items.map((item) =>
      h(
        'a',
        {
          key: item.name,
          href: item.href,
          class: item.on ? 'tab on' : 'tab',
          'aria-current': item.on ? 'page' : null,
        },
        item.name,
        item.count === undefined ? null : h('span', { class: 'tab-count' }, number(item.count)),
      ),
    ),
  );
}

/** A field with its words before it. */
export function field(label, control, grow = false) {
  return h(
    'label',
    { class: grow ? 'field grow' : 'field' },
    h('span', { class: 'field-label' }, label),
    control,
  );
}

export function card(title, body, { actions, id, flush, key } = {}) {
  return h(
    'section',
    { class: flush ? 'card flush' : 'card', 'aria-label': title, key: key || id || title },
    title || actions
      ? h(
          'div',
          { class: 'card-head' },
          h('h2', {}, title),
          h('div', { class: 'grow' }),
          actions || null,
        )
      : null,
    body,
  );
}

/** Something that needs a reader's eye, above the data. */
export function notice(what, text, key = what) {
  return h(
    'div',
    { class: 'notice bad', role: 'alert', key },
    icon('alert'),
    h('div', {}, h('strong', {}, `${what} `), text),
  );
}

/** A value or a list of values, as a list. */
export function listOf(value) {
  return value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** A thin bar that shows a part of a whole. */
export function meter(part, whole, label) {
  const share = whole > 0 ? Math.min(Math.max(part / whole, 0), 1) : 0;
  return h(
    'span',
    {
      class: 'meter',
      role: 'img',
      'aria-label': label || `${Math.round(share * 100)} %`,
      title: label || null,
    },
    h('span', { class: 'meter-fill', style: { width: `${(share * 100).toFixed(1)}%` } }),
  );
}

export const DEAD_LETTER = /\.dlq$/;
