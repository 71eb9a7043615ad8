// Opens the page of a running node and checks what people see in it.
//
//   tests/page/install.sh
//   python3 tests/page/expected.py TITLES.CSV > expected.json
//   node tests/page/run.mjs http://127.0.0.1:8080 expected.json
//       [--shots DIR] [--only WORD] [--dead-letters N] [--checks modules]
//
// The node must have loaded the Netflix example (examples/netflix/wstream.toml) from TITLES.CSV,
// or be loading it. With `--checks modules` it is the node of tests/integration/page.rs whose
// pipeline p runs the module mark, and the file names its token and the modules. Prints a line per check; exits 1 when one failed. Checks find things by role
// and visible text and wait for conditions, never for time to pass.

import fs from 'node:fs';

import { Browser } from './browser.mjs';
import { charts } from './charts.mjs';
import { modules } from './modules.mjs';
import { states } from './states.mjs';
import { use } from './use.mjs';
import { views } from './views.mjs';

function options(args) {
  const found = { plain: [] };
  for (let i = 0; i < args.length; i += 1) {
    if (args[i].startsWith('--')) {
      found[args[i].slice(2)] = args[i + 1];
      i += 1;
    } else {
      found.plain.push(args[i]);
    }
  }
  return found;
}

const given = options(process.argv.slice(2));
const [base, expectedFile] = given.plain;
if (!base || !expectedFile) {
  console.error('usage: node run.mjs BASE EXPECTED.json [--shots DIR] [--only WORD]');
  process.exit(2);
}
const expected = JSON.parse(fs.readFileSync(expectedFile, 'utf8'));
expected.deadLetters = Number(given['dead-letters']) || 0;
if (given.shots) fs.mkdirSync(given.shots, { recursive: true });

const browser = await Browser.start(base.replace(/\/$/, ''), given.shots);
const all = given.checks === 'modules' ? modules : [...charts, ...views, ...states, ...use];
const checks = all.filter(([name]) => !given.only || name.includes(given.only));
let failed = 0;
for (const [name, check] of checks) {
  const start = Date.now();
  try {
    await check(browser, expected);
    console.log(`ok      ${name} (${Date.now() - start} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n    ${error.message}`);
    if (process.env.PAGE_TRACE) console.log(error.stack);
  }
}
await browser.close();
console.log(`${checks.length - failed} of ${checks.length} checks passed`);
process.exit(failed || !checks.length ? 1 : 0);
