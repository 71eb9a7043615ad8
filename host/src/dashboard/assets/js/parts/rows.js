// Rows that open: a line of cells, and below it the whole thing when it is asked for.

import { h } from '../dom.js';
import { icon } from './icons.js';

/** `cells` are of the closed row; `body()` is drawn below them, across all, when it is open. */
export function openRow({ id, open, label, router, cells, body }) {
  const toggle = () => router.set({ open: open ? null : id }, true);
  const button = {
    type: 'button',
    class: 'button icon-only bare',
    'aria-expanded': String(open),
    'aria-label': label,
    onclick: toggle,
  };
  const row = {
    key: id,
    class: open ? 'row open' : 'row',
    // Marking text is no wish to open.
    onclick: (event) => {
      if (!event.target.closest('a, button') && !String(window.getSelection())) toggle();
    },
  };
  return [
    h(
      'tr',
      row,
      h('td', { class: 'opener' }, h('button', button, icon(open ? 'down' : 'right', 14))),
      cells,
    ),
    open
      ? h(
          'tr',
          { key: `${id} open`, class: 'opened' },
          h('td', { colspan: cells.length + 1 }, body()),
        )
      : null,
  ];
}
