// Uploading a module: a file chosen or dropped, a name for it, and what the node says to it.

import { h } from '../dom.js';
import { segment, upload } from '../api.js';
import { bytes, exact } from '../format.js';
import { Action } from '../parts/action.js';
import { field } from '../parts/bits.js';
import { close, dialog } from '../parts/dialog.js';
import { icon } from '../parts/icons.js';

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;

/** `my_filter.wasm` gives `my_filter`: what the node takes as a name, if anything is left. */
export function nameFor(file) {
  const stem = file.replace(/\.wasm$/i, '');
  return stem
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '')
    .slice(0, 100);
}

/** The dialog and the drop target. `name`: of the module that gets a new version. */
export class Upload {
  constructor({ redraw, name, done }) {
    Object.assign(this, { redraw, fixed: name, done });
    this.opened = false;
    this.over = false;
    this.clear();
  }

  clear() {
    this.action = new Action(this.redraw);
    this.file = null;
    this.input = null;
    this.name = this.fixed || '';
    this.named = false;
    this.activate = true;
    this.sent = 0;
  }

  open(file) {
    if (!this.opened) this.clear();
    this.opened = true;
    if (file) this.take(file);
    this.redraw();
  }

  take(file) {
    if (this.action.busy) return;
    this.file = file;
    this.show();
    this.action.reset();
    if (!this.fixed && !this.named) this.name = nameFor(file.name);
    this.redraw();
  }

  /** The field shows the file, also one that was dropped. */
  show() {
    if (!this.input || !this.file || this.input.files[0] === this.file) return;
    const transfer = new DataTransfer();
    transfer.items.add(this.file);
    this.input.files = transfer.files;
  }

  start() {
    const { file, name, activate } = this;
    this.sent = 0;
    this.action.run(
      async () => {
        const path = `/api/v1/transforms/${segment(name)}?activate=${activate}`;
        const stored = await upload(path, file, 'application/wasm', (sent) => {
          this.sent = sent;
          this.redraw();
        });
        return `${stored.name} version ${stored.version} is stored${
          stored.active ? ' and active' : ', not active'
        }.`;
      },
      (error) => this.done(name, error),
    );
  }

  button(what) {
    return h(
      'button',
      { type: 'button', class: 'button', onclick: () => this.open() },
      icon('upload'),
      'Upload',
      h('span', { class: 'visually-hidden' }, ` ${what}`),
    );
  }

  /** Takes files that are dropped anywhere on `content`. */
  target(content) {
    const holds = (event) => event.dataTransfer && [...event.dataTransfer.types].includes('Files');
    const over = (on) => {
      if (this.over === on) return;
      this.over = on;
      this.redraw();
    };
    return h(
      'div',
      {
        class: this.over ? 'stack drop over' : 'stack drop',
        ondragover: (event) => {
          if (!holds(event)) return;
          event.preventDefault();
          event.dataTransfer.dropEffect = 'copy';
          over(true);
        },
        ondragleave: (event) => {
          if (!event.currentTarget.contains(event.relatedTarget)) over(false);
        },
        ondrop: (event) => {
          if (!holds(event)) return;
          event.preventDefault();
          over(false);
          const [file] = event.dataTransfer.files;
          if (file) this.open(file);
        },
      },
      content,
      this.opened ? this.dialog() : null,
    );
  }

  dialog() {
    const { action, file, name } = this;
    const ready = file && NAME.test(name) && !action.busy && action.state !== 'done';
    return dialog({
      title: this.fixed ? `Upload a version of ${this.fixed}` : 'Upload a module',
      closed: () => {
        this.opened = false;
        this.redraw();
      },
      body: h(
        'form',
        {
          class: 'stack',
          onsubmit: (event) => {
            event.preventDefault();
            if (ready) this.start();
          },
        },
        h(
          'label',
          { class: 'field' },
          h('span', { class: 'field-label' }, 'Module, a .wasm file (drop it here, or choose it)'),
          h('input', {
            type: 'file',
            accept: '.wasm,application/wasm',
            disabled: action.busy,
            hook: (el) => {
              this.input = el;
              this.show();
            },
            onchange: (event) => event.target.files[0] && this.take(event.target.files[0]),
          }),
        ),
        h('p', { class: 'muted small file-line' }, file ? `${exact(file.size)} bytes` : '\u00a0'),
        field(
          'Name',
          h('input', {
            type: 'text',
            value: name,
            required: true,
            maxlength: 100,
            spellcheck: 'false',
            autocomplete: 'off',
            readonly: Boolean(this.fixed),
            disabled: action.busy,
            'aria-describedby': 'upload-name-note',
            oninput: (event) => {
              this.name = event.target.value;
              this.named = true;
              if (!action.busy) action.reset();
              this.redraw();
            },
          }),
        ),
        h(
          'p',
          { class: 'muted small', id: 'upload-name-note' },
          name && !NAME.test(name)
            ? 'A name has letters, digits, "-", "_" and ".", at most 100, and begins with none of "-" and ".".'
            : 'Pipelines name the module by it. The same name again makes a new version.',
        ),
        h(
          'label',
          { class: 'check' },
          h('input', {
            type: 'checkbox',
            checked: this.activate,
            disabled: action.busy,
            onchange: (event) => {
              this.activate = event.target.checked;
              this.redraw();
            },
          }),
          'Activate: pipelines go on with it from the next batch',
        ),
        this.progress(),
        action.outcome(),
        h(
          'div',
          { class: 'dialog-foot' },
          h(
            'button',
            { type: 'button', class: 'button', onclick: close },
            action.state === 'done' ? 'Close' : 'Cancel',
          ),
          h('button', { type: 'submit', class: 'button primary', disabled: !ready }, 'Upload'),
        ),
      ),
    });
  }

  progress() {
    const { action, file, sent } = this;
    const total = file ? file.size : 0;
    const part = total ? Math.min(sent / total, 1) : 0;
    return h(
      'div',
      { class: 'progress' },
      h('progress', {
        max: 1,
        value: { busy: part, done: 1 }[action.state] || 0,
        'aria-label': 'Sent',
      }),
      h(
        'span',
        { class: 'muted small figure' },
        !action.busy
          ? '\u00a0'
          : part < 1
            ? `${bytes(sent)} of ${bytes(total)} sent`
            : 'All of it is sent; the node checks and compiles it.',
      ),
    );
  }
}
