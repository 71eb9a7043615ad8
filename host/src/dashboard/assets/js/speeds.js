// Speeds of counters, by difference over the last seconds. A counter that nobody mentions is as
// it was; one that goes back began anew.

const WINDOW_MS = 5000;

export class Speeds {
  constructor() {
    this.counters = new Map();
  }

  /** `entries` are the names and values of all counters there are. */
  note(now, entries) {
    const names = new Set();
    for (const [name, value] of entries) {
      names.add(name);
      let points = this.counters.get(name) || [];
      const last = points[points.length - 1];
      if (last && value < last.value) points = [];
      points.push({ t: now, value });
      while (points.length > 1 && points[1].t <= now - WINDOW_MS) points.shift();
      this.counters.set(name, points);
    }
    for (const name of this.counters.keys()) {
      if (!names.has(name)) this.counters.delete(name);
    }
  }

  /** A second's difference; null before there are two points in time. */
  of(name, now) {
    const points = this.counters.get(name) || [];
    if (!points.length) return null;
    const last = points[points.length - 1];
    const base = points.findLast((point) => point.t <= now - WINDOW_MS) || points[0];
    const ms = now - base.t;
    return ms > 0 && (base !== last || ms >= WINDOW_MS)
      ? ((last.value - base.value) * 1000) / ms
      : null;
  }
}
