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
  return problemOf(response.status, response.statusText, body);
}

function problemOf(status, statusText, body) {
  const error = body && body.error;
  if (error && typeof error === 'object') {
    const code = error.code || error.type || `http_${status}`;
    const cause = error.root_cause && error.root_cause[0];
    const message = error.message || (cause && cause.reason) || error.reason || statusText;
    return new ApiError(status, code, message, error.hint || '');
  }
  return new ApiError(
    status,
    `http_${status}`,
    `the node answered ${status} ${statusText}`.trim(),
    '',
  );
}

const unreachable = () =>
  new ApiError(
    0,
    'unreachable',
    'the node does not answer',
    'Check that wstream is running; the page reconnects by itself.',
  );

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw unreachable();
  }
  if (!response.ok) throw await problem(response);
  return response;
}

export async function getJson(path, signal) {
  const response = await call(path, { signal, headers: { accept: 'application/json' } });
  return response.json();
}

/**
 * Records, one a line; blank lines are skipped, and so are those that tell of missing offsets: the
 * offsets that are shown tell it too. A last line that says why reading ended is thrown.
 */
export async function getLines(path, signal) {
  const response = await call(path, { signal, headers: { accept: 'application/x-ndjson' } });
  const text = await response.text();
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line))
    .filter((line) => {
      if (line.error) throw problemOf(response.status, '', line);
      return !line.missing;
    });
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

/** Changes something: with the token, if the node asked for one. A JSON answer, or null for none. */
export async function send(method, path, { body, type } = {}) {
  const headers = { accept: 'application/json', ...authorization() };
  if (type) headers['content-type'] = type;
  const response = await call(path, { method, headers, body });
  return response.status === 204 ? null : response.json();
}

/** PUTs a file; `progress(sent, total)` in bytes. Only this old interface tells what was sent. */
export function upload(path, file, type, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', path);
    request.responseType = 'json';
    request.setRequestHeader('content-type', type);
    for (const [name, value] of Object.entries(authorization())) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => progress(event.loaded, event.total || file.size);
    request.onerror = () => reject(unreachable());
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(problemOf(request.status, request.statusText, request.response));
    };
    request.send(file);
  });
}

const TOKEN_KEY = 'wstream.token';
let token = null;

/** Keeps the node's token until the tab is closed. */
export function keepToken(text) {
  token = text;
  try {
    sessionStorage.setItem(TOKEN_KEY, text);
  } catch {
    // Private windows may refuse storage; the token then lasts until the page is loaded again.
  }
}

function authorization() {
  try {
    token = token || sessionStorage.getItem(TOKEN_KEY);
  } catch {
    // As above.
  }
  return token ? { authorization: `Bearer ${token}` } : {};
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
