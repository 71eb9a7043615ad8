// What the user makes the node do: busy while it lasts, then what came of it. A node that wants a
// token is given one here, and the same is done again.

import { h } from '../dom.js';
import { keepToken } from '../api.js';
import { field } from './bits.js';
import { icon } from './icons.js';

/** One thing at a time; `state` is idle, busy, done or failed. */
export class Action {
  constructor(changed) {
    this.changed = changed;
    this.reset();
  }

  reset() {
    this.state = 'idle';
    this.words = '';
    this.error = null;
    this.again = null;
    this.token = '';
  }

  get busy() {
    return this.state === 'busy';
  }

  /** `work()` resolves to the words that say what was done; `after()` runs whatever came of it. */
  async run(work, after) {
    if (this.busy) return;
    this.state = 'busy';
    this.error = null;
    this.again = () => this.run(work, after);
    this.changed();
    try {
      this.words = await work();
      this.state = 'done';
    } catch (error) {
      this.error = error;
      this.state = 'failed';
    }
    if (after) after(this.error);
    this.changed();
  }

  /** What came of it; `calm` stands in its place before. */
  outcome(calm) {
    return h(
      'div',
      { class: 'outcome', key: 'outcome' },
      // Both are there from the start, so that a screen reader says what comes into them.
      h(
        'div',
        { role: 'status', class: this.state === 'done' ? 'outcome-good' : 'muted' },
        this.state === 'done'
          ? [icon('check'), h('span', {}, this.words)]
          : this.state === 'failed'
            ? null
            : calm || null,
      ),
      h('div', { role: 'alert' }, this.state === 'failed' ? refusal(this.error) : null),
      this.state === 'failed' && this.error.status === 401 ? this.tokenForm() : null,
    );
  }

  // No form: it may stand in one.
  tokenForm() {
    const use = () => {
      if (!this.token) return;
      keepToken(this.token);
      this.token = '';
      this.again();
    };
    return h(
      'div',
      { class: 'bar' },
      field(
        'Token (kept until this tab is closed)',
        h('input', {
          type: 'password',
          autocomplete: 'off',
          value: this.token,
          oninput: (event) => {
            this.token = event.target.value;
          },
          onkeydown: (event) => {
            if (event.key !== 'Enter') return;
            event.preventDefault();
            use();
          },
        }),
        true,
      ),
      h(
        'button',
        { type: 'button', class: 'button primary', onclick: use },
        'Use the token and try again',
      ),
    );
  }
}

/** The node's message and hint, as they are. */
export function refusal(error) {
  return h(
    'div',
    { class: 'notice bad' },
    icon('alert'),
    h(
      'div',
      { class: 'refusal' },
      h('strong', {}, error.message || String(error)),
      error.hint ? h('div', {}, error.hint) : null,
      error.code
        ? h(
            'div',
            { class: 'muted small' },
            h('code', {}, error.code),
            error.status ? ` (status ${error.status})` : '',
          )
        : null,
    ),
  );
}
