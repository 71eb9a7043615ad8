// Calls to the node. A failure is always an ApiError that says what failed and what to do.

export class ApiError extends Error {
  constructor(status, code, message, hint) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

async function problem(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy's HTML page, or nothing at all: the status has to do.
  }
  const error = body && body.error;
  if (error && typeof error === 'object') {
    const code = error.code || error.type || `http_${response.status}`;
    const cause = error.root_cause && error.root_cause[0];
    const message = error.message || (cause && cause.reason) || error.reason || response.statusText;
    return new ApiError(response.status, code, message, error.hint || '');
  }
  return new ApiError(
    response.status,
    `http_${response.status}`,
    `the node answered ${response.status} ${response.statusText}`.trim(),
    '',
  );
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(
      0,
      'unreachable',
      'the node does not answer',
      'Check that wstream is running; the page reconnects by itself.',
    );
  }
  if (!response.ok) throw await problem(response);
  return response;
}

export async function getJson(path, signal) {
  const response = await call(path, { signal, headers: { accept: 'application/json' } });
  return response.json();
}

/** One JSON value a line; blank lines are skipped. */
export async function getLines(path, signal) {
  const response = await call(path, { signal, headers: { accept: 'application/x-ndjson' } });
  const text = await response.text();
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line));
}

export async function postJson(path, body, signal) {
  const response = await call(path, {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
  });
  return response.json();
}

/** Part of a path, escaped; commas and stars of index patterns stay readable. */
export function segment(name) {
  return encodeURIComponent(name).replace(/%2C/gi, ',').replace(/%2A/gi, '*');
}

/**
 * A value fetched once and again on `retry`; `state` is loading, error or data.
 * A newer load makes the answer of an older one void.
 */
export class Resource {
  constructor(load, changed) {
    this.load = load;
    this.changed = changed;
    this.state = 'loading';
    this.value = null;
    this.error = null;
    this.turn = null;
  }

  start() {
    if (this.turn) this.turn.abort();
    const turn = new AbortController();
    this.turn = turn;
    this.load(turn.signal).then(
      (value) => {
        if (turn === this.turn) this.settle('data', value, null);
      },
      (error) => {
        if (turn === this.turn && error.name !== 'AbortError')
          this.settle('error', this.value, error);
      },
    );
    return this;
  }

  settle(state, value, error) {
    this.state = state;
    this.value = value;
    this.error = error;
    this.changed();
  }

  retry() {
    this.state = this.value === null ? 'loading' : this.state;
    this.start();
    this.changed();
  }

  stop() {
    if (this.turn) this.turn.abort();
    this.turn = null;
  }
}
