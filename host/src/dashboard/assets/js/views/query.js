// Query texts: filters added to them, and panels' queries written as text where they can be.

const SPECIAL = /[+\-=&|><!(){}[\]^"~*?:\\/\s]/;

/** A value as it stands in a query: numbers and plain words bare, everything else quoted. */
export function quoted(value) {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = String(value);
  return text !== '' && !SPECIAL.test(text) && !/^(AND|OR|NOT)$/.test(text)
    ? text
    : `"${text.replace(/(["\\])/g, '\\$1')}"`;
}

/** The query with one more condition, for or against a value. */
export function withFilter(query, path, value, wanted) {
  const condition = `${wanted ? '' : 'NOT '}${path}:${quoted(value)}`;
  const now = query.trim();
  if (!now || now === '*') return condition;
  return `${/\sOR\s/.test(now) && !/^\(.*\)$/.test(now) ? `(${now})` : now} AND ${condition}`;
}

/** The conditions that AND joins, outside of quotes and brackets; all of it when OR is there too. */
export function conditions(query) {
  const parts = [];
  let part = '';
  let quote = false;
  let depth = 0;
  for (let i = 0; i < query.length; i += 1) {
    const c = query[i];
    if (c === '\\') {
      part += c + (query[i + 1] ?? '');
      i += 1;
      continue;
    }
    if (c === '"') quote = !quote;
    if (!quote && '([{'.includes(c)) depth += 1;
    if (!quote && ')]}'.includes(c)) depth -= 1;
    if (!quote && depth === 0 && query.startsWith(' OR ', i)) return [query.trim()];
    if (!quote && depth === 0 && query.startsWith(' AND ', i)) {
      parts.push(part.trim());
      part = '';
      i += 4;
      continue;
    }
    part += c;
  }
  return [...parts, part.trim()].filter(Boolean);
}

/** The condition that leaves one bucket of an aggregation; null where no text says it. */
export function bucketCondition({ kind, field, interval }, key) {
  if (!field || key === 'Other') return null;
  if (kind === 'terms') return `${field}:${quoted(key)}`;
  if (kind === 'histogram' && interval) {
    return `${field}:[${key} TO ${key + interval}}`;
  }
  if (kind === 'date_histogram' && interval) {
    const at = (ms) => new Date(ms).toISOString();
    return `${field}:["${at(key)}" TO "${at(key + interval)}"}`;
  }
  return null;
}

/** The query with one condition more, or without it if it is there already. */
export function flipped(query, condition) {
  const now = conditions(query);
  const next = now.includes(condition)
    ? now.filter((other) => other !== condition)
    : [...now, condition];
  return next.join(' AND ');
}

/** An Elasticsearch query as query text; null when it says more than the text can. */
export function asText(query) {
  if (query === undefined || query === null) return '';
  if (typeof query === 'string') return query;
  const kind = Object.keys(query)[0];
  const body = query[kind];
  if (kind === 'match_all') return '';
  if (kind === 'query_string') return body.query ?? null;
  if (kind === 'term')
    return pairs(
      body,
      (path, value) =>
        `${path}:${quoted(value !== null && typeof value === 'object' ? value.value : value)}`,
    );
  if (kind === 'terms')
    return pairs(body, (path, values) => `${path}:(${values.map(quoted).join(' OR ')})`);
  if (kind === 'exists') return `_exists_:${body.field}`;
  if (kind === 'range') return pairs(body, rangeText);
  if (kind === 'bool') return boolText(body);
  return null;
}

function pairs(body, write) {
  return Object.entries(body)
    .filter(([path]) => path !== 'boost')
    .map(([path, value]) => write(path, value))
    .join(' AND ');
}

function rangeText(path, range) {
  const from = range.gte ?? range.gt ?? '*';
  const to = range.lte ?? range.lt ?? '*';
  return `${path}:${range.gt === undefined ? '[' : '{'}${from} TO ${to}${range.lt === undefined ? ']' : '}'}`;
}

function boolText(body) {
  if (body.should) return null;
  const list = (clauses) =>
    (clauses === undefined ? [] : Array.isArray(clauses) ? clauses : [clauses]).map(asText);
  const wanted = [...list(body.must), ...list(body.filter)];
  const refused = list(body.must_not);
  if ([...wanted, ...refused].includes(null)) return null;
  return [
    ...wanted
      .filter(Boolean)
      .map((text) => (/\sOR\s/.test(text) && !/:\(/.test(text) ? `(${text})` : text)),
    ...refused.filter(Boolean).map((text) => `NOT (${text})`),
  ].join(' AND ');
}
