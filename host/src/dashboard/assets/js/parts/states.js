// The states a view has beside its data: loading, empty, failed.

import { h } from '../dom.js';
import { icon } from './icons.js';
import { copyButton } from './bits.js';

/** Grey bars where the data will be; they only show when loading takes a while. */
export function loading(rows = 6, label = 'Loading') {
  return h(
    'div',
    { class: 'skeleton', role: 'status', 'aria-label': label, key: 'loading' },
    Array.from({ length: rows }, (_, i) =>
      h('div', { class: 'bone', style: { width: `${[92, 78, 85, 64, 88, 71][i % 6]}%` } }),
    ),
  );
}

/** Says what would fill the view and the command that does. */
export function empty({ title, text, command, action }) {
  return h(
    'div',
    { class: 'state', key: 'empty' },
    h('div', { class: 'state-icon' }, icon('inbox', 28)),
    h('h2', {}, title),
    text ? h('p', {}, text) : null,
    command
      ? h(
          'div',
          { class: 'command' },
          h('code', {}, command),
          copyButton(command, 'Copy the command'),
        )
      : null,
    action || null,
  );
}

/** Says what failed, why, and what to do. */
export function failure(error, retry, what = 'This could not be loaded') {
  return h(
    'div',
    { class: 'state failed', role: 'alert', key: 'failure' },
    h('div', { class: 'state-icon' }, icon('alert', 28)),
    h('h2', {}, what),
    h('p', {}, error.message || String(error)),
    error.hint ? h('p', { class: 'muted' }, error.hint) : null,
    error.code
      ? h(
          'p',
          { class: 'muted small' },
          h('code', {}, error.code),
          error.status ? ` (status ${error.status})` : '',
        )
      : null,
    retry
      ? h(
          'button',
          { type: 'button', class: 'button', onclick: retry },
          icon('refresh'),
          'Try again',
        )
      : null,
  );
}

/** Chooses among a resource's four states. */
export function stateOf(resource, { what, rows, isEmpty, whenEmpty, draw }) {
  if (resource.state === 'error' && resource.value === null)
    return failure(resource.error, () => resource.retry(), what);
  if (resource.value === null) return loading(rows);
  if (isEmpty && isEmpty(resource.value)) return empty(whenEmpty);
  return draw(resource.value);
}
