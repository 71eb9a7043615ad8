// The chart widget: draws a model into the room it is given, answers pointer and keyboard with
// exact values, lets the legend hide series and a drag select a range, and always carries the
// same numbers as a table for those who do not see the drawing.

import { h, render, widget } from '../js/dom.js';
import { exact } from '../js/format.js';
import { drawHbar, drawPie, slicesOf } from './flat.js';
import { isEmpty, tableOf } from './model.js';
import { keyExact, keyText, shareText, valueText } from './text.js';
import { drawXy, labelsFit } from './xy.js';

const DRAG_MIN = 6;
const TABLE_ROWS_MAX = 500;

/**
 * `spec`: `{ key, model, height, hidden: Set, onhide(name), zoom: { from, to },
 * onselect(from, to), onpick(key) }`.
 */
export function chart(spec) {
  return widget('div', { class: 'chart', key: spec.key }, create, spec);
}

// One function for all charts: a widget stays the same while what creates it does.
const create = (el, spec) => new Chart(el, spec);

class Chart {
  constructor(el, spec) {
    this.el = el;
    this.spec = spec;
    this.width = 0;
    this.kids = [];
    this.hover = null;
    this.drag = null;
    this.observer = new ResizeObserver(([entry]) =>
      this.resize(Math.floor(entry.contentRect.width)),
    );
    this.observer.observe(el);
    this.resize(Math.floor(el.clientWidth));
  }

  resize(width) {
    if (width === this.width) return;
    this.width = width;
    this.draw();
  }

  update(spec) {
    this.spec = spec;
    this.draw();
  }

  destroy() {
    this.observer.disconnect();
  }

  draw() {
    this.kids = render(this.el, this.kids, this.view());
  }

  /** What takes part: series with their colours, without those the legend has hidden. */
  entries() {
    const { model, hidden } = this.spec;
    const all =
      model.kind === 'pie'
        ? slicesOf(model).map((slice, i) => ({ ...slice, colour: slice.name === 'Other' ? 7 : i }))
        : model.series.map((series, i) => ({
            series,
            name: series.name,
            colour: series.name === 'Other' ? 7 : (series.slot ?? i) % 8,
          }));
    return { all, shown: all.filter((entry) => !(hidden && hidden.has(entry.name))) };
  }

  view() {
    const { model, height } = this.spec;
    if (model.kind === 'table') return visibleTable(model);
    if (isEmpty(model))
      return h('div', { class: 'chart-empty', style: { height: `${height}px` } }, 'No data yet');
    if (model.kind === 'number') return bigNumber(model, height);
    if (this.width <= 0) return h('div', { style: { height: `${height}px` } });
    const { all, shown } = this.entries();
    const legend = all.length > 1 || model.split || model.kind === 'pie' ? this.legend(all) : null;
    const pie = model.kind === 'pie';
    const beside = pie && this.width > 320;
    const room = height - (legend && !beside ? 30 : 0);
    const width = beside ? Math.min(room, this.width * 0.5) : this.width;
    this.drawn = this.layout(model, shown, width, Math.max(room, 40));
    this.shown = shown;
    if (this.hover !== null && this.hover >= this.drawn.columns.length) this.hover = null;
    return [
      h(
        'div',
        {
          class: beside ? 'plot-row' : 'plot-column',
          key: 'plot',
          style: { height: `${height}px` },
        },
        legend,
        this.plot(model, width, Math.max(room, 40)),
      ),
      tableFor(model),
    ];
  }

  layout(model, shown, width, height) {
    if (model.kind === 'pie') return drawPie(model, shown, width, height);
    const lying = model.kind === 'hbar' || (model.kind !== 'line' && !labelsFit(model, width));
    return lying
      ? drawHbar(model, shown, width, height)
      : drawXy(model, shown, width, height, this.spec.zoom);
  }

  legend(all) {
    const { model, hidden, onhide } = this.spec;
    const total = all.reduce((sum, entry) => sum + (entry.value || 0), 0);
    return h(
      'div',
      { class: 'legend', key: 'legend', role: 'group', 'aria-label': `Series of ${model.title}` },
      all.map((entry) => {
        const off = Boolean(hidden && hidden.has(entry.name));
        return h(
          'button',
          {
            key: entry.name,
            type: 'button',
            class: `legend-item c${entry.colour}`,
            'aria-pressed': String(!off),
            title: off ? `Show ${entry.name}` : `Hide ${entry.name}`,
            onclick: () => onhide && onhide(entry.name),
          },
          h('span', { class: 'swatch', 'aria-hidden': 'true' }),
          h('span', { class: 'legend-name' }, entry.name),
          model.kind === 'pie'
            ? h(
                'span',
                { class: 'legend-value' },
                valueText(model, entry.value),
                ` \u00b7 ${total ? ((entry.value / total) * 100).toFixed(1) : 0} %`,
              )
            : null,
        );
      }),
    );
  }

  plot(model, width, height) {
    const keys = model.kind === 'pie' ? 'slices' : 'values';
    return h(
      'div',
      {
        class: this.spec.onpick ? 'plot picks' : 'plot',
        key: 'drawing',
        tabindex: 0,
        role: 'group',
        'aria-label': `${model.title}: chart. Left and right arrow keys read its ${keys}${this.spec.onpick ? ', Enter filters by one' : ''}.`,
        onpointermove: (event) => this.move(event),
        onpointerleave: () => this.point(null),
        onpointerdown: (event) => this.down(event),
        onpointerup: (event) => this.up(event),
        onpointercancel: () => this.cancel(),
        onclick: (event) => this.click(event),
        onkeydown: (event) => this.key(event),
        onblur: () => this.point(null),
        style: { width: `${width}px`, height: `${height}px` },
      },
      h(
        'svg',
        {
          width,
          height,
          viewBox: `0 0 ${width} ${height}`,
          role: 'img',
          'aria-label': [model.title, model.description].filter(Boolean).join('. '),
        },
        this.pointer(height),
        this.drawn.nodes,
        this.dots(),
        this.selection(),
      ),
      this.tooltip(model, width, height),
    );
  }

  column() {
    return this.hover === null ? null : this.drawn.columns[this.hover];
  }

  pointer() {
    const column = this.column();
    const { plot, upright } = this.drawn;
    if (!column || !plot || upright) return null;
    if (column.dots.length)
      return h('line', {
        key: 'cross',
        class: 'crosshair',
        x1: Math.round(column.x) + 0.5,
        x2: Math.round(column.x) + 0.5,
        y1: plot.top,
        y2: plot.bottom,
      });
    return h('rect', {
      key: 'cross',
      class: 'column',
      x: column.low.toFixed(1),
      y: plot.top,
      width: Math.max(column.high - column.low, 2).toFixed(1),
      height: plot.bottom - plot.top,
    });
  }

  dots() {
    const column = this.column();
    if (!column || !column.dots.length) return null;
    return h(
      'g',
      { key: 'dots' },
      column.dots.map(
        (dot) =>
          dot &&
          h('circle', {
            class: `dot hot c${dot.colour}`,
            cx: column.x.toFixed(1),
            cy: dot.y.toFixed(1),
            r: 4,
          }),
      ),
    );
  }

  selection() {
    const { drag, drawn } = this;
    if (!drag || !drawn.plot || Math.abs(drag.to - drag.from) < DRAG_MIN) return null;
    return h('rect', {
      key: 'selection',
      class: 'selection',
      x: Math.min(drag.from, drag.to),
      y: drawn.plot.top,
      width: Math.abs(drag.to - drag.from),
      height: drawn.plot.bottom - drawn.plot.top,
    });
  }

  tooltip(model, width, height) {
    const column = this.column();
    const lines = column ? this.values(model, column) : [];
    const words = lines.map((line) => `${line.name} ${line.text}`).join(', ');
    const spoken = column ? `${keyText(model, column.key)}: ${words}` : '';
    return [
      h('div', { class: 'visually-hidden', role: 'status', key: 'spoken' }, spoken),
      column ? this.tip(model, column, lines, this.tipAt(column, width, height)) : null,
    ];
  }

  tip(model, column, lines, at) {
    const style = { left: `${at.x}px`, top: `${at.y}px` };
    return h(
      'div',
      { class: `tooltip ${at.side}`, 'aria-hidden': 'true', key: 'tip', style },
      h('div', { class: 'tip-head' }, keyText(model, column.key)),
      lines.map((line) =>
        h(
          'div',
          { class: `tip-line c${line.colour}` },
          h('span', { class: line.total ? 'swatch none' : 'swatch' }),
          h('span', { class: 'tip-name' }, line.name),
          h('span', { class: 'tip-value' }, line.text),
          line.share ? h('span', { class: 'tip-share' }, line.share) : null,
        ),
      ),
    );
  }

  tipAt(column, width) {
    if (this.drawn.centre) {
      const angle = (column.from + column.to) / 2;
      const x = this.drawn.centre[0] + Math.cos(angle) * this.drawn.radius * 0.8;
      return {
        x,
        y: this.drawn.centre[1] + Math.sin(angle) * this.drawn.radius * 0.8,
        side: x > width / 2 ? 'before' : 'after',
      };
    }
    if (this.drawn.upright)
      return { x: width * 0.55, y: Math.max(column.low - 4, 0), side: 'after' };
    return { x: column.x, y: 8, side: column.x > width * 0.55 ? 'before' : 'after' };
  }

  values(model, column) {
    if (model.kind === 'pie') {
      const slice = this.shown.find((entry) => entry.key === column.key);
      return slice
        ? [{ name: model.y.label, text: valueText(model, slice.value), colour: slice.colour }]
        : [];
    }
    const lines = this.shown
      .map((entry, s) => ({
        name: entry.name,
        text: valueText(model, column.values[s]),
        colour: entry.colour,
        share: shareText(model, column.values[s]),
        empty: column.values[s] === null,
      }))
      .filter((line) => !line.empty || this.shown.length === 1);
    if (model.kind === 'stacked_bar' && lines.length > 1) {
      const sum = column.values.reduce((a, b) => a + (b || 0), 0);
      lines.push({ name: 'Total', text: valueText(model, sum), colour: 7, total: true });
    }
    return lines;
  }

  point(index) {
    if (this.hover === index) return;
    this.hover = index;
    this.draw();
  }

  place(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  move(event) {
    const [x, y] = this.place(event);
    if (this.drag) {
      const { plot } = this.drawn;
      this.drag.to = Math.min(Math.max(x, plot.left), plot.right);
      this.hover = null;
      this.draw();
      return;
    }
    this.point(this.nearest(x, y));
  }

  nearest(x, y) {
    const { columns, centre, radius, upright, plot } = this.drawn;
    if (centre) {
      const reach = Math.hypot(x - centre[0], y - centre[1]);
      let angle = Math.atan2(y - centre[1], x - centre[0]);
      if (angle < -Math.PI / 2) angle += Math.PI * 2;
      return reach > radius + 4
        ? null
        : found(columns.findIndex((column) => angle >= column.from && angle < column.to));
    }
    if (upright) return found(columns.findIndex((column) => y >= column.low && y < column.high));
    if (x < plot.left - 4 || x > plot.right + 4) return null;
    let best = null;
    columns.forEach((column, i) => {
      if (best === null || Math.abs(column.x - x) < Math.abs(columns[best].x - x)) best = i;
    });
    return best;
  }

  down(event) {
    if (
      event.button !== 0 ||
      event.pointerType === 'touch' ||
      !this.spec.onselect ||
      !this.drawn.range
    )
      return;
    const [x] = this.place(event);
    const { plot } = this.drawn;
    if (x < plot.left || x > plot.right) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.drag = { from: x, to: x };
  }

  up() {
    const { drag } = this;
    if (!drag) return;
    this.drag = null;
    this.dragged = Math.abs(drag.to - drag.from) >= DRAG_MIN;
    if (this.dragged) {
      const invert = this.drawn.across.scale.invert;
      this.spec.onselect(
        invert(Math.min(drag.from, drag.to)),
        invert(Math.max(drag.from, drag.to)),
      );
    }
    this.draw();
  }

  cancel() {
    this.drag = null;
    this.draw();
  }

  /** A click on a bar, not the end of a drag; a touch only shows the values. */
  click(event) {
    const { dragged } = this;
    this.dragged = false;
    if (!dragged && event.pointerType !== 'touch') this.pick(this.nearest(...this.place(event)));
  }

  pick(index) {
    const column = index === null ? null : this.drawn.columns[index];
    if (column && this.spec.onpick) this.spec.onpick(column.key);
  }

  key(event) {
    const last = this.drawn.columns.length - 1;
    const at = this.hover;
    const steps = {
      ArrowRight: at === null ? 0 : at + 1,
      ArrowDown: at === null ? 0 : at + 1,
      ArrowLeft: at === null ? last : at - 1,
      ArrowUp: at === null ? last : at - 1,
      Home: 0,
      End: last,
    };
    if (event.key === 'Escape' && at !== null) this.point(null);
    else if (event.key === 'Enter' && at !== null) this.pick(at);
    else if (event.key in steps) this.point(Math.min(Math.max(steps[event.key], 0), last));
    else return;
    event.preventDefault();
  }
}

const found = (index) => (index < 0 ? null : index);

function bigNumber(model, height) {
  return h(
    'div',
    { class: 'big-number', style: { height: `${height}px` } },
    h('div', { class: 'big-value', title: exact(model.value) }, valueText(model, model.value)),
    h('div', { class: 'muted' }, model.y.label === 'Count' ? '' : model.y.label),
  );
}

/** The numbers of a chart as a table, shown or only read out. */
export function tableFor(model, shown = false) {
  const { head, rows } = tableOf(model);
  const cut = rows.slice(0, TABLE_ROWS_MAX);
  const table = h(
    'table',
    { class: 'data-table' },
    h('caption', { class: 'visually-hidden' }, model.title),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        head.map((text, i) => h('th', { scope: 'col', class: i ? 'num' : '' }, text)),
      ),
    ),
    h(
      'tbody',
      {},
      cut.map(([key, ...values]) =>
        h(
          'tr',
          { key: String(key) },
          h('th', { scope: 'row' }, keyExact(model, key)),
          values.map((value) => h('td', { class: 'num' }, value === null ? '' : exact(value))),
        ),
      ),
    ),
  );
  // A table cannot be clipped itself: its box can.
  return shown ? table : h('div', { class: 'visually-hidden', key: 'table' }, table);
}

/** The table in its scrolling frame. */
export function visibleTable(model, height) {
  return h(
    'div',
    {
      class: 'table-scroll',
      key: 'visible-table',
      tabindex: 0,
      role: 'group',
      'aria-label': `${model.title}: table`,
      style: height ? { height: `${height}px` } : {},
    },
    tableFor(model, true),
  );
}
