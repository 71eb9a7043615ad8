// The browser, and what every check asks of a page: no script errors, nothing refused by the
// content security policy, no accessibility violations, no sideways scrolling.

import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const cache = path.join(
  process.env.WSTREAM_CACHE || path.join(os.homedir(), '.cache/wstream'),
  'page',
);
const require = createRequire(path.join(cache, 'package.json'));
const { chromium } = require('playwright-core');
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const DEADLINE_MS = Number(process.env.PAGE_DEADLINE_MS) || 60000;
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

export class Failure extends Error {}

/** Fails with both values when they differ as JSON. */
export function equal(actual, wanted, what) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (a !== b) throw new Failure(`${what}\n    found  ${a}\n    wanted ${b}`);
}

export function ok(condition, what) {
  if (!condition) throw new Failure(what);
}

/** Asks again until the answer is true; a browser's state, never a guess at how long it takes. */
export async function until(what, ask) {
  const end = Date.now() + DEADLINE_MS;
  let last;
  for (;;) {
    try {
      if (await ask()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw last || new Failure(`in time: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class Browser {
  static async start(base, shots) {
    const browser = new Browser();
    browser.base = base;
    browser.shots = shots;
    browser.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      headless: true,
      args: FLAGS,
      timeout: DEADLINE_MS,
    });
    return browser;
  }

  /** Opens a page at `address`, runs `use` on it, and fails on any error it met on the way. */
  async page(address, options, use) {
    const { width = 1280, height = 900, theme = 'light', prepare, expectErrors = false } = options;
    const context = await this.chromium.newContext({
      viewport: { width, height },
      colorScheme: theme,
      locale: 'en-US',
      timezoneId: 'UTC',
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(DEADLINE_MS);
    const page = await context.newPage();
    const troubles = [];
    page.on('pageerror', (error) => troubles.push(`script error: ${error.stack}`));
    page.on('dialog', (dialog) => {
      troubles.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('console', (message) => {
      const text = message.text();
      const network = /Failed to load resource|net::ERR|ERR_/.test(text);
      if (message.type() === 'error' && !(expectErrors && network))
        troubles.push(`console: ${text}`);
    });
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith('http') && url.origin !== new URL(this.base).origin)
        troubles.push(`foreign request: ${request.url()}`);
    });
    try {
      if (prepare) await prepare(page);
      await page.goto(this.base + address, { waitUntil: 'domcontentloaded' });
      await use(page);
      if (troubles.length) throw new Failure(troubles.join('\n    '));
    } catch (error) {
      if (this.shots)
        await page.screenshot({ path: path.join(this.shots, 'failed.png') }).catch(() => {});
      if (troubles.length && !troubles.includes(error.message))
        error.message += `\n    also: ${troubles.join('\n    ')}`;
      throw error;
    } finally {
      await context.close();
    }
  }

  async shot(page, name) {
    if (!this.shots) return;
    await page.screenshot({
      path: path.join(this.shots, `${name}.png`),
      fullPage: false,
      animations: 'disabled',
    });
  }

  async close() {
    await this.chromium.close();
  }
}

/** No violation of the rules that a program can check. */
export async function accessible(page, what, rules) {
  // Through the protocol, not a script element: the page's policy allows no foreign script.
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async (only) => {
    const options = { resultTypes: ['violations'], ...(only ? { runOnly: only } : {}) };
    const result = await window.axe.run(document, options);
    return result.violations.map(
      (rule) =>
        `${rule.id}: ${rule.help}\n      ${rule.nodes
          .slice(0, 3)
          .map(
            (node) =>
              `${node.html.slice(0, 160)}\n        ${node.failureSummary.split('\n').slice(1).join('; ').trim()}`,
          )
          .join('\n      ')}`,
    );
  }, rules);
  ok(violations.length === 0, `${what} is not accessible:\n    ${violations.join('\n    ')}`);
}

/** How many pixels the page is wider than its window. */
export async function tooWide(page) {
  return page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}

/** The cells of a table, by its accessible name. */
export async function rowsOf(page, name) {
  const table = page.getByRole('table', { name, exact: true }).first();
  await table.waitFor({ state: 'attached' });
  return table.evaluate((element) =>
    [...element.rows].map((row) => [...row.cells].map((cell) => cell.textContent)),
  );
}
