// The list of dashboards.

import { h } from '../dom.js';
import { getJson, Resource } from '../api.js';
import { href } from '../router.js';
import { icon } from '../parts/icons.js';
import { stateOf } from '../parts/states.js';

export class Dashboards {
  constructor({ redraw }) {
    this.list = new Resource((signal) => getJson('/api/v1/dashboards', signal), redraw).start();
  }

  stop() {
    this.list.stop();
  }

  draw() {
    return stateOf(this.list, {
      what: 'The dashboards could not be loaded',
      rows: 3,
      isEmpty: (value) => !(value.dashboards || []).length,
      whenEmpty: {
        title: 'No dashboards yet',
        text: 'A dashboard is a JSON file in the folder dashboards beside the pipeline file, named by a sink of the type "dashboard". The example has one:',
        command: 'wstream run examples/netflix/wstream.toml',
      },
      draw: (value) =>
        h(
          'ul',
          { class: 'dashboard-list', key: 'list' },
          value.dashboards.map((entry) =>
            h(
              'li',
              { key: entry.name },
              h(
                'a',
                { class: 'card dashboard-link', href: href('dashboards', entry.name) },
                h('span', { class: 'dashboard-icon' }, icon('chart', 20)),
                h(
                  'span',
                  { class: 'dashboard-words' },
                  h('span', { class: 'dashboard-title' }, entry.title || entry.name),
                  h('span', { class: 'muted small' }, entry.name),
                ),
                icon('right'),
              ),
            ),
          ),
        ),
    });
  }
}
