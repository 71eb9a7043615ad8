// Sortable tables; the order is part of the address. At most 500 rows are drawn at a time.

import { h } from '../dom.js';
import { exact } from '../format.js';
import { icon } from './icons.js';

const ROWS_MAX = 500;

/** A column of a number that rows have by the name `of`; `show` writes it. */
export function amount(id, name, of, show, more) {
  const cell = (row) => show(row[of]);
  return { id, name, num: true, by: (row) => row[of] || 0, cell, ...more };
}

/**
 * `columns`: `{ id, name, num, cell(row), by(row), wide, low }`; a column with `by` can be sorted.
 * With a `router` the order is part of the address, and can be changed; `order` is `id` or `-id`,
 * as long as the address has none.
 */
export function table({ label, columns, rows, router, order, keyOf, rowClass }) {
  const sort = (router && router.at.query.get('sort')) || order;
  const onsort = router && ((next) => router.set({ sort: next }, true));
  const shownColumns = columns.filter(Boolean);
  const sorted = sortRows(shownColumns, rows, sort);
  const shown = sorted.slice(0, ROWS_MAX);
  return h(
    'div',
    { class: 'table-frame', key: label },
    h(
      'div',
      { class: 'table-scroll', tabindex: 0, role: 'group', 'aria-label': label },
      h(
        'table',
        { class: 'grid-table' },
        h('caption', { class: 'visually-hidden' }, label),
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            shownColumns.map((column) => head(column, sort, onsort)),
          ),
        ),
        h(
          'tbody',
          {},
          shown.map((row) =>
            h(
              'tr',
              { key: keyOf(row), class: rowClass ? rowClass(row) : null },
              shownColumns.map((column, i) =>
                i === 0
                  ? h('th', { scope: 'row', class: cellClass(column) }, column.cell(row))
                  : h(
                      'td',
                      { class: cellClass(column), 'data-name': column.name },
                      column.cell(row),
                    ),
              ),
            ),
          ),
        ),
      ),
    ),
    sorted.length > shown.length
      ? h(
          'p',
          { class: 'muted small pad' },
          `The first ${exact(shown.length)} of ${exact(sorted.length)}: filter to see the others.`,
        )
      : null,
  );
}

function cellClass(column) {
  return (
    [column.num ? 'num' : '', column.wide ? 'wide' : '', column.low ? 'low' : '']
      .filter(Boolean)
      .join(' ') || null
  );
}

function head(column, sort, onsort) {
  const down = sort === `-${column.id}`;
  const on = down || sort === column.id;
  if (!column.by || !onsort)
    return h('th', { scope: 'col', class: cellClass(column), key: column.id }, column.name);
  // Numbers are most often wanted largest first, names from A to Z.
  const next = on ? (down ? column.id : `-${column.id}`) : column.num ? `-${column.id}` : column.id;
  return h(
    'th',
    {
      scope: 'col',
      class: cellClass(column),
      key: column.id,
      'aria-sort': on ? (down ? 'descending' : 'ascending') : 'none',
    },
    h(
      'button',
      { type: 'button', class: on ? 'sort on' : 'sort', onclick: () => onsort(next) },
      column.name,
      icon(on && !down ? 'up' : 'down', 12),
    ),
  );
}

function sortRows(columns, rows, sort) {
  const id = (sort || '').replace(/^-/, '');
  const column = columns.find((candidate) => candidate.id === id && candidate.by);
  if (!column) return rows;
  const sign = sort.startsWith('-') ? -1 : 1;
  return rows.slice().sort((a, b) => {
    const left = column.by(a);
    const right = column.by(b);
    if (left === right) return 0;
    if (left === null || left === undefined) return 1;
    if (right === null || right === undefined) return -1;
    return (typeof left === 'string' ? left.localeCompare(right) : left - right) * sign;
  });
}
