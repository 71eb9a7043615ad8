// Trying a version on sample records: nothing is written anywhere, keyed state begins empty.

import { h } from '../dom.js';
import { getLines, segment, send } from '../api.js';
import { exact, nanos, plural } from '../format.js';
import { Action, refusal } from '../parts/action.js';
import { card, field } from '../parts/bits.js';
import { icon } from '../parts/icons.js';
import { headersOf, jsonView, keyPreview, readValue } from '../parts/json.js';
import { empty } from '../parts/states.js';

const TAKEN = 5;
const SAMPLE = [
  { key: 'a', value_json: { id: 1, name: 'first', amount: 12.5 } },
  { key: 'b', value_json: { id: 2, name: 'second', amount: 7 } },
]
  .map((record) => JSON.stringify(record))
  .join('\n');

export class ModuleTest {
  constructor({ live, redraw, name }) {
    Object.assign(this, { live, redraw, name });
    this.run = new Action(redraw);
    this.take = new Action(redraw);
    this.records = SAMPLE;
    this.config = '{}';
    this.version = '';
    this.topic = null;
    this.answer = null;
  }

  stop() {
    this.answer = null;
  }

  /** The topics of the pipelines that use the module come first: their records fit. */
  topics(running) {
    const used = new Set(running.flatMap((row) => row.pipelines || []));
    const pipelines = (this.live.list('pipelines') || []).filter((row) => used.has(row.name));
    const own = pipelines.flatMap((row) => row.from || []);
    const all = (this.live.list('topics') || [])
      .filter((topic) => !topic.internal)
      .map((topic) => topic.name);
    return [...new Set([...own, ...all])];
  }

  draw({ active, versions, running }) {
    if (!versions.length) {
      return empty({
        title: 'Only an uploaded module can be tried here',
        text: `${this.name} runs from a file. Try the file where it is:`,
        command: `wstream transform test ${this.name}.wasm`,
      });
    }
    const topics = this.topics(running);
    return h(
      'div',
      { class: 'trial', key: 'trial' },
      card('Records and settings', this.form(versions, active, topics), { key: 'form' }),
      h('div', { class: 'stack', key: 'results' }, this.results()),
    );
  }

  form(versions, active, topics) {
    const topic = topics.includes(this.topic) ? this.topic : topics[0];
    const set = (field_) => (event) => {
      this[field_] = event.target.value;
      this.redraw();
    };
    const area = (field_, rows) =>
      h('textarea', {
        class: 'mono',
        rows,
        spellcheck: 'false',
        autocapitalize: 'off',
        value: this[field_],
        oninput: set(field_),
      });
    return h(
      'form',
      {
        class: 'stack',
        onsubmit: (event) => {
          event.preventDefault();
          this.start();
        },
      },
      field('Records, one JSON object a line', area('records', 9)),
      topics.length
        ? h(
            'div',
            { class: 'bar' },
            field(
              'Topic',
              h(
                'select',
                { value: topic, onchange: set('topic') },
                topics.map((name) => h('option', { key: name, value: name }, name)),
              ),
            ),
            h(
              'button',
              {
                type: 'button',
                class: 'button',
                disabled: this.take.busy,
                onclick: () => this.fill(topic),
              },
              icon('download'),
              `Take the last ${TAKEN} records`,
            ),
          )
        : null,
      this.take.outcome(),
      field('Configuration, as JSON', area('config', 3)),
      h(
        'div',
        { class: 'bar' },
        field(
          'Version',
          h(
            'select',
            { value: this.version, onchange: set('version') },
            h('option', { value: '' }, `active (${active})`),
            versions
              .map((entry) => String(entry.version))
              .reverse()
              .map((version) => h('option', { key: version, value: version }, version)),
          ),
        ),
        h(
          'button',
          { type: 'submit', class: 'button primary', disabled: this.run.busy },
          icon('play'),
          'Run',
        ),
      ),
      h('p', { class: 'muted small' }, 'Nothing is written; keyed state begins empty.'),
    );
  }

  fill(topic) {
    this.take.run(async () => {
      const path = `/api/v1/topics/${segment(topic)}/records?offset=-${TAKEN}`;
      const records = await getLines(path);
      if (!records.length) return `${topic} has no records yet; the sample stays.`;
      this.records = records.map((record) => JSON.stringify(record)).join('\n');
      return `${plural(records.length, 'record')} of ${topic} taken.`;
    });
  }

  start() {
    const query = new URLSearchParams({ config: this.config.trim() || '{}' });
    if (this.version) query.set('version', this.version);
    const path = `/api/v1/transforms/${segment(this.name)}/test?${query}`;
    this.run.run(async () => {
      const body = this.records;
      this.answer = await send('POST', path, { body, type: 'application/x-ndjson' });
      return summary(this.answer);
    });
  }

  results() {
    const { answer, run } = this;
    const outcome = run.outcome(
      run.busy ? 'The node runs the records.' : 'Outputs appear here, beside what went in.',
    );
    const shown = run.state === 'done' || run.busy ? (answer && answer.results) || [] : [];
    return [
      h('div', { class: 'card outcome-card', key: 'outcome' }, outcome),
      shown.map((result, i) => resultCard(result, i)),
    ];
  }
}

/** `5 records through version 2: 4 outputs, 1 failure, 12 us per record.` */
export function summary({ version, records, results, ns_per_record: ns }) {
  const outputs = results.reduce((sum, result) => sum + (result.out || []).length, 0);
  const failures = results.filter((result) => result.error).length;
  return `${plural(records, 'record')} through version ${version}: ${plural(outputs, 'output')}, ${plural(failures, 'failure')}, ${nanos(ns)} per record.`;
}

function resultCard(result, i) {
  const { in: input, out = [], error } = result || {};
  return h(
    'article',
    { class: 'card result', key: i, 'aria-label': `Record ${i + 1}` },
    h(
      'div',
      { class: 'result-part' },
      h('h3', {}, `Record ${exact(i + 1)}`),
      input ? recordText(input) : null,
    ),
    h(
      'div',
      { class: 'result-part' },
      h('h3', {}, error ? 'Failure' : plural(out.length, 'output')),
      error
        ? refusal({ message: error.message, code: `code ${error.code}` })
        : out.length
          ? out.map((record, n) => h('div', { class: 'result-part', key: n }, recordText(record)))
          : h('p', { class: 'muted' }, 'Nothing comes out: the record is dropped.'),
    ),
  );
}

function recordText(record) {
  const value = readValue(record);
  const headers = headersOf(record);
  return [
    h(
      'p',
      { class: 'muted small record-key' },
      record.output ? h('span', { class: 'badge done' }, `to ${record.output}`) : null,
      record.key === undefined && record.key_base64 === undefined
        ? 'no key'
        : ['key ', h('code', {}, keyPreview(record))],
      headers.map(([name, text], n) => [', ', h('code', { key: n }, `${name}: ${text}`)]),
    ),
    value.json !== undefined
      ? jsonView(value.json)
      : h(
          'pre',
          { class: 'json wrap', tabindex: 0, 'aria-label': 'Value' },
          value.absent ? 'null' : (value.text ?? `base64 ${value.base64}`),
        ),
  ];
}
