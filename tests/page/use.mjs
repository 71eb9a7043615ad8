// What people do: search, browse messages, follow a topic live, and all of it by keyboard.

import { accessible, equal, ok, until } from './browser.mjs';

const TAIL = 'page-tail';

async function post(base, path, body, type) {
  const response = await fetch(`${base}/api/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
  });
  return response.status;
}

async function topic(base) {
  const status = await post(
    base,
    'topics',
    JSON.stringify({ name: TAIL, partitions: 2 }),
    'application/json',
  );
  ok([200, 201, 409].includes(status), `creating the topic ${TAIL} answers ${status}`);
}

async function write(base, records) {
  const lines = records.map((record) => JSON.stringify(record)).join('\n');
  const status = await post(base, `topics/${TAIL}/records`, `${lines}\n`, 'application/x-ndjson');
  equal(status, 200, 'status of writing records');
}

/** Tabs until the wanted thing has the focus. */
async function tabTo(page, locator, key = 'Tab') {
  for (let i = 0; i < 120; i += 1) {
    if (await locator.evaluate((element) => element === document.activeElement).catch(() => false))
      return;
    await page.keyboard.press(key);
  }
  ok(false, `${locator} cannot be reached with ${key}`);
}

let number = 0;
const unique = () => `${Date.now().toString(36)}-${process.pid}-${(number += 1)}`;

export const use = [
  [
    'use: search by query, filters and top values',
    async (browser, expected) => {
      await browser.page('/ui/search?index=netflix-titles', {}, async (page) => {
        const sum = (count) =>
          page.getByRole('status').getByText(`${count.toLocaleString('en-US')} documents`);
        await sum(expected.total).waitFor();
        await page.getByRole('searchbox', { name: 'Query' }).fill('type:SHOW');
        await page.keyboard.press('Enter');
        await sum(expected.shows).waitFor();
        equal(new URL(page.url()).searchParams.get('q'), 'type:SHOW', 'query in the address');
        await page.reload();
        await sum(expected.shows).waitFor();
        await page.getByRole('button', { name: 'type', exact: true }).first().click();
        const fields = page.getByRole('complementary', { name: 'Fields' });
        await fields.getByText('100.0 %').waitFor();
        await fields.getByRole('button', { name: 'Filter out type SHOW' }).click();
        await page.getByRole('heading', { name: 'No document matches' }).waitFor();
        await page.getByRole('link', { name: 'Show all documents' }).click();
        await sum(expected.total).waitFor();
        await page
          .getByRole('button', { name: /^Document / })
          .first()
          .click();
        await page.getByLabel('JSON').getByText('"title"').waitFor();
        await accessible(page, 'an open document');
      });
    },
  ],

  [
    'use: a wrong query is explained and kept',
    async (browser) => {
      await browser.page(
        '/ui/search?index=netflix-titles&q=release_year%3A%5B2000%20TO',
        { expectErrors: true },
        async (page) => {
          await page.getByRole('alert').getByText('The query was not understood.').waitFor();
          equal(
            await page.getByRole('searchbox', { name: 'Query' }).inputValue(),
            'release_year:[2000 TO',
            'query in the bar',
          );
          await accessible(page, 'a wrong query');
        },
      );
    },
  ],

  [
    'use: messages by partition and offset',
    async (browser) => {
      await browser.page('/ui/topics/netflix-titles?partition=1&offset=10', {}, async (page) => {
        const first = page.getByRole('button', { name: 'Record 1-10', exact: true });
        await first.click();
        await page.getByRole('heading', { name: 'Value' }).waitFor();
        equal(new URL(page.url()).searchParams.get('open'), '1-10', 'open record in the address');
        await page.reload();
        await page.getByRole('heading', { name: 'Value' }).waitFor();
        await page.getByRole('button', { name: 'Later' }).click();
        await page.getByRole('button', { name: 'Record 1-60', exact: true }).waitFor();
        await page.getByRole('button', { name: 'Earlier' }).click();
        await first.waitFor();
      });
    },
  ],

  [
    'use: live tail with pause',
    async (browser) => {
      await topic(browser.base);
      await browser.page(`/ui/topics/${TAIL}`, {}, async (page) => {
        await page.getByRole('button', { name: 'Live tail' }).click();
        await page.getByText('Listening. Records appear here').waitFor();
        // The stream starts at the end: write until the first record shows that it is open.
        await until('a record arrives', async () => {
          await write(browser.base, [{ key: 'warm', value: 'up' }]);
          return (await page.getByRole('cell', { name: 'warm' }).count()) > 0;
        });
        const one = unique();
        await write(browser.base, [{ key: one, value: '{"a": 1}' }]);
        await page.getByRole('cell', { name: one }).waitFor();
        await page.getByRole('button', { name: 'Pause' }).click();
        const two = unique();
        await write(browser.base, [{ key: two, value: 'held back' }]);
        const resume = page.getByRole('button', { name: /^Resume \(\d+ new\)/ });
        await resume.waitFor();
        equal(await page.getByRole('cell', { name: two }).count(), 0, 'records shown while paused');
        await resume.click();
        await page.getByRole('cell', { name: two }).waitFor();
        await accessible(page, 'the live tail');
        await browser.shot(page, 'live-tail');
        await page.getByRole('button', { name: 'Stop live tail' }).click();
        await page.getByRole('button', { name: 'Live tail' }).waitFor();
      });
    },
  ],

  [
    'use: markup in data stays text',
    async (browser) => {
      await topic(browser.base);
      const key = `<b id="planted">${unique()}</b>`;
      const value = JSON.stringify({
        '<img src=x onerror=alert(1)>': '"><script>alert(2)</script>',
        link: 'javascript:alert(3)',
      });
      await write(browser.base, [
        { key, value, headers: [['<i id="planted">', '<svg onload=alert(4)>']] },
      ]);
      await browser.page(`/ui/topics/${TAIL}`, {}, async (page) => {
        const row = page.getByRole('row').filter({ hasText: key });
        await row.getByRole('button', { name: /^Record / }).click();
        await page
          .getByText('"><script>alert(2)</script>')
          .or(page.getByText('\\"><script>alert(2)</script>'))
          .first()
          .waitFor();
        await page.getByText('<svg onload=alert(4)>').waitFor();
        equal(
          await page.locator('#planted, img, main script').count(),
          0,
          'elements made from data',
        );
      });
    },
  ],

  [
    'use: a dead letter with its reason beside the record',
    async (browser, expected) => {
      await browser.page('/ui/dead-letters', {}, async (page) => {
        if (!expected.deadLetters) {
          await page.getByRole('heading', { name: 'No dead letters' }).waitFor();
          return;
        }
        await page.getByRole('link', { name: 'netflix-titles.dlq' }).click();
        const letters = page.getByRole('article', { name: /^Dead letter/ });
        await letters.first().waitFor();
        equal(await letters.count(), expected.deadLetters, 'dead letters');
        await letters.first().getByText('Original record').waitFor();
        await letters.first().getByText('Line', { exact: true }).waitFor();
        await letters
          .first()
          .getByText(/too few columns/)
          .waitFor();
        await accessible(page, 'a dead letter');
        await browser.shot(page, 'dead-letter');
      });
    },
  ],

  [
    'use: everything by keyboard',
    async (browser) => {
      await browser.page('/ui/overview', {}, async (page) => {
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        await page.keyboard.press('Tab');
        const skip = page.getByRole('link', { name: 'Skip to the content' });
        ok(
          await skip.evaluate((element) => element === document.activeElement),
          'the first stop is the skip link',
        );
        await page.keyboard.press('Enter');
        ok(
          await page.evaluate(() => document.activeElement.id === 'main'),
          'it leads to the content',
        );
        await tabTo(
          page,
          page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Topics' }),
          'Shift+Tab',
        );
        await page.keyboard.press('Enter');
        const sort = page.getByRole('button', { name: 'Size' });
        await sort.waitFor();
        await tabTo(page, sort);
        await page.keyboard.press('Enter');
        await page
          .locator('th[aria-sort="descending"]')
          .getByRole('button', { name: 'Size' })
          .waitFor();
        ok(
          await sort.evaluate((element) => element === document.activeElement),
          'sorting keeps the focus',
        );
        await tabTo(page, page.getByRole('link', { name: 'netflix-titles', exact: true }));
        await page.keyboard.press('Enter');
        const record = page.getByRole('button', { name: /^Record / }).first();
        await record.waitFor();
        await tabTo(page, record);
        await page.keyboard.press('Space');
        await page.getByRole('heading', { name: 'Value' }).waitFor();
        await tabTo(
          page,
          page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Dashboards' }),
          'Shift+Tab',
        );
        await page.keyboard.press('Enter');
        await tabTo(page, page.getByRole('link', { name: /Netflix catalogue/ }));
        await page.keyboard.press('Enter');
        const menu = page.getByRole('button', { name: 'Menu of Top three genres' });
        await menu.waitFor();
        await tabTo(page, menu);
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'View as table' }).waitFor();
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: 'View as table' }).waitFor({ state: 'detached' });
        ok(
          await menu.evaluate((element) => element === document.activeElement),
          'Escape gives the focus back',
        );
      });
    },
  ],
];
