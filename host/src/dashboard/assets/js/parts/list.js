// A list of one kind of thing: loaded once, then pushed while the page is open.

import { getJson, Resource } from '../api.js';
import { stateOf } from './states.js';

/**
 * A view of a list. `kind` names the list in the pushed state, `path` where it is loaded,
 * `field` its name in the answer. Views give `what`, `whenEmpty` and `list(rows)`.
 */
export class ListView {
  constructor({ live, router, redraw }, { kind, path = kind, field = kind, isShown = () => true }) {
    Object.assign(this, { live, router, kind, field, isShown });
    this.first = new Resource((signal) => getJson(`/api/v1/${path}`, signal), redraw).start();
  }

  stop() {
    this.first.stop();
  }

  draw() {
    const pushed = this.live.list(this.kind);
    if (pushed) this.first.value = { [this.field]: pushed };
    return stateOf(this.first, {
      what: this.what,
      isEmpty: (value) => !(value[this.field] || []).some(this.isShown),
      whenEmpty: this.whenEmpty,
      draw: (value) => this.list(value[this.field]),
    });
  }
}
