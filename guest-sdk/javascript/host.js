// The transform's log, its metrics and the clock. Import it only where it is used.

import { log as write, metric as report, nowMs } from 'wstream:transform/host@1.0.0';

const level = (name) => (message) => write(name, String(message));
const kind = (name) => (metric, value) => report(name, metric, value);

/** Writes lines to the transform's log. */
export const log = {
  trace: level('trace'),
  debug: level('debug'),
  info: level('info'),
  warn: level('warn'),
  error: level('error'),
};

/** Reports numbers: adds to a counter, sets a gauge, observes into a histogram. */
export const metric = {
  count: (name, value = 1) => report('counter', name, value),
  gauge: kind('gauge'),
  observe: kind('histogram'),
};

/** Milliseconds since 1970. */
export const now = () => Number(nowMs());
