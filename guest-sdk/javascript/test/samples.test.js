// The samples pass the cases that they pass in every language.
import { test } from 'node:test';
import { checkCases } from '../testing.js';

for (const sample of ['identity', 'project', 'split', 'strict', 'count']) {
  test(sample, () =>
    checkCases(
      new URL(`../samples/${sample}.js`, import.meta.url),
      new URL(`../../samples/${sample}.cases.jsonl`, import.meta.url),
    ),
  );
}
