// The versions of a module that was uploaded, the newest first, and the switch between them.

import { h } from '../dom.js';
import { copyButton, size, time } from '../parts/bits.js';
import { table } from '../parts/table.js';

const DIGEST_SHOWN = 12;

/** `activate(version)` is called for the button of a version that is not the active one. */
export function versionTable({ active, versions, running, busy, activate }) {
  const runs = (row) => running.some((one) => one.sha256 === row.sha256);
  return table({
    label: 'Versions',
    rows: versions.slice().sort((a, b) => b.version - a.version),
    keyOf: (row) => row.version,
    columns: [
      {
        id: 'version',
        name: 'Version',
        cell: (row) => [
          h('span', { class: 'name version-number' }, row.version),
          row.version === active ? h('span', { class: 'badge good' }, 'active') : null,
          row.version !== active && runs(row) ? h('span', { class: 'badge calm' }, 'runs') : null,
        ],
      },
      {
        id: 'activate',
        name: 'Switch',
        cell: (row) =>
          h(
            'button',
            {
              type: 'button',
              class: 'button small',
              disabled: busy || row.version === active,
              'aria-label': `Activate version ${row.version}`,
              title:
                row.version === active
                  ? 'This version is active'
                  : row.version < active
                    ? `Roll back to version ${row.version}`
                    : `Go forward to version ${row.version}`,
              onclick: () => activate(row.version),
            },
            'Activate',
          ),
      },
      { id: 'created', name: 'Uploaded', cell: (row) => time(row.created_ms) },
      { id: 'size', name: 'Size', num: true, cell: (row) => size(row.size) },
      { id: 'kind', name: 'Kind', cell: (row) => h('code', {}, row.abi) },
      {
        id: 'digest',
        name: 'Digest',
        cell: (row) =>
          h(
            'span',
            { class: 'short-digest' },
            h('code', { title: row.sha256 }, row.sha256.slice(0, DIGEST_SHOWN)),
            copyButton(row.sha256, `Copy the digest of version ${row.version}`),
          ),
      },
      {
        id: 'description',
        name: 'Description',
        wide: true,
        cell: (row) => row.description || h('span', { class: 'quiet' }, 'none'),
      },
    ],
  });
}
