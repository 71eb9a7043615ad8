// What the node pushes. When the stream breaks, the last data stays, marked with its age.

import { Speeds } from './speeds.js';

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 8000;
const HISTORY_MS = 15 * 60 * 1000;
const HISTORY_STEP_MS = 2000;
const HISTORY_KEY = 'wstream.history';

/**
 * A server-sent event stream that reconnects by itself, with growing waits.
 * `state` is connecting, open or reconnecting; `at` is when the last event came.
 * A hidden page lets go of its stream: a browser has six connections to one server for all tabs.
 */
export class Stream {
  constructor(path, events, changed) {
    this.path = path;
    this.events = events;
    this.changed = changed;
    this.state = 'connecting';
    this.at = 0;
    this.connections = 0;
    this.wait = RETRY_FIRST_MS;
    this.timer = 0;
    this.source = null;
    this.seen = () => (document.hidden ? this.release() : this.open());
    document.addEventListener('visibilitychange', this.seen);
    if (!document.hidden) this.open();
  }

  open() {
    this.release();
    const source = new EventSource(this.path);
    this.source = source;
    source.onopen = () => {
      this.wait = RETRY_FIRST_MS;
      this.connections += 1;
      this.move('open');
    };
    source.onerror = () => {
      // The browser's own retry gives up on any HTTP error; ours does not.
      source.close();
      if (this.source !== source) return;
      this.source = null;
      this.move('reconnecting');
      this.timer = setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, RETRY_MAX_MS);
    };
    for (const [name, hear] of Object.entries(this.events)) {
      source.addEventListener(name, (event) => {
        this.at = Date.now();
        let value;
        try {
          value = JSON.parse(event.data);
        } catch {
          return;
        }
        hear(value);
      });
    }
  }

  move(state) {
    if (this.state === state) return;
    this.state = state;
    this.changed(state);
  }

  release() {
    clearTimeout(this.timer);
    if (this.source) this.source.close();
    this.source = null;
  }

  close() {
    document.removeEventListener('visibilitychange', this.seen);
    this.release();
  }
}

/** The node's statistics and the last quarter of an hour of its rates. */
export class Live {
  constructor(changed) {
    this.stats = null;
    this.changed = changed;
    this.history = recall();
    this.speeds = new Speeds();
    this.stream = new Stream('/api/v1/live', { stats: (stats) => this.hear(stats) }, changed);
    // Age texts move on even when nothing arrives.
    this.timer = setInterval(() => changed(), 1000);
    window.addEventListener('pagehide', () => remember(this.history));
  }

  get state() {
    return this.stream.state;
  }

  age() {
    return this.stream.at ? Date.now() - this.stream.at : null;
  }

  /** An array of the statistics, or null before the first event. */
  list(name) {
    const value = this.stats && this.stats[name];
    return Array.isArray(value) ? value : null;
  }

  hear(stats) {
    if (!stats || typeof stats !== 'object') return;
    this.stats = stats;
    this.note(Date.now());
    this.speeds.note(
      Date.now(),
      (this.list('transforms') || []).map((row) => [versionKey(row), row.records]),
    );
    this.changed();
  }

  /** Records a second of one version of a module, over the last seconds; null if not known yet. */
  speedOf(row) {
    const now = this.state === 'open' ? Date.now() : this.stream.at;
    return this.speeds.of(versionKey(row), now);
  }

  note(now) {
    const last = this.history[this.history.length - 1];
    if (last && now - last.t < HISTORY_STEP_MS) return;
    const sum = (list, field) =>
      (list || []).reduce((total, item) => total + (Number(item[field]) || 0), 0);
    const sourced = sum(this.list('sources'), 'records_per_second');
    const consumed = sum(this.list('pipelines'), 'in_per_second');
    const node = this.stats.node || {};
    this.history.push({
      t: now,
      in: Math.max(sourced, consumed),
      out: sum(this.list('pipelines'), 'out_per_second'),
      memory: node.memory_bytes ?? null,
      log: node.log_bytes ?? null,
    });
    while (this.history.length && now - this.history[0].t > HISTORY_MS) this.history.shift();
  }
}

const versionKey = (row) => `${row.name}@${row.version} ${row.sha256}`;

function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(HISTORY_KEY)) || [];
    return kept.filter((point) => Date.now() - point.t < HISTORY_MS);
  } catch {
    return [];
  }
}

function remember(history) {
  try {
    sessionStorage.setItem(HISTORY_KEY, JSON.stringify(history));
  } catch {
    // Private windows may refuse storage; the chart then starts anew.
  }
}
