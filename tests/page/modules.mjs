// Modules: uploaded, switched, tried, followed and deleted, on a node that wants a token.

import fs from 'node:fs';

import { accessible, equal, ok, rowsOf, tooWide, until } from './browser.mjs';

const COPIED = 'copied';

/** Most pages have been given the token before. */
const withToken = (token) => (page) =>
  page.addInitScript((text) => sessionStorage.setItem('wstream.token', text), token);

async function produce(base, token, values) {
  const lines = values.map((value) => JSON.stringify({ value })).join('\n');
  const response = await fetch(`${base}/api/v1/topics/in/records`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: lines,
  });
  equal(response.status, 200, 'status of writing records');
}

/** What the last record of the topic `out` says. */
async function lastOut(base) {
  const response = await fetch(`${base}/api/v1/topics/out/records?offset=-1`);
  const text = await response.text();
  return text.trim() ? JSON.parse(text.trim()).value : null;
}

/** The letter that a new record comes out as. */
async function worksAs(base, token, letter) {
  await until(`records come out as ${letter}`, async () => {
    await produce(base, token, ['x']);
    return (await lastOut(base)) === letter;
  });
}

/** What is filled in is drawn a frame later. */
const filled = (input, text) =>
  until(`${text} is filled in`, async () => (await input.inputValue()) === text);

/** How many lines the node has kept of the module's log. */
async function kept(base) {
  const response = await fetch(`${base}/api/v1/transforms/mark/logs`);
  return (await response.text()).trim().split('\n').length;
}

const uploadDialog = (page) => page.getByRole('dialog', { name: /^Upload/ });

async function uploadVersion(page, file, activate) {
  await page.getByRole('button', { name: 'Upload a version' }).click();
  const dialog = uploadDialog(page);
  await dialog.getByLabel(/^Module/).setInputFiles(file);
  if (!activate) await dialog.getByRole('checkbox', { name: /^Activate/ }).uncheck();
  await dialog.getByRole('button', { name: 'Upload', exact: true }).click();
  return dialog;
}

/** In both themes and on a phone, at the address it has. */
async function looks(browser, page, name, there) {
  await there();
  await accessible(page, `${name} (light)`);
  await browser.shot(page, `${name}-light`);
  await page.emulateMedia({ colorScheme: 'dark' });
  await accessible(page, `${name} (dark)`, ['color-contrast']);
  await browser.shot(page, `${name}-dark`);
  await page.setViewportSize({ width: 390, height: 844 });
  await there();
  await until(`${name} fits 390 px`, async () => (await tooWide(page)) <= 0);
  await accessible(page, `${name} (390 px)`);
  await browser.shot(page, `${name}-390`);
}

export const modules = [
  [
    'modules: an upload asks for the token, then is stored and listed',
    async (browser, { token, files }) => {
      await browser.page('/ui/transforms', { expectErrors: true }, async (page) => {
        const opener = page.getByRole('button', { name: 'Upload a module' });
        await opener.click();
        const dialog = uploadDialog(page);
        await dialog.getByLabel(/^Module/).setInputFiles(files.filter);
        await filled(dialog.getByLabel('Name'), 'filter');
        await dialog.getByRole('button', { name: 'Upload', exact: true }).click();
        const alert = dialog.getByRole('alert');
        await alert.getByText('a token is needed').waitFor();
        await alert.getByText(/Authorization: Bearer/).waitFor();
        await accessible(page, 'a dialog that asks for the token');
        await browser.shot(page, 'module-token');
        await dialog.getByLabel(/^Token/).fill('another');
        await page.keyboard.press('Enter');
        await alert.getByText('the token is not the right one').waitFor();
        await dialog.getByLabel(/^Token/).fill(token);
        await dialog.getByRole('button', { name: 'Use the token and try again' }).click();
        await dialog
          .getByRole('status')
          .getByText('filter version 1 is stored and active.')
          .waitFor();
        await accessible(page, 'a dialog after an upload');
        await page.keyboard.press('Escape');
        await dialog.waitFor({ state: 'detached' });
        ok(
          await opener.evaluate((element) => element === document.activeElement),
          'closing gives the focus back',
        );
        await page.getByRole('link', { name: 'filter', exact: true }).click();
        await page.getByRole('heading', { level: 1, name: 'filter' }).waitFor();
        await page.getByRole('table', { name: 'Versions' }).waitFor();
        // The token is kept: the same again is no new version, and is not asked for.
        const again = await uploadVersion(page, files.filter, true);
        await again.getByText('filter version 1 is stored and active.').waitFor();
      });
    },
  ],

  [
    'modules: a file that is no module shows what the node says',
    async (browser, { token, files }) => {
      const options = { prepare: withToken(token), expectErrors: true };
      await browser.page('/ui/transforms', options, async (page) => {
        await page.getByRole('link', { name: 'mark', exact: true }).waitFor();
        // Dropped on the page, not chosen.
        const bytes = [...fs.readFileSync(files.text)];
        const dropped = await page.evaluateHandle((content) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(content)], 'no module.wasm'));
          return transfer;
        }, bytes);
        const target = page.getByRole('region', { name: /transforms?$/ });
        await target.dispatchEvent('dragover', { dataTransfer: dropped });
        await target.dispatchEvent('drop', { dataTransfer: dropped });
        const dialog = uploadDialog(page);
        const name = dialog.getByLabel('Name');
        await filled(name, 'no-module');
        await name.fill('no module');
        await dialog.getByText(/^A name has letters/).waitFor();
        const upload = dialog.getByRole('button', { name: 'Upload', exact: true });
        ok(await upload.isDisabled(), 'a wrong name is not sent');
        await name.fill('no-module');
        await upload.click();
        const alert = dialog.getByRole('alert');
        await alert.getByText(/74 65 78 74/).waitFor();
        await alert.getByText(/wstream transform show FILE/).waitFor();
        await alert.getByText('bad_module').waitFor();
        await looks(browser, page, 'module-refused', () => alert.waitFor());
      });
    },
  ],

  [
    'modules: a version goes live and back, and one that cannot is refused',
    async (browser, { token, files }) => {
      const options = { prepare: withToken(token), expectErrors: true };
      await worksAs(browser.base, token, 'a');
      await browser.page('/ui/transforms/mark', options, async (page) => {
        const stored = await uploadVersion(page, files.next, false);
        await stored.getByText('mark version 2 is stored, not active.').waitFor();
        await stored.getByRole('button', { name: 'Close', exact: true }).last().click();
        const versions = page.getByRole('region', { name: 'Versions' });
        const row = (version) =>
          page.getByRole('row').filter({
            has: page.getByRole('button', { name: `Activate version ${version}`, exact: true }),
          });
        const button = (version) =>
          page.getByRole('button', { name: `Activate version ${version}`, exact: true });
        await row(1).getByText('active', { exact: true }).waitFor();
        ok(await button(1).isDisabled(), 'the active version has nothing to activate');
        await button(2).click();
        await versions.getByText('Switched from version 1 to version 2').waitFor();
        await row(2).getByText('active', { exact: true }).waitFor();
        await worksAs(browser.base, token, 'b');
        const running = (version) =>
          page.getByRole('region', { name: `Running: version ${version}`, exact: true });
        await until('a rate', async () => {
          await produce(browser.base, token, ['x']);
          return !/^Records\/s(\u2013|0)/.test(
            await running(2).getByText('Records/s').locator('..').textContent(),
          );
        });
        await button(1).click();
        await versions.getByText('Rolled back from version 2 to version 1').waitFor();
        await worksAs(browser.base, token, 'a');
        const refused = await uploadVersion(page, files.filter, true);
        await refused.getByRole('alert').getByText('not_activated').waitFor();
        await refused
          .getByRole('alert')
          .getByText(/the version is stored/)
          .waitFor();
        await page.keyboard.press('Escape');
        await button(3).click();
        await versions.getByRole('alert').getByText('not_activated').waitFor();
        await row(1).getByText('active', { exact: true }).waitFor();
        const table = await rowsOf(page, 'Versions');
        equal(
          table.slice(1).map((cells) => cells[0]),
          ['3', '2', '1active'],
          'versions, the newest first',
        );
        await looks(browser, page, 'module', () => row(1).waitFor());
        await page.reload();
        await row(1).getByText('active', { exact: true }).waitFor();
      });
    },
  ],

  [
    'modules: the log is followed, filtered and paused',
    async (browser, { token }) => {
      await browser.page('/ui/transforms/mark?tab=log', {}, async (page) => {
        const old = page.getByRole('cell', { name: 'letter b at work' }).first();
        const lines = async () => (await rowsOf(page, 'Log of mark')).length - 1;
        await old.waitFor();
        const before = await kept(browser.base);
        await until('all that is kept', async () => (await lines()) === before);
        await produce(browser.base, token, ['x']);
        await until('one line more', async () => (await lines()) > before);
        await page.getByRole('button', { name: 'Pause' }).click();
        await page.getByText(/^Paused, /).waitFor();
        const held = await lines();
        await produce(browser.base, token, ['x']);
        const resume = page.getByRole('button', { name: /^Resume \(\d+ new\)/ });
        await resume.waitFor();
        equal(await lines(), held, 'lines shown while paused');
        await resume.click();
        await until('the lines held back', async () => (await lines()) > held);
        await looks(browser, page, 'module-log', () => old.waitFor());
        await page.getByRole('searchbox', { name: 'Filter' }).fill('warn');
        await page.getByText(/\d+ of \d+ lines contain the text/).waitFor();
        await page.getByRole('cell', { name: 'letter a at work' }).waitFor({ state: 'detached' });
        await old.waitFor();
        equal(new URL(page.url()).searchParams.get('q'), 'warn', 'filter in the address');
      });
    },
  ],

  [
    'modules: at most 500 lines stay, and missed ones are counted',
    async (browser) => {
      const line = (n) => ({ timestamp: n, level: 'error', version: '7', text: `line ${n}` });
      const events = Array.from({ length: 600 }, (_, n) => ['line', line(n)]);
      events.push(['missed', { missed: 1200 }], ['line', line(600)]);
      const body = events
        .map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
        .join('');
      const prepare = (page) =>
        page.route(
          (url) => url.pathname === '/api/v1/transforms/mark/logs',
          (route) => route.fulfill({ status: 200, contentType: 'text/event-stream', body }),
        );
      const options = { prepare, expectErrors: true };
      await browser.page('/ui/transforms/mark?tab=log', options, async (page) => {
        await page.getByText(/^1,200 lines missed/).waitFor();
        const rows = await rowsOf(page, 'Log of mark');
        equal(rows.length - 1, 500, 'lines');
        equal([rows[1][3], rows[500][3]], ['line 600', 'line 102'], 'newest and oldest line');
      });
    },
  ],

  [
    'modules: records are tried, with outputs, failures and what is wrong',
    async (browser, { token }) => {
      const options = { prepare: withToken(token), expectErrors: true };
      await browser.page('/ui/transforms/filter?tab=try', options, async (page) => {
        const records = page.getByLabel(/^Records, one/);
        ok(JSON.parse((await records.inputValue()).split('\n')[0]).value_json, 'a sample is there');
        const run = page.getByRole('button', { name: 'Run' });
        await run.click();
        await page
          .getByRole('alert')
          .getByText(/missing field .field./)
          .waitFor();
        await page.getByLabel(/^Configuration/).fill('{"field":"amount","op":"ge","value":10}');
        await records.fill(
          '{"key":"a","value_json":{"amount":12.5}}\n{"value_json":{"amount":7}}\n{"value":"no JSON"}',
        );
        await run.click();
        await page
          .getByRole('status')
          .getByText(/^3 records through version 1: 1 output, 1 failure, .* per record\.$/)
          .waitFor();
        const record = (n) => page.getByRole('article', { name: `Record ${n}`, exact: true });
        await record(1).getByRole('heading', { name: '1 output' }).waitFor();
        equal(await record(1).getByText('12.5').count(), 2, 'what went in and what came out');
        await record(2)
          .getByText(/the record is dropped/)
          .waitFor();
        await record(3).getByRole('heading', { name: 'Failure' }).waitFor();
        await record(3).getByText('code 1').waitFor();
        await looks(browser, page, 'module-try', () => record(3).waitFor());
        await records.fill('{"value":');
        await run.click();
        await page
          .getByRole('alert')
          .getByText(/^line 1:/)
          .waitFor();
      });
    },
  ],

  [
    'modules: the records to try come out of the topic of the pipeline',
    async (browser, { token }) => {
      await produce(browser.base, token, ['1', '2', '3', '4', '5', '6', COPIED]);
      const options = { prepare: withToken(token) };
      await browser.page('/ui/transforms/mark?tab=try', options, async (page) => {
        await until('the topic of the pipeline is chosen', async () => {
          const topic = page.getByLabel('Topic');
          return (await topic.count()) > 0 && (await topic.inputValue()) === 'in';
        });
        await page.getByRole('button', { name: 'Take the last 5 records' }).click();
        await page.getByText('5 records of in taken.').waitFor();
        const text = await page.getByLabel(/^Records, one/).inputValue();
        equal(text.split('\n').length, 5, 'records');
        ok(text.includes(COPIED), 'the newest is one of them');
        await page.getByLabel('Version').selectOption('2');
        await page.getByRole('button', { name: 'Run' }).click();
        await page.getByText(/^5 records through version 2: 5 outputs, 0 failures/).waitFor();
        equal(await page.getByLabel('Value').getByText('b', { exact: true }).count(), 5, 'outputs');
      });
    },
  ],

  [
    'modules: what is in use stays, what is not is deleted once its name is typed',
    async (browser, { token }) => {
      const options = { prepare: withToken(token), expectErrors: true };
      const erase = async (page, name) => {
        await page.getByRole('button', { name: 'Delete', exact: true }).click();
        const dialog = page.getByRole('dialog', { name: `Delete ${name}` });
        const sure = dialog.getByRole('button', { name: 'Delete the module' });
        ok(await sure.isDisabled(), 'nothing is deleted before the name is typed');
        await dialog.getByLabel(`Type ${name} to confirm`).fill(name);
        await sure.click();
        return dialog;
      };
      await browser.page('/ui/transforms/mark', options, async (page) => {
        const dialog = await erase(page, 'mark');
        await dialog
          .getByRole('alert')
          .getByText(/used by p/)
          .waitFor();
        await dialog.getByRole('alert').getByText('in_use').waitFor();
        await looks(browser, page, 'module-delete', () => dialog.waitFor());
      });
      await browser.page('/ui/transforms/filter', options, async (page) => {
        await erase(page, 'filter');
        await page.getByRole('heading', { level: 1, name: 'Transforms' }).waitFor();
        await page.getByRole('link', { name: 'mark', exact: true }).waitFor();
        await page
          .getByRole('link', { name: 'filter', exact: true })
          .waitFor({ state: 'detached' });
      });
    },
  ],

  [
    'modules: the list in both themes and on a phone',
    async (browser) => {
      await browser.page('/ui/transforms', {}, async (page) => {
        const link = page.getByRole('link', { name: 'mark', exact: true });
        await looks(browser, page, 'modules', () => link.waitFor());
      });
    },
  ],
];
