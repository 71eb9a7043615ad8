// Every view with the node's data: what it says, in both themes, on a phone, without
// accessibility violations, at its own address.

import { accessible, equal, ok, tooWide, until } from './browser.mjs';

const TOPIC = 'netflix-titles';

/** Name, address, heading, and a text or link that only the data brings. */
const VIEWS = [
  [
    'overview',
    '/ui/overview',
    'Overview',
    (page) => page.getByRole('link', { name: /pipeline.*titles/ }).first(),
  ],
  [
    'dashboards',
    '/ui/dashboards',
    'Dashboards',
    (page) => page.getByRole('link', { name: /Netflix catalogue/ }),
  ],
  [
    'dashboard',
    '/ui/dashboards/netflix',
    'netflix',
    (page) => page.getByRole('img', { name: /Number of seasons/ }),
  ],
  [
    'search',
    `/ui/search?index=${TOPIC}`,
    'Search',
    (page) => page.getByRole('table', { name: `Documents of ${TOPIC}` }),
  ],
  [
    'search-open',
    `/ui/search?index=${TOPIC}&q=type%3ASHOW&field=genres`,
    'Search',
    (page) => page.getByText(/^drama$/).first(),
  ],
  [
    'topics',
    '/ui/topics',
    'Topics',
    (page) => page.getByRole('link', { name: TOPIC, exact: true }),
  ],
  [
    'topic-messages',
    `/ui/topics/${TOPIC}`,
    TOPIC,
    (page) => page.getByRole('table', { name: `Messages of ${TOPIC}` }),
  ],
  [
    'topic-partitions',
    `/ui/topics/${TOPIC}?tab=partitions`,
    TOPIC,
    (page) => page.getByRole('columnheader', { name: 'High watermark' }),
  ],
  [
    'topic-groups',
    `/ui/topics/${TOPIC}?tab=groups`,
    TOPIC,
    (page) => page.getByRole('link', { name: 'Pipeline titles' }),
  ],
  [
    'topic-configuration',
    `/ui/topics/${TOPIC}?tab=configuration`,
    TOPIC,
    (page) => page.getByText('Retention by age'),
  ],
  [
    'pipelines',
    '/ui/pipelines',
    'Pipelines',
    (page) => page.getByRole('link', { name: 'titles', exact: true }),
  ],
  [
    'pipeline',
    '/ui/pipelines/titles',
    'titles',
    (page) => page.getByRole('link', { name: `${TOPIC} / 0` }),
  ],
  [
    'transforms',
    '/ui/transforms',
    'Transforms',
    (page) => page.getByRole('link', { name: TOPIC, exact: true }),
  ],
  ['transform', `/ui/transforms/${TOPIC}`, TOPIC, (page) => page.getByText('Digest')],
  [
    'dead-letters',
    '/ui/dead-letters',
    'Dead letters',
    (page) =>
      page
        .getByRole('table', { name: 'Dead letter topics' })
        .or(page.getByRole('heading', { name: 'No dead letters' })),
  ],
  ['node', '/ui/node', 'Node', (page) => page.getByText('Data directory')],
];

function view([name, address, heading, data]) {
  return [
    `views: ${name}`,
    async (browser) => {
      await browser.page(address, {}, async (page) => {
        const there = async () => {
          await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
          await data(page).waitFor();
        };
        await there();
        ok((await page.title()).includes('wstream'), 'the title names the program');
        await accessible(page, `${name} (light)`);
        await browser.shot(page, `${name}-light`);
        const before = page.url();
        await page.emulateMedia({ colorScheme: 'dark' });
        await page.reload();
        await there();
        equal(page.url(), before, `address of ${name} after a reload`);
        await accessible(page, `${name} (dark)`, ['color-contrast']);
        await browser.shot(page, `${name}-dark`);
        await page.setViewportSize({ width: 390, height: 844 });
        await there();
        await until(`${name} fits 390 px`, async () => (await tooWide(page)) <= 0);
        await accessible(page, `${name} (390 px)`);
        await browser.shot(page, `${name}-390`);
      });
    },
  ];
}

async function background(page) {
  return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
}

export const views = [
  ...VIEWS.map(view),

  [
    'views: the root opens the overview, an unknown view says so',
    async (browser) => {
      await browser.page('/', {}, async (page) => {
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        equal(new URL(page.url()).pathname, '/ui/overview', 'address');
      });
      await browser.page('/ui/nothing', {}, async (page) => {
        await page.getByRole('heading', { name: 'There is no such view' }).waitFor();
        await accessible(page, 'an unknown view');
      });
    },
  ],

  [
    'views: Back and Forward',
    async (browser) => {
      await browser.page('/ui/overview', {}, async (page) => {
        const views = page.getByRole('navigation', { name: 'Views' });
        await views.getByRole('link', { name: 'Topics' }).click();
        await page.getByRole('link', { name: TOPIC, exact: true }).click();
        await page.getByRole('heading', { level: 1, name: TOPIC }).waitFor();
        await page.goBack();
        await page.getByRole('heading', { level: 1, name: 'Topics' }).waitFor();
        await page.goBack();
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        await page.goForward();
        await page.getByRole('heading', { level: 1, name: 'Topics' }).waitFor();
      });
    },
  ],

  [
    'views: the theme switch is remembered',
    async (browser) => {
      await browser.page('/ui/node', { theme: 'light' }, async (page) => {
        const light = await background(page);
        const button = page.getByRole('button', { name: /^Theme:/ });
        const title = () => button.getAttribute('title');
        const pick = async (wanted) => {
          for (let before = await title(); before !== `Theme: ${wanted}`; before = await title()) {
            await button.click();
            // The title follows the theme a moment later: an old one asks for a click too many.
            await until(`a theme after ${before}`, async () => (await title()) !== before);
          }
        };
        await pick('dark');
        const dark = await background(page);
        ok(dark !== light, `dark ${dark} differs from light ${light}`);
        await page.reload();
        await page.getByRole('button', { name: 'Theme: dark. Switch.' }).waitFor();
        equal(await background(page), dark, 'background after a reload');
        await pick('system');
        equal(await background(page), light, 'background of the system theme');
      });
    },
  ],
];
