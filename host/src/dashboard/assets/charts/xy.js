// Lines, bars, stacked bars and histograms over one horizontal axis.

import { h } from '../js/dom.js';
import { tick } from '../js/format.js';
import {
  fit,
  linear,
  multiples,
  step125,
  textWidth,
  timeTickText,
  timeTicks,
  valueAxis,
} from './scale.js';
import { keyText } from './text.js';

const BAR_MAX = 56;
const TOP = 10;
const BOTTOM = 24;

/** Whether labels of a category axis fit under upright bars; if not, bars lie down. */
export function labelsFit(model, width) {
  if (model.x.type !== 'category') return true;
  const keys = keysOf(model);
  const band = (width - 48) / Math.max(keys.length, 1);
  return keys.every((key) => textWidth(keyText(model, key)) <= Math.max(band - 6, 0));
}

export function keysOf(model) {
  const keys = new Set();
  for (const series of model.series) for (const point of series.points) keys.add(point.x);
  const list = [...keys];
  return model.x.type === 'category' ? list : list.sort((a, b) => a - b);
}

/** Draws into `width` x `height`; returns the nodes and the columns that can be pointed at. */
export function drawXy(model, shown, width, height, zoom) {
  const stacked = model.kind === 'stacked_bar';
  const bars = model.kind !== 'line';
  const keys = keysOf(model).filter(
    (key) => !zoom || model.x.type === 'category' || (key >= zoom.from && key <= zoom.to),
  );
  const columns = keys.map((key) => ({
    key,
    values: shown.map(({ series }) => valueAt(series, key)),
  }));
  const y = axisOfValues(model, columns, stacked, bars, height);
  const tickTexts = y.ticks.map(tick);
  const left = Math.ceil(Math.max(18, ...tickTexts.map((text) => textWidth(text))) + 10);
  const plot = { left, right: width - 10, top: TOP, bottom: height - BOTTOM };
  const up = linear(y.from, y.to, plot.bottom, plot.top);
  const across = axisAcross(model, keys, plot, bars, zoom);
  const nodes = [
    h(
      'g',
      { class: 'grid', 'aria-hidden': 'true' },
      y.ticks.map((value, i) => [
        h('line', {
          x1: plot.left,
          x2: plot.right,
          y1: half(up(value)),
          y2: half(up(value)),
          class: value === 0 ? 'zero' : 'rule',
        }),
        h('text', { x: plot.left - 7, y: up(value) + 3.5, 'text-anchor': 'end' }, tickTexts[i]),
      ]),
      across.ticks.map((at) =>
        h(
          'text',
          { x: at.pixel, y: plot.bottom + 16, 'text-anchor': at.anchor || 'middle' },
          at.text,
        ),
      ),
      across.ticks
        .filter((at) => at.mark)
        .map((at) =>
          h('line', {
            x1: half(at.pixel),
            x2: half(at.pixel),
            y1: plot.bottom,
            y2: plot.bottom + 4,
            class: 'tick',
          }),
        ),
    ),
  ];
  if (bars) nodes.push(drawBars(columns, shown, across, up, stacked, y));
  else nodes.push(...shown.map((entry, s) => drawLine(model, entry, columns, s, across, up)));
  for (const column of columns) {
    column.x = across.centre(column.key);
    column.low = column.x - across.band / 2;
    column.high = column.x + across.band / 2;
    column.dots = bars
      ? []
      : column.values.map((value, s) =>
          value === null ? null : { y: up(value), colour: shown[s].colour },
        );
  }
  return { nodes, columns, plot, across, range: model.x.type !== 'category' };
}

const half = (pixel) => Math.round(pixel) + 0.5;

function valueAt(series, key) {
  if (!series.index || series.indexed !== series.points) {
    series.index = new Map(series.points.map((point) => [point.x, point.y]));
    series.indexed = series.points;
  }
  const value = series.index.get(key);
  return value === undefined ? null : value;
}

function axisOfValues(model, columns, stacked, bars, height) {
  let min = Infinity;
  let max = -Infinity;
  for (const { values } of columns) {
    const known = values.filter((value) => value !== null);
    if (!known.length) continue;
    max = Math.max(max, stacked ? known.reduce((a, b) => a + b, 0) : Math.max(...known));
    min = Math.min(min, Math.min(...known));
  }
  if (typeof model.y.min === 'number') min = Math.min(model.y.min, min);
  if (typeof model.y.max === 'number') max = Math.max(model.y.max, max);
  // Bars start at zero, always: their length is what is read. A line may show its range.
  return valueAxis(
    min,
    max,
    Math.max(2, Math.floor((height - TOP - BOTTOM) / 40)),
    bars || model.y.min === 0,
  );
}

function axisAcross(model, keys, plot, bars, zoom) {
  if (model.x.type === 'category') return bandAxis(model, keys, plot);
  const centred = model.x.discrete || !bars || model.x.interval === null;
  const gaps = keys
    .slice(1)
    .map((key, i) => key - keys[i])
    .filter((gap) => gap > 0);
  const interval = model.x.interval || (gaps.length ? Math.min(...gaps) : 1);
  let from = keys.length ? keys[0] : 0;
  let to = keys.length ? keys[keys.length - 1] : 1;
  if (zoom) [from, to] = [Math.max(zoom.from, from), Math.min(zoom.to, to)];
  if (bars) [from, to] = centred ? [from - interval / 2, to + interval / 2] : [from, to + interval];
  if (from === to) [from, to] = [from - interval / 2, to + interval / 2];
  const scale = linear(from, to, plot.left + (bars ? 2 : 4), plot.right - (bars ? 2 : 4));
  const band = Math.abs(scale(from + interval) - scale(from));
  const centre = (key) => scale(centred ? key : key + interval / 2);
  return {
    scale,
    band,
    centre,
    interval,
    ticks: acrossTicks(model, from, to, scale, plot, centred ? 0 : interval),
  };
}

function acrossTicks(model, from, to, scale, plot, interval) {
  const count = Math.max(
    1,
    Math.floor((plot.right - plot.left) / (model.x.type === 'time' ? 72 : 46)),
  );
  if (model.x.type === 'time') {
    const { ticks, unit } = timeTicks(from, to, count);
    return keepApart(
      ticks.map((at) => ({ pixel: scale(at), text: timeTickText(at, unit), mark: true })),
      plot,
    );
  }
  const whole = model.x.discrete || interval >= 1;
  const step = step125(to - from, count, whole ? 1 : 0);
  const text = (value) => (model.x.plain && Math.abs(value) < 1e6 ? String(value) : tick(value));
  return keepApart(
    multiples(from, to, step).map((at) => ({ pixel: scale(at), text: text(at), mark: true })),
    plot,
  );
}

/** Labels at the edges are turned inwards, and none may touch the one before it. */
function keepApart(ticks, plot) {
  const out = [];
  let end = -Infinity;
  for (const at of ticks) {
    const width = textWidth(at.text);
    if (at.pixel + width / 2 > plot.right + 10) at.anchor = 'end';
    const start = at.anchor === 'end' ? at.pixel - width : at.pixel - width / 2;
    if (start < end + 8) continue;
    end = start + width;
    out.push(at);
  }
  return out;
}

function bandAxis(model, keys, plot) {
  const band = (plot.right - plot.left) / Math.max(keys.length, 1);
  const place = new Map(keys.map((key, i) => [key, plot.left + band * (i + 0.5)]));
  const centre = (key) => place.get(key);
  const ticks = keys.map((key) => ({
    pixel: centre(key),
    text: fit(keyText(model, key), Math.max(band - 4, 12)),
  }));
  return { scale: null, band, centre, interval: null, ticks };
}

function drawBars(columns, shown, across, up, stacked, y) {
  const gap = across.band > 6 ? Math.min(across.band * 0.22, 12) : across.band > 3 ? 1 : 0;
  const room = Math.min(across.band - gap, BAR_MAX * (stacked ? 1 : Math.max(shown.length, 1)));
  const width = stacked ? room : room / Math.max(shown.length, 1);
  const base = up(Math.max(0, y.from));
  return h(
    'g',
    { class: 'bars', 'aria-hidden': 'true' },
    columns.map(({ key, values }) => {
      const start = across.centre(key) - room / 2;
      let level = 0;
      return values.map((value, s) => {
        if (!value) return null;
        const low = stacked ? up(level) : base;
        if (stacked) level += value;
        const high = stacked ? up(level) : up(value);
        const x = stacked ? start : start + width * s;
        const top = Math.min(low, high);
        // A bar that is there is seen, however small beside the others.
        const length = Math.max(Math.abs(low - high), 1);
        return h('rect', {
          key: `${key}/${shown[s].series.name}`,
          class: `fill c${shown[s].colour}`,
          x: x.toFixed(2),
          y: Math.min(top, low - length).toFixed(2),
          width: Math.max(width, 0.8).toFixed(2),
          height: length.toFixed(2),
          rx: width > 8 ? 1.5 : 0,
        });
      });
    }),
  );
}

function drawLine(model, entry, columns, s, across, up) {
  const runs = [];
  let run = null;
  let last = null;
  for (const { key, values } of columns) {
    const value = values[s];
    const broken =
      last !== null &&
      model.x.interval &&
      model.x.type !== 'category' &&
      key - last > model.x.interval * 1.5;
    if (value === null || broken) run = null;
    if (value !== null) {
      if (!run) runs.push((run = []));
      run.push([across.centre(key), up(value)]);
      last = key;
    }
  }
  const path = runs
    .filter((points) => points.length > 1)
    .map((points) =>
      points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join(''),
    )
    .join('');
  const dots =
    columns.length <= 120 ? runs.flat() : runs.filter((points) => points.length === 1).flat();
  return h(
    'g',
    { class: `c${entry.colour}`, 'aria-hidden': 'true', key: `line ${entry.series.name}` },
    path && model.options.area && runs.length === 1
      ? h('path', {
          class: 'area',
          d: `${path}L${runs[0][runs[0].length - 1][0].toFixed(1)} ${up(up.from).toFixed(1)}L${runs[0][0][0].toFixed(1)} ${up(up.from).toFixed(1)}Z`,
        })
      : null,
    path ? h('path', { class: 'line', d: path }) : null,
    model.options.dots === false
      ? null
      : dots.map(([x, y]) =>
          h('circle', { class: 'dot', cx: x.toFixed(1), cy: y.toFixed(1), r: 2 }),
        ),
  );
}
