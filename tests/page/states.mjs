// Each view in the states beside its data: loading, empty, failed and recovered, reconnecting.

import { accessible, ok, until } from './browser.mjs';

const FAULT = {
  error: { code: 'disk_gone', message: 'the disk does not answer', hint: 'Look at the cable.' },
};

/** View, its address, the calls it begins with and their empty answers, and what empty says. */
const STATES = [
  {
    name: 'topics',
    address: '/ui/topics',
    calls: { topics: { topics: [] } },
    empty: 'No topics yet',
    command: /wstream topic create/,
    data: 'netflix-titles',
  },
  {
    name: 'pipelines',
    address: '/ui/pipelines',
    calls: { pipelines: { pipelines: [] } },
    empty: 'No pipelines yet',
    command: /wstream run/,
    data: 'titles',
  },
  {
    name: 'transforms',
    address: '/ui/transforms',
    calls: { transforms: { transforms: [] } },
    empty: 'No transforms yet',
    command: /wstream transform new/,
    data: 'netflix-titles',
  },
  {
    name: 'dead letters',
    address: '/ui/dead-letters',
    calls: { dlq: { topics: [] } },
    empty: 'No dead letters',
  },
  {
    name: 'dashboards',
    address: '/ui/dashboards',
    calls: { dashboards: { dashboards: [] } },
    empty: 'No dashboards yet',
    command: /wstream run/,
    data: /Netflix catalogue/,
  },
  {
    name: 'search',
    address: '/ui/search',
    calls: { indices: { indices: [] } },
    empty: 'Nothing to search yet',
    command: /wstream run/,
  },
  { name: 'node', address: '/ui/node', calls: { node: null } },
  { name: 'topic', address: '/ui/topics/netflix-titles', calls: { 'topics/netflix-titles': null } },
  { name: 'pipeline', address: '/ui/pipelines/titles', calls: { 'pipelines/titles': null } },
  {
    name: 'transform',
    address: '/ui/transforms/netflix-titles',
    calls: {
      'transforms/netflix-titles': { name: 'netflix-titles', versions: [], running: [] },
    },
    empty: 'There is no transform named netflix-titles',
    command: /wstream transform new/,
  },
  {
    name: 'dashboard',
    address: '/ui/dashboards/netflix',
    calls: { 'dashboards/netflix': { title: 'Empty', index: 'none', panels: [] } },
    empty: 'This dashboard has no panels',
  },
  { name: 'overview', address: '/ui/overview', calls: { node: null } },
];

const path = (call) => (url) => url.pathname === `/api/v1/${call}`;

/** Only the calls under test answer; the live stream would bring the data by itself. */
const withoutLive = (page) => page.route(path('live'), (route) => route.abort());

async function answerAll(page, calls, answer) {
  for (const call of Object.keys(calls))
    await page.route(path(call), (route) => answer(route, calls[call]));
}

function emptyState({ name, address, calls, empty, command }) {
  return [
    `states: ${name} empty`,
    async (browser) => {
      const prepare = async (page) => {
        await withoutLive(page);
        await answerAll(page, calls, (route, body) => route.fulfill({ json: body }));
      };
      await browser.page(address, { prepare, expectErrors: true }, async (page) => {
        await page.getByRole('heading', { name: empty, exact: true }).waitFor();
        if (command) {
          await page.getByText(command).first().waitFor();
          await page.getByRole('button', { name: 'Copy the command' }).waitFor();
        }
        await accessible(page, `${name}, empty`);
        await browser.shot(page, `state-${name.replace(' ', '-')}-empty`);
      });
    },
  ];
}

function failedState({ name, address, calls }) {
  return [
    `states: ${name} failed, then tried again`,
    async (browser) => {
      const prepare = async (page) => {
        await withoutLive(page);
        await answerAll(page, calls, (route) => route.fulfill({ status: 500, json: FAULT }));
      };
      await browser.page(address, { prepare, expectErrors: true }, async (page) => {
        const alert = page.getByRole('alert');
        await alert.getByText('the disk does not answer').waitFor();
        await alert.getByText('Look at the cable.').waitFor();
        await accessible(page, `${name}, failed`);
        await browser.shot(page, `state-${name.replace(' ', '-')}-failed`);
        await page.unrouteAll({ behavior: 'wait' });
        // The overview lives on the stream alone and recovers by itself.
        const again = alert.getByRole('button', { name: 'Try again' });
        await until('the alert is gone', async () => {
          if (!(await alert.count())) return true;
          await again.click({ timeout: 2000 }).catch(() => {});
          return false;
        });
      });
    },
  ];
}

function loadingState({ name, address, calls }) {
  return [
    `states: ${name} loading`,
    async (browser) => {
      const held = [];
      const prepare = async (page) => {
        await withoutLive(page);
        await answerAll(page, calls, (route) => {
          held.push(route);
        });
      };
      await browser.page(address, { prepare, expectErrors: true }, async (page) => {
        await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'attached' });
        ok((await page.getByRole('alert').count()) === 0, 'no error while loading');
        await page.unrouteAll({ behavior: 'ignoreErrors' });
        await Promise.all(held.map((route) => route.abort().catch(() => {})));
      });
    },
  ];
}

/** The live statistics as one finished stream: then it breaks. */
async function oneEvent(base) {
  const get = async (call) => (await fetch(`${base}/api/v1/${call}`)).json();
  const lists = ['topics', 'pipelines', 'sources', 'sinks', 'transforms'];
  const stats = { node: await get('node'), dlq: (await get('dlq')).topics };
  for (const list of lists) stats[list] = (await get(list))[list];
  return `event: stats\ndata: ${JSON.stringify(stats)}\n\n`;
}

export const states = [
  ...STATES.map(loadingState),
  ...STATES.filter((state) => state.empty).map(emptyState),
  ...STATES.map(failedState),

  [
    'states: reconnecting keeps the data and marks its age',
    async (browser) => {
      const body = await oneEvent(browser.base);
      let opened = 0;
      const prepare = (page) =>
        page.route(path('live'), (route) => {
          opened += 1;
          return opened === 1
            ? route.fulfill({ status: 200, contentType: 'text/event-stream', body })
            : route.abort();
        });
      await browser.page('/ui/overview', { prepare, expectErrors: true }, async (page) => {
        await page.getByText(/Reconnecting to the node. What is shown is from/).waitFor();
        await page
          .getByRole('link', { name: /pipeline.*titles/ })
          .first()
          .waitFor();
        await accessible(page, 'the overview while reconnecting');
        await browser.shot(page, 'state-reconnecting');
        await page.unrouteAll({ behavior: 'wait' });
        await page.getByText(/Reconnecting to the node/).waitFor({ state: 'detached' });
        await page.getByText('Live', { exact: true }).waitFor();
      });
    },
  ],

  [
    'states: a panel that fails says why, the others draw',
    async (browser) => {
      const prepare = async (page) => {
        const events = [
          {
            id: 'seasons',
            error: { code: 'parsing_exception', message: 'unknown query [nonsense]' },
          },
          {
            id: 'top-genres',
            result: {
              total: 2,
              aggregations: { genres: { buckets: [{ key: 'drama', doc_count: 2 }] } },
            },
          },
        ];
        const body = events
          .map((event) => `event: panel\ndata: ${JSON.stringify(event)}\n\n`)
          .join('');
        await page.route(path('dashboards/netflix/live'), (route) =>
          route.fulfill({ status: 200, contentType: 'text/event-stream', body }),
        );
      };
      await browser.page(
        '/ui/dashboards/netflix',
        { prepare, expectErrors: true },
        async (page) => {
          const panel = (name) => page.getByRole('region', { name, exact: true });
          await panel('Number of seasons')
            .getByRole('alert')
            .getByText('unknown query [nonsense]')
            .waitFor();
          await panel('Top three genres').getByRole('img', { name: 'Top three genres' }).waitFor();
          await accessible(page, 'a dashboard with a failed panel');
        },
      );
    },
  ],
];
