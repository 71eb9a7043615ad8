// What surrounds every view: the rail, the top bar, the connection's state, the theme.

import { h } from './dom.js';
import { ago } from './format.js';
import { href } from './router.js';
import { icon } from './parts/icons.js';

const PLACES = [
  ['overview', 'Overview', 'overview'],
  ['dashboards', 'Dashboards', 'dashboards'],
  ['search', 'Search', 'search'],
  ['topics', 'Topics', 'topics'],
  ['pipelines', 'Pipelines', 'pipelines'],
  ['transforms', 'Transforms', 'transforms'],
  ['dead-letters', 'Dead letters', 'letters'],
  ['node', 'Node', 'node'],
];

export const PLACE_NAMES = Object.fromEntries(PLACES.map(([view, name]) => [view, name]));

const THEMES = ['system', 'light', 'dark'];
const THEME_ICONS = { system: 'system', light: 'sun', dark: 'moon' };

function theme() {
  return document.documentElement.getAttribute('data-theme') || 'system';
}

/** Moves on to the next theme and remembers it. */
function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (next === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', next);
  try {
    if (next === 'system') localStorage.removeItem('wstream.theme');
    else localStorage.setItem('wstream.theme', next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

export function frame({ at, live, view, content, redraw }) {
  const where = PLACE_NAMES[at.view] || 'Not found';
  const letters = (live.list('dlq') || []).reduce((sum, entry) => sum + (entry.records || 0), 0);
  return [
    h('a', { class: 'skip', href: '#main', key: 'skip', onclick: skip }, 'Skip to the content'),
    h(
      'nav',
      { class: 'rail', 'aria-label': 'Views', key: 'rail' },
      h(
        'a',
        { class: 'brand', href: '/ui/overview', 'aria-label': 'wstream: overview' },
        mark(),
        h('span', { class: 'brand-name' }, 'wstream'),
      ),
      PLACES.map(([name, words, picture]) =>
        h(
          'a',
          {
            key: name,
            class: at.view === name ? 'place on' : 'place',
            href: href(name),
            title: words,
            'aria-current': at.view === name ? 'page' : null,
          },
          icon(picture, 18),
          h('span', { class: 'place-name' }, words),
          name === 'dead-letters' && letters
            ? h(
                'span',
                { class: 'place-count', title: `${letters} dead letters` },
                letters > 99 ? '99+' : String(letters),
              )
            : null,
        ),
      ),
    ),
    h(
      'div',
      { class: 'page', key: 'page' },
      h(
        'header',
        { class: 'top' },
        h(
          'div',
          { class: 'where' },
          at.path.length
            ? [
                h('a', { href: href(at.view), class: 'crumb' }, where),
                h('span', { class: 'crumb-mark', 'aria-hidden': 'true' }, '/'),
              ]
            : null,
          h('h1', {}, at.path.length ? at.path[at.path.length - 1] : where),
        ),
        h('div', { class: 'grow' }),
        view && view.actions ? view.actions() : null,
        connection(live),
        h(
          'button',
          {
            type: 'button',
            class: 'button icon-only',
            'aria-label': `Theme: ${theme()}. Switch.`,
            title: `Theme: ${theme()}`,
            onclick: () => {
              nextTheme();
              redraw();
            },
          },
          icon(THEME_ICONS[theme()]),
        ),
      ),
      banner(live),
      h('main', { id: 'main', tabindex: -1 }, content),
    ),
  ];
}

// Not by following the link: the hash would become part of the address.
function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

function mark() {
  return h(
    'svg',
    { width: 24, height: 24, viewBox: '0 0 32 32', 'aria-hidden': 'true', class: 'mark' },
    h('rect', { width: 32, height: 32, rx: 7, class: 'mark-ground' }),
    h('path', {
      d: 'M5 12c3.7-4 6.3-4 10 0s6.3 4 12 0M5 21c3.7-4 6.3-4 10 0s6.3 4 12 0',
      class: 'mark-line',
    }),
  );
}

function connection(live) {
  const words = { open: 'Live', connecting: 'Connecting', reconnecting: 'Offline' };
  return h(
    'span',
    {
      class: `connection ${live.state}`,
      title: live.age() === null ? 'No data received yet' : `Last data ${ago(live.age())}`,
    },
    h('span', { class: 'dot', 'aria-hidden': 'true' }),
    words[live.state],
  );
}

function banner(live) {
  const words =
    live.age() === null
      ? 'Reconnecting to the node.'
      : `Reconnecting to the node. What is shown is from ${ago(live.age())}.`;
  return h(
    'div',
    { class: live.state === 'reconnecting' ? 'banner on' : 'banner', role: 'status' },
    live.state === 'reconnecting' ? words : '',
  );
}
