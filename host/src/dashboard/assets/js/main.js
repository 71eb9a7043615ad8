// Starts the page: one live stream, one router, one view at a time.

import { h, render, scheduler } from './dom.js';
import { frame, PLACE_NAMES } from './frame.js';
import { Live } from './live.js';
import { empty } from './parts/states.js';
import { Router } from './router.js';
import { Dashboard } from './views/dashboard.js';
import { Dashboards } from './views/dashboards.js';
import { DeadLetters, DeadLetterTopic } from './views/letters.js';
import { NodeView } from './views/node.js';
import { Overview } from './views/overview.js';
import { Pipeline, Pipelines } from './views/pipelines.js';
import { Search } from './views/search.js';
import { Topic } from './views/topic.js';
import { Topics } from './views/topics.js';
import { Transform } from './views/transform.js';
import { Transforms } from './views/transforms.js';

// Of each place: the view without a name in the path, and the view with one.
const VIEWS = {
  overview: [Overview],
  dashboards: [Dashboards, Dashboard],
  search: [Search],
  topics: [Topics, Topic],
  pipelines: [Pipelines, Pipeline],
  transforms: [Transforms, Transform],
  'dead-letters': [DeadLetters, DeadLetterTopic],
  node: [NodeView],
};

class NotFound {
  draw() {
    return empty({
      title: 'There is no such view',
      text: 'The address does not name one of the views on the left.',
      action: h('a', { class: 'button', href: '/ui/overview' }, 'Go to the overview'),
    });
  }

  stop() {}
}

const root = document.getElementById('app');
let kids = [];
let view = null;
let viewKey = '';

const draw = scheduler(() => {
  const { at } = router;
  document.title = `${[...at.path]
    .reverse()
    .concat(PLACE_NAMES[at.view] || 'Not found')
    .join(' \u00b7 ')} \u00b7 wstream`;
  const content = h('div', { key: viewKey, class: `view view-${at.view}` }, view.draw());
  kids = render(root, kids, frame({ at, live, view, content, redraw: draw }));
});

function open() {
  const { at } = router;
  const key = `${at.view}/${at.path.join('/')}`;
  if (key !== viewKey || !view) {
    if (view) view.stop();
    viewKey = key;
    const Kind = (VIEWS[at.view] || [])[at.path.length] || NotFound;
    view = new Kind({ live, router, redraw: draw, name: at.path[0] });
    window.scrollTo(0, 0);
  }
  if (view.move) view.move(at.query);
  draw();
}

const live = new Live(() => draw());
const router = new Router(open);
if (window.location.pathname === '/') window.history.replaceState(null, '', '/ui/overview');
open();
