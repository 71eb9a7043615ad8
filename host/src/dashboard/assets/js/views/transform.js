// One transform: what runs of it, the versions that were uploaded, a place to try it, its log.

import { h } from '../dom.js';
import { getJson, Resource, segment, send } from '../api.js';
import { exact, plural } from '../format.js';
import { href } from '../router.js';
import { Action } from '../parts/action.js';
import { alarm, card, copyButton, facts, num, size, speed, tabs, tile } from '../parts/bits.js';
import { close, dialog } from '../parts/dialog.js';
import { icon } from '../parts/icons.js';
import { empty, failure, loading } from '../parts/states.js';
import { table } from '../parts/table.js';
import { ModuleLog } from './modulelog.js';
import { ModuleTest } from './moduletest.js';
import { failuresOf, NO_TRANSFORM, perRecord, pipelineLinks } from './transforms.js';
import { Upload } from './upload.js';
import { versionTable } from './versions.js';

const REFRESH_MS = 3000;

export class Transform {
  constructor({ live, router, redraw, name }) {
    Object.assign(this, { live, router, redraw, name });
    this.path = `/api/v1/transforms/${segment(name)}`;
    this.module = new Resource((signal) => getJson(this.path, signal), redraw).start();
    this.upload = new Upload({ redraw, name, done: () => this.module.start() });
    this.switching = new Action(redraw);
    this.deleting = new Action(redraw);
    this.asking = false;
    this.typed = '';
    this.log = new ModuleLog({ router, redraw, name });
    this.test = new ModuleTest({ live, redraw, name });
    this.timer = setInterval(() => {
      if (!document.hidden && this.module.state !== 'loading') this.module.start();
    }, REFRESH_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.module.stop();
    this.log.stop();
    this.test.stop();
  }

  draw() {
    const { module, name } = this;
    if (module.state === 'error' && (module.value === null || module.error.status === 404)) {
      return module.error.status === 404
        ? this.none()
        : failure(module.error, () => module.retry(), `The transform ${name} could not be loaded`);
    }
    if (module.value === null) return loading(6);
    const { versions = [], active } = module.value;
    const pushed = this.live.list('transforms');
    const running = pushed ? pushed.filter((row) => row.name === name) : module.value.running || [];
    if (!versions.length && !running.length) return this.none();
    const tab = this.router.at.query.get('tab') || 'overview';
    const to = (other) => href('transforms', name, { tab: other === 'overview' ? null : other });
    const link = (words, id) => ({ name: words, href: to(id), on: tab === id });
    return this.upload.target([
      h(
        'div',
        { key: 'tabs' },
        tabs('Transform', [
          link('Overview', 'overview'),
          link('Try it', 'try'),
          link('Log', 'log'),
        ]),
      ),
      h('div', { class: 'stack', key: `tab ${tab}` }, this.tab(tab, { active, versions, running })),
      this.asking ? this.confirmation(versions) : null,
    ]);
  }

  none() {
    return this.upload.target(
      empty({
        ...NO_TRANSFORM,
        title: `There is no transform named ${this.name}`,
        action: this.upload.button(this.name),
      }),
    );
  }

  tab(tab, module) {
    this.log.follow(tab === 'log');
    if (tab === 'log') return this.log.draw();
    if (tab === 'try') return this.test.draw(module);
    const several = module.running.length > 1;
    return [
      module.running.map((row) => this.running(row, module)),
      module.versions.length
        ? this.versions(module)
        : h(
            'div',
            { class: 'bar', key: 'upload' },
            h(
              'p',
              { class: 'muted grow' },
              'It runs from a file. Upload it and name it in the pipeline instead of the file: then versions can be switched while it runs.',
            ),
            this.upload.button('it'),
          ),
      module.running.map((row) => this.details(row, several)),
    ];
  }

  running(row, { versions }) {
    const version = row.version ? `version ${row.version}` : 'of a file';
    const isKnown = versions.some(
      (entry) => entry.sha256 === row.sha256 && String(entry.version) === row.version,
    );
    return h(
      'section',
      {
        class: 'tiles',
        key: `tiles ${row.version} ${row.sha256}`,
        'aria-label': `Running: ${version}`,
      },
      tile('Running', row.version || '\u2013', isKnown ? 'version uploaded here' : 'from a file'),
      tile('Records/s', speed(this.live.speedOf(row)), 'over the last 5 s'),
      tile('Records', num(row.records), `${exact(row.outputs)} outputs`),
      tile('Time per record', perRecord(row.ns_per_record), 'mean since it started'),
      tile('Failures', alarm(failuresOf(row)), failuresOf(row) ? 'see by code below' : 'none'),
      tile('Memory', size(row.memory_bytes), plural(row.instances, 'instance')),
    );
  }

  versions(module) {
    const { switching } = this;
    const shown = versionTable({
      ...module,
      busy: switching.busy,
      activate: (version) => this.activate(version, module),
    });
    return card(
      'Versions',
      [
        shown,
        h(
          'div',
          { class: 'card-foot', key: 'foot' },
          switching.outcome(
            switching.busy
              ? 'The node starts the version.'
              : 'Pipelines that name the module without a version go on with the active one from the next batch.',
          ),
        ),
      ],
      {
        flush: true,
        key: 'versions',
        actions: [
          this.upload.button('a version'),
          h(
            'button',
            {
              type: 'button',
              class: 'button danger',
              onclick: () => {
                this.asking = true;
                this.typed = '';
                this.deleting.reset();
                this.redraw();
              },
            },
            icon('trash'),
            'Delete',
          ),
        ],
      },
    );
  }

  activate(version, { active }) {
    this.switching.run(
      async () => {
        await send('POST', `${this.path}/versions/${version}/activate`);
        const way = version < active ? 'Rolled back' : 'Switched';
        return `${way} from version ${active} to version ${version}, which is active now.`;
      },
      () => this.module.start(),
    );
  }

  confirmation(versions) {
    const { deleting, name } = this;
    const ready = this.typed === name && !deleting.busy;
    const erase = () =>
      deleting.run(
        async () => {
          await send('DELETE', this.path);
          return 'It is deleted.';
        },
        (error) => {
          if (!error) this.router.go(href('transforms'));
        },
      );
    return dialog({
      title: `Delete ${name}`,
      closed: () => {
        this.asking = false;
        this.redraw();
      },
      body: h(
        'form',
        {
          class: 'stack',
          onsubmit: (event) => {
            event.preventDefault();
            if (ready) erase();
          },
        },
        h(
          'p',
          {},
          `The module and ${
            versions.length === 1 ? 'its version' : `all ${plural(versions.length, 'version')}`
          } are deleted from this node. This cannot be undone.`,
        ),
        h(
          'label',
          { class: 'field' },
          h('span', { class: 'field-label' }, `Type ${name} to confirm`),
          h('input', {
            type: 'text',
            autocomplete: 'off',
            spellcheck: 'false',
            autofocus: true,
            value: this.typed,
            oninput: (event) => {
              this.typed = event.target.value;
              this.redraw();
            },
          }),
        ),
        deleting.outcome(),
        h(
          'div',
          { class: 'dialog-foot' },
          h('button', { type: 'button', class: 'button', onclick: close }, 'Cancel'),
          h(
            'button',
            { type: 'submit', class: 'button danger', disabled: !ready },
            'Delete the module',
          ),
        ),
      ),
    });
  }

  details(row, several) {
    const failures = Object.entries(row.failures || {}).filter(([, count]) => count > 0);
    const of = several ? ` of version ${row.version || row.sha256.slice(0, 12)}` : '';
    return h(
      'div',
      { class: 'columns', key: `details ${row.version} ${row.sha256}` },
      card(
        `Module${of}`,
        facts([
          ['Version', row.version || '\u2013'],
          ['Kind', h('code', {}, row.kind)],
          ['Size', size(row.size)],
          [
            'Digest',
            row.sha256
              ? [
                  h('code', { class: 'digest' }, row.sha256),
                  copyButton(row.sha256, 'Copy the digest'),
                ]
              : '\u2013',
          ],
          ['Used by', (row.pipelines || []).length ? pipelineLinks(row) : 'no pipeline'],
        ]),
        { key: 'module' },
      ),
      card(
        `Failures by code${of}`,
        failures.length
          ? table({
              label: `Failures by code${of}`,
              rows: failures,
              keyOf: ([code]) => code,
              columns: [
                { id: 'code', name: 'Code', cell: ([code]) => h('code', {}, code) },
                { id: 'count', name: 'Records', num: true, cell: ([, count]) => exact(count) },
              ],
            })
          : h('p', { class: 'muted pad' }, 'No record has failed.'),
        { flush: true, key: 'failures' },
      ),
    );
  }
}
