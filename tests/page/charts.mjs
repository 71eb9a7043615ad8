// The dashboard: seven charts, their numbers, and what can be done with them.

import fs from 'node:fs';

import { equal, ok, rowsOf, until } from './browser.mjs';

const ADDRESS = '/ui/dashboards/netflix';
const YEARS = 'Titles by release year and type';

/** A cell as a number, a key in brackets, or a text. */
function keyOf(text) {
  const code = /\(([^()]+)\)$/.exec(text);
  const key = code ? code[1] : text;
  return /^-?\d+$/.test(key) ? Number(key) : key;
}

function numberOf(text) {
  return text === '' ? null : Number(text.replace(/,/g, ''));
}

function same(found, wanted) {
  if (found.length !== wanted.length) return false;
  return found.every((value, i) => {
    if (typeof value === 'string') return value.toLowerCase() === String(wanted[i]).toLowerCase();
    if (value === null || wanted[i] === null) return value === wanted[i];
    // The page shows six digits after the point.
    return Math.abs(value - wanted[i]) <= 1e-6 * Math.max(1, Math.abs(wanted[i]));
  });
}

async function panelNumbers(page, title) {
  const [head, ...rows] = await rowsOf(page, title);
  return { head, rows: rows.map(([key, ...values]) => [keyOf(key), ...values.map(numberOf)]) };
}

/** Waits until all documents are in, then compares every row of every panel. */
async function compare(page, expected) {
  const titles = Object.keys(expected.panels);
  equal(titles.length, 7, 'charts expected');
  for (const title of titles)
    await page.getByRole('region', { name: title, exact: true }).waitFor();
  await page
    .getByText(`${expected.total.toLocaleString('en-US')} documents`, { exact: false })
    .waitFor();
  for (const [title, wanted] of Object.entries(expected.panels)) {
    let found;
    const matches = async () => {
      found = await panelNumbers(page, title);
      return (
        found.rows.length === wanted.rows.length &&
        found.rows.every((row, i) => same(row, wanted.rows[i]))
      );
    };
    await until(`numbers of ${title}`, matches).catch(() => {
      const at = wanted.rows.findIndex((row, i) => !found.rows[i] || !same(found.rows[i], row));
      equal(
        found.rows[at],
        wanted.rows[at],
        `${title}, row ${at} of ${found.rows.length} (wanted ${wanted.rows.length})`,
      );
      equal(found.rows.length, wanted.rows.length, `rows of ${title}`);
    });
    equal(found.head, wanted.head, `heading of ${title}`);
  }
}

/** Each chart draws as many marks as its table has values above zero. */
async function drawn(page, expected) {
  for (const [title, wanted] of Object.entries(expected.panels)) {
    const panel = page.getByRole('region', { name: title, exact: true });
    const image = panel.getByRole('img', { name: title });
    await image.waitFor();
    const marks = await image.evaluate(
      (svg) => svg.querySelectorAll('rect.fill, circle.dot, path.slice').length,
    );
    const values = wanted.rows.flatMap(([, ...numbers]) => numbers).filter(Boolean).length;
    equal(marks, values, `marks of ${title}`);
  }
}

async function plot(page, title) {
  const group = page.getByRole('group', { name: `${title}: chart`, exact: false });
  await group.waitFor();
  return group;
}

export const charts = [
  [
    'charts: seven, with the numbers of the catalogue',
    async (browser, expected) => {
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        await drawn(page, expected);
        await browser.shot(page, 'dashboard-light');
      });
    },
  ],

  [
    'charts: the same on a phone and in the dark',
    async (browser, expected) => {
      await browser.page(ADDRESS, { width: 390, height: 844, theme: 'dark' }, async (page) => {
        await compare(page, expected);
        await browser.shot(page, 'dashboard-dark-390');
      });
    },
  ],

  [
    'charts: values on hover, and by arrow keys',
    async (browser, expected) => {
      const rows = expected.panels[YEARS].rows;
      const [year, movies, shows] = rows[rows.length - 1];
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        const group = await plot(page, YEARS);
        await group.focus();
        await page.keyboard.press('End');
        const spoken = group.getByRole('status');
        const words = `${year}: Movies ${movies}, Shows ${shows}, Total ${movies + shows}`;
        await spoken.getByText(words).waitFor({ state: 'attached' });
        await page.keyboard.press('Escape');
        await until('the value is hidden again', async () => (await spoken.textContent()) === '');
        const box = await group.boundingBox();
        await group.hover({ position: { x: box.width - 14, y: box.height / 2 } });
        await spoken.getByText(words).waitFor({ state: 'attached' });
        await browser.shot(page, 'dashboard-hover');
      });
    },
  ],

  [
    'charts: the legend hides a series, the address keeps it',
    async (browser, expected) => {
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        const panel = () => page.getByRole('region', { name: YEARS, exact: true });
        const bars = () =>
          panel()
            .getByRole('img', { name: YEARS })
            .evaluate((svg) => svg.querySelectorAll('rect.fill').length);
        const movies = expected.panels[YEARS].rows.filter(([, count]) => count).length;
        await panel().getByRole('button', { name: 'Shows', pressed: true }).click();
        await until('only movies are drawn', async () => (await bars()) === movies);
        await page.reload();
        await panel().getByRole('button', { name: 'Shows', pressed: false }).waitFor();
        await until('only movies are drawn after a reload', async () => (await bars()) === movies);
        await panel().getByRole('button', { name: 'Shows' }).click();
        await until('all are drawn', async () => (await bars()) > movies);
      });
    },
  ],

  [
    'charts: a drag selects a range, the address keeps it',
    async (browser, expected) => {
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        const group = await plot(page, YEARS);
        const box = await group.boundingBox();
        const y = box.y + box.height / 2;
        await page.mouse.move(box.x + box.width * 0.7, y);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.8, y, { steps: 4 });
        await page.mouse.move(box.x + box.width - 20, y, { steps: 4 });
        await page.mouse.up();
        const panel = page.getByRole('region', { name: YEARS, exact: true });
        await panel.getByRole('button', { name: 'Whole range' }).waitFor();
        ok(new URL(page.url()).searchParams.get('zoom'), 'the range is in the address');
        const count = () =>
          panel
            .getByRole('img', { name: YEARS })
            .evaluate((svg) => svg.querySelectorAll('rect.fill').length);
        const zoomed = await count();
        const all = expected.panels[YEARS].rows
          .flatMap(([, ...values]) => values)
          .filter(Boolean).length;
        ok(zoomed > 0 && zoomed < all, `${zoomed} of ${all} bars in the range`);
        await page.reload();
        await panel.getByRole('button', { name: 'Whole range' }).click();
        await until('all bars are back', async () => (await count()) === all);
      });
    },
  ],

  [
    'charts: a bar filters all panels, the address keeps it',
    async (browser, expected) => {
      const title = 'Top three genres';
      const [genre, count] = expected.panels[title].rows[0];
      const documents = (page, total) =>
        page.getByText(`${total.toLocaleString('en-US')} documents`, { exact: false }).waitFor();
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        const group = await plot(page, title);
        await group.focus();
        await page.keyboard.press('Home');
        await page.keyboard.press('Enter');
        const pill = page.getByRole('button', { name: `Remove the filter genres:${genre}` });
        await pill.waitFor();
        await documents(page, count);
        await page.reload();
        await documents(page, count);
        const filter = page.getByRole('searchbox', { name: 'Filter of all panels' });
        equal(await filter.inputValue(), `genres:${genre}`, 'filter in its field');
        await pill.click();
        await documents(page, expected.total);
        await filter.fill('type:SHOW');
        await page.keyboard.press('Enter');
        await documents(page, expected.shows);
        await page.goBack();
        await documents(page, expected.total);
      });
    },
  ],

  [
    'charts: a panel as a table and as CSV',
    async (browser, expected) => {
      const title = 'Number of seasons';
      await browser.page(ADDRESS, {}, async (page) => {
        await compare(page, expected);
        const panel = page.getByRole('region', { name: title, exact: true });
        await panel.getByRole('button', { name: `Menu of ${title}` }).click();
        await panel.getByRole('button', { name: 'View as table' }).click();
        await panel.getByRole('table', { name: title }).waitFor();
        await until(
          'the address keeps the table',
          () => new URL(page.url()).searchParams.get('table') === 'seasons',
        );
        await page.reload();
        await panel.getByRole('columnheader', { name: 'Seasons' }).waitFor();
        equal(
          await panel.getByRole('img', { name: title }).count(),
          0,
          'drawings beside the table',
        );
        await panel.getByRole('button', { name: `Menu of ${title}` }).click();
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          panel.getByRole('button', { name: 'Download CSV' }).click(),
        ]);
        const lines = fs.readFileSync(await download.path(), 'utf8').split('\r\n');
        const wanted = expected.panels[title];
        equal(
          lines,
          [wanted.head.join(','), ...wanted.rows.map((row) => row.join(',')), ''],
          'lines of the CSV',
        );
        await panel.getByRole('button', { name: `Menu of ${title}` }).click();
        await panel.getByRole('link', { name: 'Open in Search' }).click();
        await page.getByRole('heading', { level: 1, name: 'Search' }).waitFor();
      });
    },
  ],
];
