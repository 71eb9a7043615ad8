// Numbers, sizes and times as people read them; the exact value always goes into a title.

const exactNumber = new Intl.NumberFormat('en-US', { maximumFractionDigits: 6 });
const DASH = '\u2013';
const known = (value) => typeof value === 'number' && Number.isFinite(value);

/** Every digit: `1,234,567`. */
export function exact(value) {
  return known(value) ? exactNumber.format(value) : DASH;
}

function scaled(value, base, units) {
  let rest = Math.abs(value);
  let unit = 0;
  while (rest >= base && unit < units.length - 1) {
    rest /= base;
    unit += 1;
  }
  // 999.96 shown with one digit would read 1000.0: one unit up instead.
  if (unit > 0 && unit < units.length - 1 && Number(rest.toFixed(1)) >= base) {
    rest /= base;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  const text =
    unit === 0 && !Number.isInteger(rest)
      ? trim(rest.toFixed(rest < 10 ? 2 : 1))
      : rest.toFixed(digits);
  return [value < 0 ? `-${text}` : text, units[unit]];
}

const trim = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** Short: `12.4 k`, `3.1 M`; below ten thousand every digit. */
export function number(value) {
  if (!known(value)) return DASH;
  if (Math.abs(value) < 10000) return exactNumber.format(Number(value.toFixed(2)));
  const [text, unit] = scaled(value, 1000, ['', 'k', 'M', 'G', 'T']);
  return unit ? `${text} ${unit}` : text;
}

/** Axis ticks and labels: `12k`, no space. */
export function tick(value) {
  if (!known(value)) return '';
  if (Math.abs(value) < 10000) return exactNumber.format(Number(value.toPrecision(12)));
  const [text, unit] = scaled(value, 1000, ['', 'k', 'M', 'G', 'T']);
  return `${trim(text)}${unit}`;
}

/** `1.3 GiB`. */
export function bytes(value) {
  if (!known(value)) return DASH;
  const [text, unit] = scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
  return `${text} ${unit}`;
}

/** `12.4 k/s`; below ten, one digit after the point. */
export function rate(value) {
  if (!known(value)) return DASH;
  if (value === 0) return '0/s';
  if (value < 0.05) return '<0.1/s';
  if (value < 10) return `${trim(value.toFixed(1))}/s`;
  if (value < 1000) return `${Math.round(value)}/s`;
  const [text, unit] = scaled(value, 1000, ['', 'k', 'M', 'G']);
  return `${text} ${unit}/s`;
}

export function byteRate(value) {
  return known(value) ? `${bytes(value)}/s` : DASH;
}

/** `250 ns`, `1.2 us`, `3.4 ms`, `1.2 s`. */
export function nanos(value) {
  if (!known(value)) return DASH;
  const [text, unit] = scaled(value, 1000, ['ns', '\u00b5s', 'ms', 's']);
  return `${text} ${unit}`;
}

/** A length of time: `45 s`, `12 min`, `3 h 20 min`, `5 d`. */
export function duration(ms) {
  if (!known(ms)) return DASH;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400)
    return s % 3600 < 60
      ? `${Math.floor(s / 3600)} h`
      : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

/** `3 min ago`. */
export function ago(ms) {
  if (!known(ms)) return DASH;
  return ms < 1500 ? 'now' : `${duration(ms)} ago`;
}

const two = (n) => String(n).padStart(2, '0');

/** In the browser's zone, to the millisecond: `2026-11-21 09:05:03.120`. */
export function localTime(ms) {
  if (!known(ms)) return DASH;
  const d = new Date(ms);
  if (Number.isNaN(d.getTime())) return String(ms);
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${day} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

/** The hover text of a time. */
export function utcTime(ms) {
  if (!known(ms)) return '';
  const d = new Date(ms);
  return Number.isNaN(d.getTime())
    ? ''
    : `${d.toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

export function plural(count, one, many = `${one}s`) {
  return `${exact(count)} ${count === 1 ? one : many}`;
}
