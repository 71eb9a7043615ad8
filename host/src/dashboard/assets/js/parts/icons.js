// The page's own line icons, 16 units square, drawn with the text's colour.

import { h } from '../dom.js';

const PATHS = {
  overview:
    'M2.5 4h3v3h-3zM2.5 10h3v3h-3zM10.5 6.500h3v3h-3zM5.5 5.500h2.200c1 0 .8 2.5 2.8 2.500M5.5 11.500h2.200c1 0 .8-3.5 2.8-3.5',
  dashboards: 'M2.5 13.500V8M6.2 13.500v-11M9.8 13.500V6M13.5 13.500V4.5',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14',
  topics: 'M2.5 4h11M2.5 8h11M2.5 12h7',
  pipelines: 'M2 5h5c2 0 2 6 4 6h3M2 11h3M11 5h3M12 9l2 2-2 2',
  transforms: 'M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.5 5 8 8.2 13.5 5M8 8.200v6',
  letters: 'M2 4h12v8.500H2zM2 4.500l6 4.5 6-4.5',
  node: 'M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.010M5 11h.01',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.5 8H15M3 3l1.1 1.100M11.9 11.9 13 13M13 3l-1.1 1.100M4.1 11.9 3 13',
  moon: 'M13 9.500A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.500z',
  system: 'M2 3h12v8H2zM6 14h4M8 11v3',
  more: 'M3.5 8h.010M8 8h.010M12.5 8h.01',
  right: 'M6 3.5 10.5 8 6 12.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  up: 'M3.5 10 8 5.5 12.5 10',
  copy: 'M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3',
  check: 'M3 8.5 6.5 12 13 4.5',
  alert: 'M8 2 14.5 13.500h-13zM8 6.500v3M8 11.600h.01',
  play: 'M4.5 3v10l8-5z',
  pause: 'M5.5 3v10M10.5 3v10',
  close: 'M4 4l8 8M12 4l-8 8',
  refresh: 'M13 8a5 5 0 1 1-1.6-3.700M13 2v3h-3',
  download: 'M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.500h11',
  upload: 'M8 10.5v-8M4.5 6 8 2.5 11.5 6M2.5 13.500h11',
  trash: 'M2.5 4.500h11M6 4.500v-2h4v2M4 4.500l.6 9h6.800l.6-9',
  table: 'M2.5 3h11v10h-11zM2.5 6.500h11M6.5 6.500V13',
  chart: 'M2.5 2.500v11h11M5 10l3-3 2 2 3.5-4',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  external: 'M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5',
  inbox: 'M2 9.5 4 3h8l2 6.500V13H2zM2 9.500h3.500l1 1.500h3l1-1.500H14',
};

/** An icon; decoration only, its button or link carries the words. */
export function icon(name, size = 16) {
  return h(
    'svg',
    {
      class: 'icon',
      width: size,
      height: size,
      viewBox: '0 0 16 16',
      'aria-hidden': 'true',
      focusable: 'false',
    },
    h('path', { d: PATHS[name] || PATHS.more }),
  );
}
