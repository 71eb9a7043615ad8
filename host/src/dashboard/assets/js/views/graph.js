// The pipeline graph: sources, topics, transforms and sinks in four columns, edges with their
// rates; on a narrow screen the columns become rows. Boxes are links, the drawing only decorates.

import { h, widget, render } from '../dom.js';
import { exact, number, rate } from '../format.js';
import { href } from '../router.js';
import { DEAD_LETTER, listOf, toneOf } from '../parts/bits.js';

const BOX = { width: 190, height: 58, gap: 18 };
const NARROW = 760;
const NODES_MAX = 60;

/** The graph as a widget, for it measures its room. */
export function graph(data) {
  return widget('div', { class: 'graph', key: 'graph' }, create, data);
}

function create(el, first) {
  let now = first;
  let kids = [];
  let width = Math.floor(el.clientWidth);
  const draw = () => {
    if (width) kids = render(el, kids, view(now, width));
  };
  const observer = new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  });
  observer.observe(el);
  draw();
  const update = (next) => {
    now = next;
    draw();
  };
  return { update, destroy: () => observer.disconnect() };
}

/** Nodes in four layers and the edges between them, from the node's statistics. */
function build({ sources, topics, pipelines, sinks, letters }) {
  const nodes = new Map();
  const edges = [];
  const add = (layer, kind, name, fields) => {
    const id = `${kind} ${name}`;
    if (!nodes.has(id)) nodes.set(id, { id, layer, kind, name, ...fields });
    return id;
  };
  const topicOf = new Map(topics.map((topic) => [topic.name, topic]));
  const addTopic = (name) => {
    const topic = topicOf.get(name) || {};
    return add(1, 'topic', name, {
      to: href('topics', name),
      tone: topic.records_per_second ? 'good' : 'calm',
      detail: `${number(topic.records ?? 0)} records`,
      exact: `${exact(topic.records)} records`,
    });
  };
  for (const source of sources) {
    const id = add(0, 'source', source.name, {
      to: source.topic ? href('topics', source.topic) : null,
      tone: toneOf(source.state),
      state: source.state,
      detail:
        source.bytes_total && source.state !== 'done'
          ? `${Math.floor((source.bytes_read / source.bytes_total) * 100)} % read`
          : source.state || source.type,
      badge: source.bad_rows ? `${number(source.bad_rows)} bad` : '',
    });
    if (source.topic)
      edges.push({
        from: id,
        to: addTopic(source.topic),
        rate: source.records_per_second || 0,
        active: source.records_per_second > 0,
      });
  }
  for (const pipeline of pipelines) {
    const steps = (pipeline.transforms || []).map((step) => step.module).join(', ');
    const dead = listOf(pipeline.dead_letter);
    const failed = letters
      .filter((entry) => dead.includes(entry.topic))
      .reduce((sum, entry) => sum + (entry.records || 0), 0);
    const id = add(2, 'pipeline', pipeline.name, {
      to: href('pipelines', pipeline.name),
      tone: toneOf(pipeline.state),
      state: pipeline.state,
      detail: steps || 'no transform',
      lag: pipeline.lag,
      failed,
      exact: `${pipeline.state}, lag ${exact(pipeline.lag)}, ${exact(pipeline.errors_total)} errors`,
    });
    for (const topic of pipeline.from || [])
      edges.push({
        from: addTopic(topic),
        to: id,
        rate: pipeline.in_per_second || 0,
        active: pipeline.in_per_second > 0,
      });
    for (const name of pipeline.to || []) {
      const sink = sinks.find((entry) => entry.name === name) || {};
      const to = add(3, 'sink', name, {
        to: sinkHref(sink),
        tone: pipeline.state === 'waiting' ? 'warn' : pipeline.out_per_second ? 'good' : 'calm',
        detail: [sink.type, sink.records === undefined ? '' : number(sink.records)]
          .filter(Boolean)
          .join(', '),
        exact: sink.target || '',
      });
      edges.push({
        from: id,
        to,
        rate: pipeline.out_per_second || 0,
        active: pipeline.out_per_second > 0,
      });
    }
  }
  for (const topic of topics)
    if (!topic.internal && !DEAD_LETTER.test(topic.name)) addTopic(topic.name);
  return {
    nodes: [...nodes.values()].slice(0, NODES_MAX),
    edges,
    cut: Math.max(0, nodes.size - NODES_MAX),
  };
}

function sinkHref(sink) {
  if (sink.type === 'search') return href('search', null, { index: sink.target });
  if (sink.type === 'dashboard') return href('dashboards', sink.target);
  if (sink.type === 'topic') return href('topics', sink.target);
  return null;
}

/** Places the layers; each follows the order of what feeds it, so that few edges cross. */
function place(nodes, edges, width) {
  const upright = width < NARROW;
  const layers = [0, 1, 2, 3]
    .map((layer) => nodes.filter((node) => node.layer === layer))
    .filter((layer) => layer.length);
  const rank = new Map();
  layers.forEach((layer) => {
    const weight = (node) => {
      const before = edges
        .filter((edge) => edge.to === node.id && rank.has(edge.from))
        .map((edge) => rank.get(edge.from));
      return before.length ? before.reduce((a, b) => a + b, 0) / before.length : 1e3;
    };
    layer
      .map((node) => [weight(node), node])
      .sort((a, b) => a[0] - b[0])
      .forEach(([, node], i) => rank.set(node.id, i));
    layer.sort((a, b) => rank.get(a.id) - rank.get(b.id));
  });
  return upright ? placeRows(layers, width) : placeColumns(layers, width);
}

function placeColumns(layers, width) {
  const pad = 18;
  const box = Math.min(
    BOX.width + 40,
    (width - pad * 2 - (layers.length - 1) * 64) / layers.length,
  );
  const most = Math.max(...layers.map((layer) => layer.length));
  const height = pad * 2 + most * (BOX.height + BOX.gap) - BOX.gap;
  const step = layers.length > 1 ? (width - pad * 2 - box) / (layers.length - 1) : 0;
  layers.forEach((layer, l) => {
    const tall = layer.length * (BOX.height + BOX.gap) - BOX.gap;
    layer.forEach((node, i) =>
      Object.assign(node, {
        x: pad + l * step,
        y: (height - tall) / 2 + i * (BOX.height + BOX.gap),
        w: box,
        h: BOX.height,
      }),
    );
  });
  return { width, height, upright: false };
}

function placeRows(layers, width) {
  const pad = 12;
  const most = Math.max(...layers.map((layer) => layer.length));
  const box = Math.max((width - pad * 2 - (most - 1) * 10) / most, 96);
  const wide = Math.max(width, pad * 2 + most * (box + 10) - 10);
  const step = BOX.height + 44;
  layers.forEach((layer, l) => {
    const across = layer.length * (box + 10) - 10;
    layer.forEach((node, i) =>
      Object.assign(node, {
        x: (wide - across) / 2 + i * (box + 10),
        y: pad + l * step,
        w: box,
        h: BOX.height,
      }),
    );
  });
  return { width: wide, height: pad * 2 + (layers.length - 1) * step + BOX.height, upright: true };
}

function view(data, width) {
  const { nodes, edges, cut } = build(data);
  const room = place(nodes, edges, width);
  const at = new Map(nodes.map((node) => [node.id, node]));
  const drawn = edges
    .filter((edge) => at.has(edge.from) && at.has(edge.to))
    .map((edge) => ({ ...edge, ...curve(at.get(edge.from), at.get(edge.to), room.upright) }));
  return [
    h(
      'div',
      {
        class: 'graph-room',
        key: 'room',
        style: { width: `${room.width}px`, height: `${room.height}px` },
      },
      h(
        'svg',
        {
          class: 'edges',
          width: room.width,
          height: room.height,
          viewBox: `0 0 ${room.width} ${room.height}`,
          'aria-hidden': 'true',
        },
        drawn.map((edge) =>
          h('path', {
            key: `${edge.from} ${edge.to}`,
            class: edge.active ? 'edge on' : 'edge',
            d: edge.d,
          }),
        ),
      ),
      drawn.map((edge) =>
        edge.rate
          ? h(
              'span',
              {
                class: 'edge-rate',
                key: `rate ${edge.from} ${edge.to}`,
                title: `${exact(edge.rate)} records per second`,
                style: { left: `${edge.mx}px`, top: `${edge.my}px` },
              },
              rate(edge.rate),
            )
          : null,
      ),
      h(
        'ul',
        { class: 'graph-nodes', key: 'nodes' },
        nodes.map((node) =>
          h(
            'li',
            {
              key: node.id,
              style: {
                left: `${node.x}px`,
                top: `${node.y}px`,
                width: `${node.w}px`,
                height: `${node.h}px`,
              },
            },
            box(node),
          ),
        ),
      ),
    ),
    cut ? h('p', { class: 'muted small pad', key: 'cut' }, `${cut} more are not drawn.`) : null,
  ];
}

function curve(a, b, upright) {
  if (upright) {
    const [x1, y1, x2, y2] = [a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y];
    const bend = (y2 - y1) / 2;
    return {
      d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`,
      mx: (x1 + x2) / 2,
      my: (y1 + y2) / 2,
    };
  }
  const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2, b.x, b.y + b.h / 2];
  const bend = Math.max((x2 - x1) / 2, 20);
  return {
    d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
    mx: (x1 + x2) / 2,
    my: (y1 + y2) / 2,
  };
}

function box(node) {
  const inside = [
    h(
      'span',
      { class: 'node-kind' },
      node.kind,
      node.state ? h('span', { class: 'visually-hidden' }, `, ${node.state}`) : null,
    ),
    h('span', { class: 'node-name' }, node.name),
    h('span', { class: 'node-detail' }, node.detail || '\u00a0'),
    h(
      'span',
      { class: 'node-badges' },
      node.lag
        ? h(
            'span',
            { class: 'badge warn', title: `${exact(node.lag)} records behind` },
            `lag ${number(node.lag)}`,
          )
        : null,
      node.failed
        ? h(
            'span',
            { class: 'badge bad', title: `${exact(node.failed)} dead letters` },
            `${number(node.failed)} dead`,
          )
        : null,
      node.badge ? h('span', { class: 'badge bad' }, node.badge) : null,
    ),
  ];
  const props = {
    class: `node-box ${node.tone}`,
    title: [node.name, node.exact].filter(Boolean).join(': '),
  };
  return node.to ? h('a', { ...props, href: node.to }, inside) : h('div', props, inside);
}
