// Transforms: every module that runs or was uploaded; versions, size, speed, time per record.

import { h } from '../dom.js';
import { getJson, Resource } from '../api.js';
import { exact, nanos, plural } from '../format.js';
import { href } from '../router.js';
import { alarm, card, num, size, speed } from '../parts/bits.js';
import { stateOf } from '../parts/states.js';
import { amount, table } from '../parts/table.js';
import { Upload } from './upload.js';

const REFRESH_MS = 5000;

export const NO_TRANSFORM = {
  title: 'No transforms yet',
  text: 'A transform is a function from a record to records, compiled to WebAssembly. Make one, or upload one that is there:',
  command: 'wstream transform new my-transform',
};

export const failuresOf = (row) =>
  Object.values(row.failures || {}).reduce((sum, count) => sum + count, 0);

export function perRecord(ns) {
  return h(
    'span',
    { class: 'figure', title: Number.isFinite(ns) ? `${exact(ns)} ns per record` : '' },
    nanos(ns),
  );
}

export function pipelineLinks(row) {
  return (row.pipelines || []).map((name, i) => [
    i ? ', ' : null,
    h('a', { href: href('pipelines', name) }, name),
  ]);
}

/** What runs, and after it what only lies in the registry. */
function rowsOf(running, modules) {
  const kept = new Map(modules.map((module) => [module.name, module]));
  const names = new Set(running.map((row) => row.name));
  const rows = running.map((row) => ({ ...row, module: kept.get(row.name) }));
  for (const module of modules) {
    const active = module.versions.find((entry) => entry.version === module.active);
    if (names.has(module.name) || !active) continue;
    rows.push({
      name: module.name,
      version: String(module.active),
      kind: active.abi,
      sha256: active.sha256,
      size: active.size,
      module,
    });
  }
  return rows;
}

export class Transforms {
  constructor({ live, router, redraw }) {
    Object.assign(this, { live, router });
    this.all = new Resource((signal) => getJson('/api/v1/transforms', signal), redraw).start();
    this.upload = new Upload({ redraw, done: () => this.all.start() });
    this.timer = setInterval(() => {
      if (!document.hidden && this.all.state !== 'loading') this.all.start();
    }, REFRESH_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.all.stop();
  }

  draw() {
    const pushed = this.live.list('transforms');
    const { value } = this.all;
    // While the page waits for its first answer, what is pushed is better than nothing: if it is
    // nothing, there may still be modules that do not run.
    if (pushed && (value || pushed.length))
      this.all.value = { ...(value || {}), transforms: pushed };
    return this.upload.target(
      stateOf(this.all, {
        what: 'The transforms could not be loaded',
        isEmpty: (all) => !(all.transforms || []).length && !(all.modules || []).length,
        whenEmpty: { ...NO_TRANSFORM, action: this.upload.button('a module') },
        draw: (all) => this.list(rowsOf(all.transforms || [], all.modules || [])),
      }),
    );
  }

  list(rows) {
    const speedOf = (row) => (row.pipelines ? this.live.speedOf(row) : null);
    const shown = table({
      label: 'Transforms',
      rows,
      keyOf: (row) => `${row.name}@${row.version} ${row.sha256}`,
      router: this.router,
      order: 'name',
      columns: [
        {
          id: 'name',
          name: 'Transform',
          by: (row) => row.name,
          cell: (row) => h('a', { class: 'name', href: href('transforms', row.name) }, row.name),
        },
        {
          id: 'version',
          name: 'Version',
          by: (row) => String(row.version ?? ''),
          cell: (row) => [
            row.version || '\u2013',
            row.module && row.module.versions.length > 1
              ? h('span', { class: 'muted' }, ` of ${exact(row.module.versions.length)}`)
              : null,
          ],
        },
        {
          id: 'kind',
          name: 'Kind',
          low: true,
          by: (row) => row.kind,
          cell: (row) => h('code', {}, row.kind),
        },
        amount('size', 'Size', 'size', size),
        {
          id: 'rate',
          name: 'Records/s',
          num: true,
          by: (row) => speedOf(row) || 0,
          cell: (row) => speed(speedOf(row)),
        },
        amount('records', 'Records', 'records', num),
        amount('time', 'Time per record', 'ns_per_record', perRecord),
        {
          id: 'failures',
          name: 'Failures',
          num: true,
          by: failuresOf,
          cell: (row) => (row.pipelines ? alarm(failuresOf(row)) : '\u2013'),
        },
        {
          id: 'pipelines',
          name: 'Pipelines',
          cell: (row) =>
            row.pipelines && row.pipelines.length
              ? pipelineLinks(row)
              : h('span', { class: 'quiet' }, 'none'),
        },
      ],
    });
    const names = new Set(rows.map((row) => row.name)).size;
    return card(plural(names, 'transform'), shown, {
      flush: true,
      key: 'transforms',
      actions: this.upload.button('a module'),
    });
  }
}
