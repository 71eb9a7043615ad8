// Turns a panel and its search result into what the charts draw, and into the table that says
// the same. A model is `{ kind, x, y, series: [{ name, points: [{ x, y }] }], note }`; a point
// that is not in the result is a gap, never a zero.

export const SERIES_MAX = 8;
const BUCKETS = [
  'terms',
  'histogram',
  'date_histogram',
  'range',
  'date_range',
  'filters',
  'filter',
  'missing',
];
const INTERVALS = {
  ms: 1,
  s: 1000,
  m: 60000,
  h: 3600000,
  d: 86400000,
  w: 604800000,
  minute: 60000,
  hour: 3600000,
  day: 86400000,
  week: 604800000,
};

const subAggs = (def) => (def && (def.aggs || def.aggregations)) || {};
const kindOf = (def) =>
  Object.keys(def || {}).find((key) => !['aggs', 'aggregations', 'meta'].includes(key)) || '';
const isBucket = (def) => BUCKETS.includes(kindOf(def));

/** The number of matching documents, however the answer writes it. */
export function totalOf(result) {
  const total = result && (result.total ?? (result.hits && result.hits.total));
  return typeof total === 'object' && total !== null ? total.value : total;
}

function intervalOf(kind, settings) {
  if (kind === 'histogram') return Number(settings.interval) || null;
  if (kind !== 'date_histogram') return null;
  const text = String(
    settings.fixed_interval || settings.calendar_interval || settings.interval || '',
  );
  const match = /^(\d*)\s*([a-z]+)$/.exec(text);
  return match && INTERVALS[match[2]] ? (Number(match[1]) || 1) * INTERVALS[match[2]] : null;
}

let regions = null;

/** A label for a bucket's key: from the panel's table of labels, or a region's name. */
export function labelOf(key, labels) {
  const text = String(key);
  if (labels && typeof labels === 'object' && typeof labels[text] === 'string') return labels[text];
  if (labels === 'region' && /^[A-Z]{2}$/.test(text)) {
    try {
      regions = regions || new Intl.DisplayNames(['en'], { type: 'region' });
      return regions.of(text) || text;
    } catch {
      return text;
    }
  }
  if (labels === 'capital') return text.charAt(0).toUpperCase() + text.slice(1);
  return text;
}

function metricValue(def, answer) {
  if (!answer) return null;
  const value = 'value' in answer ? answer.value : (answer.avg ?? answer.doc_count ?? null);
  if (value === null && kindOf(def) === 'value_count') return 0;
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function bucketList(answer) {
  const buckets = answer && answer.buckets;
  if (Array.isArray(buckets)) return buckets;
  if (buckets && typeof buckets === 'object')
    return Object.entries(buckets).map(([key, bucket]) => ({ key, ...bucket }));
  return answer && typeof answer.doc_count === 'number' ? [{ key: 'matching', ...answer }] : [];
}

function bucketKey(bucket, type) {
  if (type !== 'category') return Number(bucket.key);
  return String(bucket.key_as_string ?? bucket.key);
}

/** What one bucket is worth: the metric inside it, or how many documents it holds. */
function bucketValue(bucket, metric) {
  if (!metric) return bucket.doc_count ?? null;
  // An empty bucket has no mean; its count of zero must not become a value of zero.
  if (!bucket.doc_count && metric.kind !== 'value_count') return null;
  return metricValue(metric.def, bucket[metric.name]);
}

function parts(aggs, options) {
  const names = Object.keys(aggs);
  const split = names.find((name) => isBucket(aggs[name]));
  const wanted =
    options.value && aggs[options.value]
      ? options.value
      : names.find((name) => !isBucket(aggs[name]));
  return {
    split: split === undefined ? null : { name: split, def: aggs[split] },
    metric:
      wanted === undefined ? null : { name: wanted, def: aggs[wanted], kind: kindOf(aggs[wanted]) },
  };
}

/** The model of a panel; throws nothing, whatever the result holds. */
export function modelOf(panel, result) {
  const options = panel.options || {};
  const aggs = panel.aggs || panel.aggregations || {};
  const name = Object.keys(aggs)[0];
  const base = {
    kind: panel.chart || 'table',
    title: panel.title || panel.id,
    description: panel.description || '',
    total: totalOf(result) ?? null,
    note: '',
    options,
  };
  const answer = name === undefined ? null : ((result && result.aggregations) || {})[name];
  if (name === undefined || !isBucket(aggs[name])) {
    const value = name === undefined ? base.total : metricValue(aggs[name], answer);
    return {
      ...base,
      kind: base.kind === 'table' ? 'table' : 'number',
      value,
      x: axisX('category', options),
      y: axisY(options, null),
      series: [{ name: base.title, points: [{ x: base.title, y: value }] }],
    };
  }
  return bucketModel(base, aggs[name], answer, options);
}

function axisX(type, options, interval = null) {
  return {
    type,
    label: options.x_label || 'Value',
    labels: options.labels,
    interval,
    plain: options.plain !== false,
    discrete: Boolean(options.discrete),
  };
}

function axisY(options, metric) {
  return {
    label: options.y_label || (metric ? metric.name : 'Count'),
    decimals: options.decimals,
    unit: options.unit || '',
    min: options.y_min,
    max: options.y_max,
  };
}

function bucketModel(base, def, answer, options) {
  const kind = kindOf(def);
  const type = kind === 'histogram' ? 'number' : kind === 'date_histogram' ? 'time' : 'category';
  const { split, metric } = parts(subAggs(def), options);
  const buckets = bucketList(answer);
  const x = axisX(type, options, intervalOf(kind, def[kind] || {}));
  let series;
  if (split) {
    const inner = parts(subAggs(split.def), options).metric;
    series = splitSeries(buckets, split, inner, type, options);
  } else {
    const points = buckets.map((bucket) => ({
      x: bucketKey(bucket, type),
      y: bucketValue(bucket, metric),
    }));
    series = [
      {
        name:
          base.kind === 'pie' ? base.title : options.y_label || (metric ? metric.name : 'Count'),
        points,
      },
    ];
  }
  const rest = answer && answer.sum_other_doc_count;
  const note = rest > 0 && options.rest !== false ? `${rest} more in other groups` : '';
  return {
    ...base,
    x,
    y: axisY(options, split ? null : metric),
    series,
    note,
    split: Boolean(split),
    source: { kind, field: (def[kind] || {}).field, interval: x.interval },
  };
}

/** One series for each key of the inner buckets: the eight largest, the rest as "Other". */
function splitSeries(buckets, split, metric, type, options) {
  const byKey = new Map();
  for (const bucket of buckets) {
    for (const inner of bucketList(bucket[split.name])) {
      const key = String(inner.key_as_string ?? inner.key);
      if (!byKey.has(key)) byKey.set(key, { key, sum: 0, values: new Map() });
      const entry = byKey.get(key);
      const value = bucketValue(inner, metric);
      entry.sum += value || 0;
      entry.values.set(bucketKey(bucket, type), value);
    }
  }
  const ranked = [...byKey.values()].sort((a, b) => b.sum - a.sum || (a.key < b.key ? -1 : 1));
  const kept = ranked.length > SERIES_MAX ? ranked.slice(0, SERIES_MAX - 1) : ranked;
  // By name, not by size: a series keeps its colour while the numbers move.
  const shown = kept.slice().sort((a, b) => (a.key < b.key ? -1 : 1));
  const named = Object.keys(options.series_labels || {});
  const series = shown.map((entry, i) => ({
    name: labelOf(entry.key, options.series_labels),
    // A filter that leaves one series must not change its colour.
    slot: named.includes(entry.key) ? named.indexOf(entry.key) % SERIES_MAX : i,
    points: buckets.map((bucket) => {
      const at = bucketKey(bucket, type);
      return { x: at, y: entry.values.has(at) ? entry.values.get(at) : null };
    }),
  }));
  const rest = ranked.slice(kept.length);
  if (rest.length) {
    series.push({
      name: 'Other',
      points: buckets.map((bucket) => {
        const at = bucketKey(bucket, type);
        const values = rest
          .map((entry) => entry.values.get(at))
          .filter((value) => typeof value === 'number');
        return { x: at, y: values.length ? values.reduce((a, b) => a + b, 0) : null };
      }),
    });
  }
  return series;
}

/** True when there is nothing to draw. */
export function isEmpty(model) {
  if (model.kind === 'number') return model.value === null || model.value === undefined;
  return model.series.every((series) =>
    series.points.every((point) => point.y === null || point.y === undefined),
  );
}

/** The same numbers as rows: `{ head: [...], rows: [[key, value, ...]] }`, empty buckets left out. */
export function tableOf(model) {
  const head = [model.x.label, ...model.series.map((series) => series.name)];
  const order = new Map();
  model.series.forEach((series, s) => {
    for (const point of series.points) {
      if (!order.has(point.x)) order.set(point.x, new Array(model.series.length).fill(null));
      order.get(point.x)[s] = point.y;
    }
  });
  const rows = [...order.entries()].filter(([, values]) => values.some((value) => value !== null));
  if (model.x.type !== 'category') rows.sort((a, b) => a[0] - b[0]);
  return { head, rows: rows.map(([x, values]) => [x, ...values]) };
}

/** RFC 4180, with spreadsheet formulas made harmless. */
export function csvOf(model) {
  const { head, rows } = tableOf(model);
  const cell = (value) => {
    if (value === null || value === undefined) return '';
    if (typeof value === 'number') return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  const keyed = rows.map(([x, ...values]) => [
    model.x.type === 'time' ? new Date(x).toISOString() : x,
    ...values,
  ]);
  return [head, ...keyed].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}
