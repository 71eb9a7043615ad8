// Scales and ticks: linear at 1-2-5 steps, time at calendar steps.

/** Maps `from..to` to `low..high`; a range of one value maps to the middle. */
export function linear(from, to, low, high) {
  const span = to - from;
  const scale = (value) =>
    span === 0 ? (low + high) / 2 : low + ((value - from) / span) * (high - low);
  scale.invert = (pixel) => (high === low ? from : from + ((pixel - low) / (high - low)) * span);
  scale.from = from;
  scale.to = to;
  return scale;
}

/** The 1-2-5 step that gives at most `count` intervals over `span`, not below `least`. */
export function step125(span, count, least = 0) {
  if (!(span > 0)) return least || 1;
  const raw = Math.max(span / Math.max(count, 1), least || 0, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(raw) + 1e-9);
  for (const factor of [1, 2, 5, 10]) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

/** The multiples of `step` inside `from..to`, without floating point dust. */
export function multiples(from, to, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const out = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9; n += 1) {
    out.push(Number((n * step).toFixed(Math.min(digits, 20))));
    if (out.length > 500) break;
  }
  return out;
}

/** A value axis: its ends moved out to ticks, zero included when `zero` says so. */
export function valueAxis(min, max, count, zero = true) {
  let from = Number.isFinite(min) ? min : 0;
  let to = Number.isFinite(max) ? max : 1;
  if (zero) {
    from = Math.min(0, from);
    to = Math.max(0, to);
  }
  if (from === to) {
    const pad = Math.abs(from) > 0 ? Math.abs(from) * 0.1 : 1;
    if (!zero) from -= pad;
    to += pad;
  }
  const step = step125(to - from, count);
  // The ends are ticks, unless a tick would leave much of the room empty.
  const low = Math.floor(from / step + 1e-9) * step;
  const high = Math.ceil(to / step - 1e-9) * step;
  const spare = (high - low) * 0.12;
  if (high - to > spare) to += (to - from) * 0.04;
  else to = high;
  if (from !== 0 && from - low > spare) from -= (to - from) * 0.04;
  else from = low;
  return { from, to, step, ticks: multiples(from, to, step) };
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// Steps of equal length first; days and longer are walked with the calendar.
const TIME_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => ({ length: n, unit: 'ms', n })),
  ...[1, 2, 5, 10, 15, 30].map((n) => ({ length: n * SECOND, unit: 's', n })),
  ...[1, 2, 5, 10, 15, 30].map((n) => ({ length: n * MINUTE, unit: 'min', n })),
  ...[1, 2, 3, 6, 12].map((n) => ({ length: n * HOUR, unit: 'h', n })),
  ...[1, 2, 7, 14].map((n) => ({ length: n * DAY, unit: 'day', n })),
  ...[1, 2, 3, 6].map((n) => ({ length: n * 30.4 * DAY, unit: 'month', n })),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => ({
    length: n * 365.25 * DAY,
    unit: 'year',
    n,
  })),
];

function firstTick(from, step) {
  const d = new Date(from);
  if (step.unit === 'year') return new Date(Math.floor(d.getFullYear() / step.n) * step.n, 0, 1);
  if (step.unit === 'month')
    return new Date(d.getFullYear(), Math.floor(d.getMonth() / step.n) * step.n, 1);
  if (step.unit === 'day') {
    // Weeks begin on Monday; shorter steps count from the first of the month.
    if (step.n >= 7)
      return new Date(d.getFullYear(), d.getMonth(), d.getDate() - ((d.getDay() + 6) % 7));
    return new Date(d.getFullYear(), d.getMonth(), d.getDate() - ((d.getDate() - 1) % step.n));
  }
  const midnight = new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return new Date(midnight + Math.floor((from - midnight) / step.length) * step.length);
}

function nextTick(at, step) {
  if (step.unit === 'year') return new Date(at.getFullYear() + step.n, 0, 1);
  if (step.unit === 'month') return new Date(at.getFullYear(), at.getMonth() + step.n, 1);
  if (step.unit === 'day') {
    const next = new Date(at.getFullYear(), at.getMonth(), at.getDate() + step.n);
    // "Every second day" starts anew with each month, and never shows its last day beside the first.
    if (step.n === 2 && next.getMonth() !== at.getMonth())
      return new Date(next.getFullYear(), next.getMonth(), 1);
    return next;
  }
  return new Date(at.getTime() + step.length);
}

/** Calendar ticks inside `from..to` in the browser's zone: at most about `count`. */
export function timeTicks(from, to, count) {
  const want = Math.max((to - from) / Math.max(count, 1), 1);
  const step =
    TIME_STEPS.find((candidate) => candidate.length >= want) || TIME_STEPS[TIME_STEPS.length - 1];
  const ticks = [];
  for (
    let at = firstTick(from, step);
    at.getTime() <= to && ticks.length < 500;
    at = nextTick(at, step)
  ) {
    if (at.getTime() >= from) ticks.push(at.getTime());
  }
  return { ticks, unit: step.unit };
}

const two = (n) => String(n).padStart(2, '0');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A tick's text: as little as its unit needs; midnight and January show the larger unit. */
export function timeTickText(ms, unit) {
  const d = new Date(ms);
  if (unit === 'year') return String(d.getFullYear());
  if (unit === 'month') return d.getMonth() === 0 ? String(d.getFullYear()) : MONTHS[d.getMonth()];
  const day = `${d.getDate()} ${MONTHS[d.getMonth()]}`;
  if (unit === 'day') return day;
  if (unit === 'ms')
    return `${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;
  if (unit === 's') return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return d.getHours() === 0 && d.getMinutes() === 0
    ? day
    : `${two(d.getHours())}:${two(d.getMinutes())}`;
}

/** About how wide a text is at the charts' 11 px. */
export function textWidth(text, size = 11) {
  let width = 0;
  for (const c of text)
    width += /[ilj.,:'|! ]/.test(c) ? 0.3 : /[mwMW]/.test(c) ? 0.85 : c > '\u2e80' ? 1 : 0.57;
  return width * size;
}

/** Cuts a text to a width, with an ellipsis. */
export function fit(text, width, size = 11) {
  if (textWidth(text, size) <= width) return text;
  let kept = '';
  for (const c of text) {
    if (textWidth(`${kept}${c}\u2026`, size) > width) break;
    kept += c;
  }
  return `${kept.trimEnd()}\u2026`;
}
