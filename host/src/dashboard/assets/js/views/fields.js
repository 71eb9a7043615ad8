// The list of fields beside the documents: columns to choose, values to filter by.

import { h } from '../dom.js';
import { Resource } from '../api.js';
import { plural } from '../format.js';
import { icon } from '../parts/icons.js';

const TOP = 5;

/** The fields with their kinds; an open one shows its top values and their share. */
export function fieldList(view, fields, total, wish) {
  return h(
    'aside',
    { class: 'field-list', key: 'fields', 'aria-label': 'Fields' },
    h('h2', { class: 'aside-title' }, 'Fields'),
    h(
      'ul',
      {},
      fields.map((entry) => {
        const open = wish.fields === entry.path;
        const column = wish.columns.includes(entry.path);
        return h(
          'li',
          { key: entry.path, class: open ? 'field-item open' : 'field-item' },
          h(
            'div',
            { class: 'field-row' },
            h(
              'button',
              {
                type: 'button',
                class: 'field-name',
                'aria-expanded': String(open),
                title: entry.path,
                onclick: () => view.router.set({ field: open ? null : entry.path }, true),
              },
              h(
                'span',
                { class: `kind ${entry.kind}`, 'aria-hidden': 'true' },
                entry.kind.charAt(0),
              ),
              h('span', { class: 'field-path' }, entry.path),
            ),
            h(
              'button',
              {
                type: 'button',
                class: column ? 'button icon-only bare on' : 'button icon-only bare',
                'aria-pressed': String(column),
                'aria-label': `Column ${entry.path}`,
                title: column ? 'Remove the column' : 'Show as a column',
                onclick: () =>
                  view.router.set(
                    {
                      cols: (column
                        ? wish.columns.filter((path) => path !== entry.path)
                        : [...wish.columns, entry.path]
                      ).join(','),
                    },
                    true,
                  ),
              },
              icon(column ? 'minus' : 'plus', 12),
            ),
          ),
          open ? topValues(view, entry, total, wish) : null,
        );
      }),
    ),
  );
}

function topValues(view, entry, total, wish) {
  if (!view.tops.has(entry.path)) {
    view.tops.set(
      entry.path,
      new Resource(
        (signal) =>
          view
            .ask(
              wish,
              { size: 0, aggs: { top: { terms: { field: entry.path, size: TOP } } } },
              signal,
            )
            .then((answer) => answer.aggregations.top.buckets),
        view.redraw,
      ).start(),
    );
  }
  const top = view.tops.get(entry.path);
  if (top.state === 'error')
    return h('p', { class: 'muted small top-values' }, `No top values: ${top.error.message}`);
  if (top.value === null) return h('p', { class: 'muted small top-values' }, 'Counting.');
  if (!top.value.length)
    return h('p', { class: 'muted small top-values' }, 'No values that can be counted.');
  return h(
    'ul',
    { class: 'top-values' },
    top.value.map((bucket) => {
      const value = bucket.key_as_string ?? bucket.key;
      const share = total ? bucket.doc_count / total : 0;
      return h(
        'li',
        { key: String(value) },
        h(
          'div',
          { class: 'top-line' },
          h('span', { class: 'top-name', title: String(value) }, String(value)),
          h(
            'span',
            { class: 'figure muted small', title: plural(bucket.doc_count, 'document') },
            `${(share * 100).toFixed(1)} %`,
          ),
          h(
            'button',
            {
              type: 'button',
              class: 'j-filter',
              'aria-label': `Filter for ${entry.path} ${value}`,
              title: 'Filter for this value',
              onclick: () => view.filter(entry.path, bucket.key, true),
            },
            '+',
          ),
          h(
            'button',
            {
              type: 'button',
              class: 'j-filter',
              'aria-label': `Filter out ${entry.path} ${value}`,
              title: 'Filter out this value',
              onclick: () => view.filter(entry.path, bucket.key, false),
            },
            '\u2212',
          ),
        ),
        h(
          'span',
          { class: 'top-bar', 'aria-hidden': 'true' },
          h('span', { class: 'top-fill', style: { width: `${(share * 100).toFixed(1)}%` } }),
        ),
      );
    }),
  );
}
