// A modal dialog: the browser keeps the focus inside, closes it by Escape, and gives the focus back
// to what had it before.

import { h } from '../dom.js';
import { icon } from './icons.js';

/** Drawn as long as it is open; `closed()` is called once, however it was closed. */
export function dialog({ title, closed, body }) {
  return h(
    'dialog',
    { class: 'dialog', 'aria-label': title, key: `dialog ${title}`, hook: show, onclose: closed },
    h(
      'div',
      { class: 'dialog-head' },
      h('h2', {}, title),
      h('span', { class: 'grow' }),
      h(
        'button',
        { type: 'button', class: 'button bare icon-only', 'aria-label': 'Close', onclick: close },
        icon('close'),
      ),
    ),
    body,
  );
}

/** Closes the dialog around the button that was pressed. */
export function close(event) {
  event.currentTarget.closest('dialog').close();
}

// It is not in the document yet when it is made.
function show(el) {
  queueMicrotask(() => {
    if (el.isConnected) el.showModal();
  });
  return () => el.close();
}
