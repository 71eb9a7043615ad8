// A dashboard: panels in twelve columns, redrawn as the node pushes what changed. Which panels
// show as tables, which series are hidden, which range is zoomed and what they are filtered by is
// in the address.

import { h } from '../dom.js';
import { chart, visibleTable } from '../../charts/chart.js';
import { csvOf, modelOf } from '../../charts/model.js';
import { getJson, Resource, segment } from '../api.js';
import { exact } from '../format.js';
import { href } from '../router.js';
import { Stream } from '../live.js';
import { icon } from '../parts/icons.js';
import { empty, failure, loading } from '../parts/states.js';
import { asText, bucketCondition, conditions, flipped } from './query.js';

const PLOT_HEIGHT = 272;

export class Dashboard {
  constructor({ router, redraw, name }) {
    Object.assign(this, { router, redraw, name });
    this.results = new Map();
    this.problems = new Map();
    this.menu = null;
    this.definition = new Resource(
      (signal) => getJson(`/api/v1/dashboards/${segment(name)}`, signal),
      redraw,
    ).start();
    this.follow();
    this.away = (event) => {
      if (this.menu && !event.target.closest('.menu-holder')) this.closeMenu();
    };
    document.addEventListener('pointerdown', this.away);
  }

  filter() {
    return this.router.at.query.get('q') || '';
  }

  /** Asks for the panels with the filter of the address. */
  follow() {
    this.followed = this.filter();
    const query = this.followed ? `?${new URLSearchParams({ q: this.followed })}` : '';
    const path = `/api/v1/dashboards/${segment(this.name)}`;
    // The stream brings all panels when it opens; this is for when it does not open.
    this.data = new Resource(
      (signal) => getJson(`${path}/data${query}`, signal),
      () => this.fill(),
    );
    this.stream = new Stream(`${path}/live${query}`, { panel: (panel) => this.hear(panel) }, () =>
      this.moved(),
    );
  }

  /** The numbers of the filter before stay until the new ones are there. */
  move() {
    if (this.filter() === this.followed) return;
    this.typed = null;
    this.data.stop();
    this.stream.close();
    this.follow();
  }

  stop() {
    this.definition.stop();
    this.data.stop();
    this.stream.close();
    document.removeEventListener('pointerdown', this.away);
  }

  moved() {
    // The node may have read a new file meanwhile.
    if (this.stream.state === 'open' && this.definition.value !== null) this.definition.start();
    if (this.stream.state === 'reconnecting' && !this.results.size) this.data.start();
    this.redraw();
  }

  hear({ id, result, error }) {
    if (error) this.problems.set(id, error);
    else {
      this.problems.delete(id);
      this.results.set(id, result);
    }
    this.redraw();
  }

  fill() {
    for (const [id, panel] of Object.entries((this.data.value && this.data.value.panels) || {})) {
      if (!this.results.has(id)) this.hear({ id, ...panel });
    }
    this.redraw();
  }

  closeMenu() {
    this.menu = null;
    this.redraw();
  }

  draw() {
    const { definition } = this;
    if (definition.state === 'error')
      return failure(
        definition.error,
        () => definition.retry(),
        `The dashboard ${this.name} could not be loaded`,
      );
    if (definition.value === null) return loading(8);
    const panels = definition.value.panels || [];
    if (!panels.length)
      return empty({
        title: 'This dashboard has no panels',
        text: 'Add panels to its JSON file; they appear here at the next reload of the file.',
      });
    const totals = [...this.results.values()]
      .map((result) =>
        result && typeof result.total === 'object' ? result.total.value : result && result.total,
      )
      .filter((total) => typeof total === 'number');
    return [
      h(
        'div',
        { class: 'dashboard-head', key: 'head' },
        h('p', { class: 'dashboard-name' }, definition.value.title || this.name),
        h(
          'span',
          { class: 'muted small' },
          totals.length
            ? `${exact(Math.max(...totals))} documents in ${definition.value.index || 'the indices'}`
            : definition.value.index || '',
        ),
        h('span', { class: 'grow' }),
        this.filters(),
      ),
      h(
        'div',
        { class: 'panels', key: 'panels' },
        panels.map((panel) => this.panel(panel)),
      ),
    ];
  }

  filters() {
    const set = (text) => this.router.set({ q: text });
    const submit = (event) => {
      event.preventDefault();
      set(new FormData(event.target).get('q').trim());
    };
    return h(
      'form',
      { class: 'filters', key: 'filters', role: 'search', onsubmit: submit },
      h('input', {
        type: 'search',
        name: 'q',
        'aria-label': 'Filter of all panels',
        placeholder: 'Filter all panels, for example type:SHOW',
        autocomplete: 'off',
        spellcheck: 'false',
        value: this.typed ?? this.filter(),
        oninput: (event) => {
          this.typed = event.target.value;
        },
      }),
      conditions(this.filter()).map((condition) =>
        h(
          'button',
          {
            key: condition,
            type: 'button',
            class: 'pill',
            'aria-label': `Remove the filter ${condition}`,
            onclick: () => set(flipped(this.filter(), condition)),
          },
          condition,
          icon('close', 12),
        ),
      ),
    );
  }

  pick(model, key) {
    const condition = bucketCondition(model.source, key);
    if (condition) this.router.set({ q: flipped(this.filter(), condition) });
  }

  list(name) {
    return (this.router.at.query.get(name) || '').split(',').filter(Boolean);
  }

  flip(name, entry) {
    const now = this.list(name);
    this.router.set(
      {
        [name]: (now.includes(entry)
          ? now.filter((other) => other !== entry)
          : [...now, entry]
        ).join(','),
      },
      true,
    );
  }

  zoomOf(id) {
    const found = this.list('zoom')
      .map((text) => text.split('~'))
      .find(([panel]) => panel === id);
    return found ? { from: Number(found[1]), to: Number(found[2]) } : null;
  }

  setZoom(id, range) {
    const others = this.list('zoom').filter((text) => text.split('~')[0] !== id);
    const text = range
      ? [
          ...others,
          [id, Number(range.from.toPrecision(15)), Number(range.to.toPrecision(15))].join('~'),
        ]
      : others;
    this.router.set({ zoom: text.join(',') }, true);
  }

  panel(panel) {
    const width = Math.min(Math.max(Math.round(Number(panel.width) || 6), 1), 12);
    const result = this.results.get(panel.id);
    const problem = this.problems.get(panel.id);
    const model = result === undefined ? null : modelOf(panel, result);
    const asTable = this.list('table').includes(panel.id);
    return h(
      'section',
      { key: panel.id, class: `card panel span-${width}`, 'aria-label': panel.title || panel.id },
      h(
        'div',
        { class: 'panel-head' },
        h(
          'div',
          { class: 'panel-words' },
          h(
            'h2',
            { class: 'panel-title', title: panel.description || null },
            panel.title || panel.id,
          ),
          panel.description ? h('p', { class: 'panel-note' }, panel.description) : null,
        ),
        this.zoomOf(panel.id)
          ? h(
              'button',
              {
                type: 'button',
                class: 'button small',
                onclick: () => this.setZoom(panel.id, null),
              },
              icon('close', 12),
              'Whole range',
            )
          : null,
        this.panelMenu(panel, model, asTable),
      ),
      this.body(panel, model, problem, asTable),
    );
  }

  body(panel, model, problem, asTable) {
    if (problem) {
      const reason =
        problem.message ||
        problem.reason ||
        (problem.error && problem.error.reason) ||
        'the panel could not be computed';
      return h(
        'div',
        { class: 'panel-state', role: 'alert', style: { height: `${PLOT_HEIGHT}px` } },
        icon('alert', 22),
        h('p', {}, reason),
        problem.hint ? h('p', { class: 'muted small' }, problem.hint) : null,
      );
    }
    if (!model)
      return h(
        'div',
        { class: 'panel-state', style: { height: `${PLOT_HEIGHT}px` } },
        loading(5, `Loading ${panel.title || panel.id}`),
      );
    if (asTable) return visibleTable(model, PLOT_HEIGHT);
    const hidden = new Set(
      this.list('hide')
        .map((text) => text.split('~'))
        .filter(([id]) => id === panel.id)
        .map(([, name]) => name),
    );
    return chart({
      key: `chart ${panel.id}`,
      model,
      height: PLOT_HEIGHT,
      hidden,
      zoom: this.zoomOf(panel.id),
      onhide: (name) => this.flip('hide', `${panel.id}~${name}`),
      onselect: (from, to) => this.setZoom(panel.id, { from, to }),
      onpick: model.source ? (key) => this.pick(model, key) : undefined,
    });
  }

  panelMenu(panel, model, asTable) {
    const open = this.menu === panel.id;
    const close = (event) => {
      if (event.key !== 'Escape' || !open) return;
      event.stopPropagation();
      this.closeMenu();
      event.currentTarget.querySelector('button').focus();
    };
    const own = asText(panel.query);
    const text = own === null ? null : [own, this.filter()].filter(Boolean).join(' AND ');
    const search =
      text === null
        ? null
        : href('search', null, { index: panel.index || this.definition.value.index, q: text });
    return h(
      'div',
      { class: 'menu-holder', onkeydown: close },
      h(
        'button',
        {
          type: 'button',
          class: 'button icon-only bare',
          'aria-label': `Menu of ${panel.title || panel.id}`,
          'aria-expanded': String(open),
          onclick: () => {
            this.menu = open ? null : panel.id;
            this.redraw();
          },
        },
        icon('more'),
      ),
      open
        ? h(
            'div',
            {
              class: 'menu',
              role: 'group',
              'aria-label': `Actions for ${panel.title || panel.id}`,
            },
            h(
              'button',
              {
                type: 'button',
                class: 'menu-item',
                onclick: () => {
                  this.menu = null;
                  this.flip('table', panel.id);
                },
              },
              icon(asTable ? 'chart' : 'table'),
              asTable ? 'View as chart' : 'View as table',
            ),
            h(
              'button',
              {
                type: 'button',
                class: 'menu-item',
                disabled: !model,
                onclick: () => {
                  this.closeMenu();
                  download(`${this.name}-${panel.id}.csv`, csvOf(model));
                },
              },
              icon('download'),
              'Download CSV',
            ),
            search
              ? h('a', { class: 'menu-item', href: search }, icon('search'), 'Open in Search')
              : null,
          )
        : null,
    );
  }
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
