// What a module logs, as it comes: the newest first, the last 500 lines, with what was missed.

import { h } from '../dom.js';
import { segment } from '../api.js';
import { exact, localTime, plural, utcTime } from '../format.js';
import { Stream } from '../live.js';
import { field } from '../parts/bits.js';
import { icon } from '../parts/icons.js';

export const LINES_MAX = 500;
const DRAW_MS = 250;
const LEVELS = new Set(['error', 'warn', 'info', 'debug', 'trace']);

/** The last lines, the newest first. The node begins each connection with those it has kept. */
export class Lines {
  constructor() {
    this.all = [];
    this.count = 0;
    this.connection = 0;
  }

  add(line, connection) {
    // The kept ones come again: nothing stays twice, and nothing goes before they are there.
    if (connection !== this.connection) this.all = [];
    this.connection = connection;
    this.count += 1;
    this.all.unshift({ ...line, id: this.count });
    if (this.all.length > LINES_MAX) this.all.length = LINES_MAX;
  }
}

export class ModuleLog {
  constructor({ router, redraw, name }) {
    Object.assign(this, { router, redraw, name });
    this.lines = new Lines();
    this.held = null;
    this.stream = null;
    this.waiting = 0;
  }

  stop() {
    this.follow(false);
    clearTimeout(this.waiting);
  }

  /** Connected as long as it is looked at. */
  follow(wanted) {
    if (wanted === Boolean(this.stream)) return;
    if (this.stream) {
      this.stream.close();
      this.stream = null;
      return;
    }
    this.lines = new Lines();
    this.held = null;
    const hear = (line) => {
      this.lines.add(line, this.stream.connections);
      this.soon();
    };
    this.stream = new Stream(
      `/api/v1/transforms/${segment(this.name)}/logs?follow=true`,
      { line: hear, missed: hear },
      this.redraw,
    );
  }

  // Thousands of lines a second become four drawings a second.
  soon() {
    if (this.waiting) return;
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      this.redraw();
    }, DRAW_MS);
  }

  pause() {
    this.held = this.held ? null : { all: this.lines.all.slice(), count: this.lines.count };
    this.redraw();
  }

  draw() {
    const { held, lines, router } = this;
    const q = (router.at.query.get('q') || '').toLowerCase();
    const all = held ? held.all : lines.all;
    const shown = q ? all.filter((line) => matches(line, q)) : all;
    const fresh = held ? lines.count - held.count : 0;
    return [
      h(
        'div',
        { class: 'bar', key: 'bar' },
        field(
          'Filter',
          h('input', {
            type: 'search',
            value: router.at.query.get('q') || '',
            placeholder: 'Text, level or version',
            oninput: (event) => router.set({ q: event.target.value }, true),
          }),
          true,
        ),
        h(
          'button',
          {
            type: 'button',
            class: held ? 'button on pause' : 'button pause',
            'aria-pressed': String(Boolean(held)),
            onclick: () => this.pause(),
          },
          icon(held ? 'play' : 'pause'),
          held ? `Resume${fresh ? ` (${exact(fresh)} new)` : ''}` : 'Pause',
        ),
      ),
      h(
        'div',
        { class: 'card flush log', key: 'log' },
        h(
          'div',
          { class: 'log-head muted small', role: 'status' },
          this.words(all.length, shown.length, q),
        ),
        h(
          'div',
          { class: 'table-scroll log-scroll', tabindex: 0, role: 'group', 'aria-label': 'Log' },
          h(
            'table',
            { class: 'grid-table log-table' },
            h('caption', { class: 'visually-hidden' }, `Log of ${this.name}`),
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                ['Time', 'Level', 'Version', 'Text'].map((name) =>
                  h('th', { scope: 'col', class: name === 'Version' ? 'low' : null }, name),
                ),
              ),
            ),
            h('tbody', {}, shown.map(row)),
          ),
        ),
      ),
    ];
  }

  words(count, shown, q) {
    if (this.stream && this.stream.state === 'reconnecting')
      return 'Reconnecting to the log. What is shown stays.';
    if (this.held) return `Paused, ${plural(shown, 'line')} shown.`;
    if (!count) return 'Listening. Nothing is logged yet; lines appear here as they are written.';
    return q
      ? `${exact(shown)} of ${plural(count, 'line')} contain the text, newest first.`
      : `The last ${plural(count, 'line')}, newest first; at most ${exact(LINES_MAX)} are kept.`;
  }
}

function row(line) {
  if (line.missed !== undefined) {
    return h(
      'tr',
      { key: line.id, class: 'log-missed' },
      h(
        'td',
        { colspan: 4 },
        `${plural(line.missed, 'line')} missed: more came than could be sent`,
      ),
    );
  }
  const level = LEVELS.has(line.level) ? line.level : 'info';
  return h(
    'tr',
    { key: line.id },
    h('td', {}, timeOf(line.timestamp)),
    h('td', {}, h('span', { class: `level ${level}` }, line.level)),
    h('td', { class: 'low' }, line.version || '\u2013'),
    h('td', { class: 'mono log-text' }, line.text),
  );
}

/** The day is left out where there is little room; the title has it. */
function timeOf(ms) {
  const [day, clock = ''] = localTime(ms).split(' ');
  return h(
    'time',
    { class: 'figure', title: `${day} ${clock} (${utcTime(ms)})` },
    h('span', { class: 'day' }, `${day} `),
    clock,
  );
}

function matches(line, q) {
  if (line.missed !== undefined) return true;
  return [line.text, line.level, `version ${line.version}`].some((text) =>
    String(text).toLowerCase().includes(q),
  );
}
