// How keys and values read in charts, tooltips and tables.

import { exact, localTime, tick } from '../js/format.js';
import { labelOf } from './model.js';

/** A key as a label: `2019`, `United States`, `21 Nov 09:00`. */
export function keyText(model, key) {
  if (model.x.type === 'time')
    return localTime(key)
      .replace(/\.000$/, '')
      .replace(/:00$/, '');
  if (model.x.type === 'number') {
    if (model.x.discrete || !model.x.interval || !isHistogram(model))
      return model.x.plain ? String(key) : exact(key);
    return `${tick(key)} \u2013 ${tick(key + model.x.interval)}`;
  }
  return labelOf(key, model.x.labels);
}

/** A key in a table: the label, and the raw key where they differ. */
export function keyExact(model, key) {
  const text = keyText(model, key);
  return model.x.type === 'category' && text.toLowerCase() !== String(key).toLowerCase()
    ? `${text} (${key})`
    : text;
}

const isHistogram = (model) =>
  model.kind === 'histogram' || model.kind === 'bar' || model.kind === 'stacked_bar';

/** A value in a tooltip or beside a bar. */
export function valueText(model, value) {
  if (value === null || value === undefined) return '\u2013';
  const { decimals, unit } = model.y;
  const text =
    decimals === undefined
      ? exact(Number(value.toFixed(4)))
      : value.toLocaleString('en-US', {
          minimumFractionDigits: decimals,
          maximumFractionDigits: decimals,
        });
  return unit ? `${text} ${unit}` : text;
}

/** Part of the whole, where the panel asks for it: `12.3 %`. */
export function shareText(model, value) {
  const whole = model.options.share === 'total' ? model.total : null;
  if (!whole || typeof value !== 'number') return '';
  const percent = (value / whole) * 100;
  return `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}
