// What can be told from a page of documents: their fields, which of them is the time, how to
// show a value in one line.

const FIELDS_MAX = 200;
const DEPTH_MAX = 5;
const COLUMNS = 6;
const ISO = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;
const TIMES_FIRST = ['@timestamp', 'timestamp', 'time', 'ts', 'date', 'created_at'];
const STEPS = [
  [1, '1ms'],
  [10, '10ms'],
  [100, '100ms'],
  [1000, '1s'],
  [5000, '5s'],
  [10000, '10s'],
  [30000, '30s'],
  [60000, '1m'],
  [300000, '5m'],
  [600000, '10m'],
  [1800000, '30m'],
  [3600000, '1h'],
  [10800000, '3h'],
  [21600000, '6h'],
  [43200000, '12h'],
  [86400000, '1d'],
  [604800000, '7d'],
  [2592000000, '30d'],
  [31536000000, '365d'],
];
const BUCKETS = 80;

/** The fixed interval that cuts `from..to` into at most eighty buckets. */
export function intervalFor(from, to) {
  const found = STEPS.find(([ms]) => (to - from) / ms <= BUCKETS);
  return found ? found[1] : `${Math.ceil((to - from) / BUCKETS / 86400000)}d`;
}

/** How long an interval text is. */
export function bucketMs(text) {
  const found = STEPS.find(([, name]) => name === text);
  return found ? found[0] : parseInt(text, 10) * 86400000;
}

/** The fields of these documents, in order of appearance: `{ path, kind, count }`. */
export function fieldsOf(hits) {
  const fields = new Map();
  const note = (path, value) => {
    if (!fields.has(path)) {
      if (fields.size >= FIELDS_MAX) return;
      fields.set(path, { path, kind: 'null', count: 0, length: 0 });
    }
    const entry = fields.get(path);
    entry.count += 1;
    if (entry.kind === 'null' && value !== null) entry.kind = typeof value;
    if (typeof value === 'string' && ISO.test(value) && entry.kind === 'string')
      entry.dates = (entry.dates || 0) + 1;
    entry.length = Math.max(entry.length, String(value).length);
  };
  const walk = (value, path, depth) => {
    if (Array.isArray(value)) {
      const plain = value.filter((item) => item === null || typeof item !== 'object');
      if (plain.length || !value.length) note(path, plain[0] ?? null);
      else if (depth < DEPTH_MAX) value.slice(0, 20).forEach((item) => walk(item, path, depth + 1));
    } else if (value !== null && typeof value === 'object') {
      if (depth >= DEPTH_MAX) return;
      for (const [name, inner] of Object.entries(value))
        walk(inner, path ? `${path}.${name}` : name, depth + 1);
    } else if (path) note(path, value);
  };
  for (const hit of hits) walk(hit._source, '', 0);
  return [...fields.values()];
}

/** The path of the documents' time, or null. */
export function timeFieldOf(hits) {
  const dated = fieldsOf(hits)
    .filter((entry) => entry.dates && entry.dates >= hits.length * 0.8)
    .map((entry) => entry.path);
  return TIMES_FIRST.find((path) => dated.includes(path)) || dated[0] || null;
}

/** The chosen columns, or the first few that fit on a line. */
export function columnsFor(fields, chosen) {
  if (chosen.length) return chosen;
  const short = fields.filter((entry) => entry.length <= 80);
  return (short.length ? short : fields).slice(0, COLUMNS).map((entry) => entry.path);
}

/** The value at a dotted path; several, through arrays, come back as a list. */
export function valueAt(source, path) {
  if (source && typeof source === 'object' && path in source) return source[path];
  let values = [source];
  for (const name of path.split('.')) {
    values = values
      .flat()
      .map((value) => (value !== null && typeof value === 'object' ? value[name] : undefined))
      .filter((value) => value !== undefined);
  }
  return values.length > 1 ? values : values[0];
}

/** A value in one line. */
export function cellText(value) {
  if (value === null || value === undefined) return '\u2013';
  if (Array.isArray(value))
    return value
      .map((item) =>
        item !== null && typeof item === 'object' ? JSON.stringify(item) : String(item),
      )
      .join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
