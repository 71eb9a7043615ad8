// Charts without a horizontal value axis of keys: lying bars, pies, single numbers.

import { h } from '../js/dom.js';
import { number } from '../js/format.js';
import { SERIES_MAX } from './model.js';
import { fit, linear, step125, textWidth } from './scale.js';
import { keyText, shareText, valueText } from './text.js';

const ROW_MAX = 72;

/** Bars that lie, a label to the left of each and its value at the end. */
export function drawHbar(model, shown, width, height) {
  const points = shown.length ? shown[0].series.points.filter((point) => point.y !== null) : [];
  const totals = points.map((point) =>
    shown.reduce((sum, { series }) => sum + (valueOf(series, point.x) || 0), 0),
  );
  const labels = points.map((point) => keyText(model, point.x));
  const left = Math.min(
    Math.max(40, ...labels.map((text) => textWidth(text, 12))) + 12,
    width * 0.4,
  );
  const ends = totals.map((total) =>
    [valueText(model, total), shareText(model, total)].filter(Boolean).join('  '),
  );
  const right = width - Math.max(24, ...ends.map((text) => textWidth(text, 12))) - 14;
  const row = Math.min((height - 8) / Math.max(points.length, 1), ROW_MAX);
  const thick = Math.max(Math.min(row - 4, 32), 3);
  const top = Math.max((height - row * points.length) / 2, 0);
  const most = Math.max(...totals, step125(0, 1));
  const along = linear(0, most || 1, left, Math.max(right, left + 20));
  const columns = [];
  const nodes = points.map((point, i) => {
    const y = top + row * i + (row - thick) / 2;
    const middle = y + thick / 2 + 4;
    columns.push({
      key: point.x,
      values: shown.map(({ series }) => valueOf(series, point.x)),
      low: top + row * i,
      high: top + row * (i + 1),
      x: along(totals[i]),
      dots: [],
    });
    let from = 0;
    return h(
      'g',
      { key: String(point.x), 'aria-hidden': 'true' },
      h(
        'text',
        { class: 'label', x: left - 8, y: middle.toFixed(1), 'text-anchor': 'end' },
        fit(labels[i], left - 12, 12),
      ),
      shown.map(({ series, colour }) => {
        const value = valueOf(series, point.x);
        if (!value) return null;
        const start = along(from);
        from += value;
        return h('rect', {
          class: `fill c${colour}`,
          x: start.toFixed(1),
          y: y.toFixed(1),
          width: Math.max(along(from) - start, 1).toFixed(1),
          height: thick.toFixed(1),
          rx: 2,
        });
      }),
      h(
        'text',
        { class: 'value', x: (along(totals[i]) + 7).toFixed(1), y: middle.toFixed(1) },
        valueText(model, totals[i]),
        shareText(model, totals[i])
          ? h('tspan', { class: 'share', dx: 7 }, shareText(model, totals[i]))
          : null,
      ),
    );
  });
  return { nodes, columns, upright: true };
}

function valueOf(series, key) {
  const point = series.points.find((candidate) => candidate.x === key);
  return point ? point.y : null;
}

/** The slices of a pie: the seven largest and "Other". */
export function slicesOf(model) {
  const points = model.series.length ? model.series[0].points.filter((point) => point.y > 0) : [];
  const kept = points.length > SERIES_MAX ? points.slice(0, SERIES_MAX - 1) : points;
  const rest = points.slice(kept.length).reduce((sum, point) => sum + point.y, 0);
  const slices = kept.map((point) => ({
    name: keyText(model, point.x),
    key: point.x,
    value: point.y,
  }));
  if (rest > 0) slices.push({ name: 'Other', key: 'Other', value: rest });
  return slices;
}

/** A ring; its legend carries the names, values and shares. */
export function drawPie(model, shown, width, height) {
  const total = shown.reduce((sum, slice) => sum + slice.value, 0);
  const radius = Math.max(Math.min(width, height) / 2 - 8, 10);
  const centre = [width / 2, height / 2];
  let turn = -Math.PI / 2;
  const columns = [];
  const nodes = shown.map((slice) => {
    const from = turn;
    turn += total ? (slice.value / total) * Math.PI * 2 : 0;
    columns.push({ key: slice.key, from, to: turn, values: [slice.value], dots: [] });
    return h('path', {
      key: slice.name,
      class: `fill slice c${slice.colour}`,
      d: ring(centre, radius, radius * 0.62, from, turn),
      'aria-hidden': 'true',
    });
  });
  nodes.push(
    h(
      'text',
      {
        class: 'middle',
        x: centre[0],
        y: centre[1] + 6,
        'text-anchor': 'middle',
        'aria-hidden': 'true',
      },
      number(total),
    ),
  );
  return { nodes, columns, centre, radius };
}

function ring([cx, cy], outer, inner, from, to) {
  // A full circle has no arc from a point to itself: stop a hair short.
  const end = Math.min(to, from + Math.PI * 2 - 1e-4);
  const large = end - from > Math.PI ? 1 : 0;
  const at = (r, a) => `${(cx + r * Math.cos(a)).toFixed(2)} ${(cy + r * Math.sin(a)).toFixed(2)}`;
  return `M${at(outer, from)}A${outer} ${outer} 0 ${large} 1 ${at(outer, end)}L${at(inner, end)}A${inner} ${inner} 0 ${large} 0 ${at(inner, from)}Z`;
}

/** A little line without axes, for tables and tiles. */
export function sparkline(values, width = 96, height = 22, label = 'recent rate') {
  const known = values.filter((value) => typeof value === 'number');
  const max = Math.max(...known, 1e-9);
  const x = linear(0, Math.max(values.length - 1, 1), 1, width - 1);
  const y = linear(0, max, height - 2, 2);
  const path = values
    .map((value, i) =>
      typeof value === 'number' ? `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}` : '',
    )
    .join('')
    .replace(/^L/, 'M');
  return h(
    'svg',
    {
      class: 'spark',
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': label,
    },
    known.length > 1
      ? h('path', { class: 'line c0', d: path })
      : h('path', { class: 'line flat', d: `M1 ${height - 2}H${width - 1}` }),
  );
}
