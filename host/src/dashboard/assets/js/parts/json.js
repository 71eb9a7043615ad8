// JSON as a tree of coloured text: indented, exact, never parsed as markup.

import { h } from '../dom.js';

const NODES_MAX = 4000;
const LINE_MAX = 72;

/** Draws any JSON value; `onvalue(path, value)` adds filter buttons beside scalars. */
export function jsonView(value, onvalue) {
  const budget = { left: NODES_MAX };
  return h(
    'pre',
    { class: 'json', tabindex: 0, 'aria-label': 'JSON' },
    draw(value, '', 0, budget, onvalue),
  );
}

function draw(value, path, depth, budget, onvalue) {
  budget.left -= 1;
  if (budget.left < 0) return h('span', { class: 'j-more' }, '\u2026');
  if (value === null || typeof value !== 'object') return scalar(value, path, onvalue);
  const list = Array.isArray(value);
  const entries = list ? value.map((item) => [null, item]) : Object.entries(value);
  const [open, close] = list ? '[]' : '{}';
  if (!entries.length) return `${open}${close}`;
  const flat =
    list &&
    entries.every(([, item]) => item === null || typeof item !== 'object') &&
    JSON.stringify(value).length < LINE_MAX;
  const pad = '  '.repeat(depth + 1);
  return [
    open,
    entries.map(([name, item], i) => [
      flat ? (i ? ' ' : '') : `\n${pad}`,
      name === null ? null : [h('span', { class: 'j-key' }, JSON.stringify(name)), ': '],
      draw(
        item,
        name === null ? path : path ? `${path}.${name}` : name,
        depth + 1,
        budget,
        onvalue,
      ),
      i < entries.length - 1 ? ',' : '',
    ]),
    flat ? close : `\n${'  '.repeat(depth)}${close}`,
  ];
}

function scalar(value, path, onvalue) {
  const kind = value === null ? 'null' : typeof value;
  const text = h('span', { class: `j-${kind}` }, JSON.stringify(value) ?? 'undefined');
  if (!onvalue || !path || value === null || String(value).length > 200) return text;
  const button = (wanted) =>
    h(
      'button',
      {
        type: 'button',
        class: 'j-filter',
        'aria-label': `Filter ${wanted ? 'for' : 'out'} ${path} ${value}`,
        title: wanted ? 'Filter for this value' : 'Filter out this value',
        onclick: () => onvalue(path, value, wanted),
      },
      wanted ? '+' : '\u2212',
    );
  return h(
    'span',
    { class: 'j-scalar' },
    text,
    h('span', { class: 'j-buttons' }, button(true), button(false)),
  );
}

/** The value of a record: parsed when it is JSON, else its text. */
export function readValue(record) {
  if (record.value_json !== undefined) return { json: record.value_json };
  if (typeof record.value === 'string') {
    const text = record.value.trimStart();
    if (text.startsWith('{') || text.startsWith('[')) {
      try {
        return { json: JSON.parse(record.value) };
      } catch {
        return { text: record.value };
      }
    }
    return { text: record.value };
  }
  if (typeof record.value_base64 === 'string') return { base64: record.value_base64 };
  return { absent: true };
}

export function valuePreview(record) {
  if (typeof record.value === 'string') return record.value.slice(0, 400);
  if (record.value_json !== undefined) return JSON.stringify(record.value_json).slice(0, 400);
  if (typeof record.value_base64 === 'string') return `base64 ${record.value_base64.slice(0, 200)}`;
  return 'null';
}

export function keyPreview(record) {
  if (typeof record.key === 'string') return record.key;
  if (typeof record.key_base64 === 'string') return `base64 ${record.key_base64}`;
  return '\u2013';
}

/** Headers as pairs of texts; a value that is not UTF-8 stays base64. */
export function headersOf(record) {
  return (Array.isArray(record.headers) ? record.headers : [])
    .filter(Array.isArray)
    .map(([name, value]) => {
      if (value === null || value === undefined) return [String(name), ''];
      return [String(name), typeof value === 'object' ? `base64 ${value.base64}` : String(value)];
    });
}
