// Draws trees of elements and patches them in place, so that live data never disturbs focus,
// scrolling or a hover. Data only ever becomes text nodes, attributes and properties: nothing
// in the page parses markup.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set([
  'value',
  'checked',
  'disabled',
  'open',
  'selected',
  'indeterminate',
  'hidden',
]);

/** A description of an element: `h('p', { class: 'note', onclick }, 'text', child, list)`. */
export function h(tag, props, ...kids) {
  return { tag, props: props || {}, kids: flatten(kids, []), el: null, svg: false };
}

/**
 * A widget owns one element: `create(el, data)` returns `{ update(data), destroy() }`. Pass the
 * same function each time: another one makes another widget.
 */
export function widget(tag, props, create, data) {
  return { tag, props: props || {}, kids: [], create, data, el: null, svg: false };
}

function flatten(kids, out) {
  for (const kid of kids) {
    if (kid === null || kid === undefined || kid === false || kid === true) continue;
    if (Array.isArray(kid)) flatten(kid, out);
    else if (typeof kid === 'object') out.push(kid);
    else out.push({ text: String(kid), el: null });
  }
  return out;
}

/** Makes `root`'s children look like `next`; returns what to pass as `previous` next time. */
export function render(root, previous, next) {
  const kids = flatten([next], []);
  patchKids(root, previous || [], kids, false);
  return kids;
}

function make(node, svg) {
  if (node.text !== undefined) {
    node.el = document.createTextNode(node.text);
    return node.el;
  }
  node.svg = svg || node.tag === 'svg';
  const el = node.svg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  node.el = el;
  for (const kid of node.kids) el.appendChild(make(kid, node.svg));
  // After the children: a select takes its value from the options it has.
  for (const name of Object.keys(node.props))
    setProp(el, name, undefined, node.props[name], node.svg);
  if (node.create) node.live = node.create(el, node.data);
  if (node.props.hook) node.unhook = node.props.hook(el);
  return el;
}

function drop(node) {
  if (node.text !== undefined) return;
  if (node.live) node.live.destroy();
  if (node.unhook) node.unhook();
  for (const kid of node.kids) drop(kid);
}

function sameKind(a, b) {
  if (a.text !== undefined || b.text !== undefined)
    return a.text !== undefined && b.text !== undefined;
  return a.tag === b.tag && a.props.key === b.props.key && a.create === b.create;
}

function patch(old, node) {
  node.el = old.el;
  if (node.text !== undefined) {
    if (node.text !== old.text) node.el.data = node.text;
    return;
  }
  node.svg = old.svg;
  node.live = old.live;
  node.unhook = old.unhook;
  patchKids(node.el, old.kids, node.kids, node.svg, Boolean(node.create));
  for (const name of Object.keys(old.props)) {
    if (!(name in node.props)) setProp(node.el, name, old.props[name], undefined, node.svg);
  }
  for (const name of Object.keys(node.props))
    setProp(node.el, name, old.props[name], node.props[name], node.svg);
  if (node.live) node.live.update(node.data);
}

function patchKids(parent, old, kids, svg, owned) {
  if (owned) return;
  const keyed = new Map();
  for (const node of old) {
    const key = node.props && node.props.key;
    if (key !== undefined) keyed.set(key, node);
  }
  const used = new Set();
  const matches = [];
  let free = 0;
  for (const node of kids) {
    const key = node.props && node.props.key;
    let match = null;
    if (key !== undefined) {
      const found = keyed.get(key);
      if (found && !used.has(found) && sameKind(found, node)) match = found;
    } else {
      while (free < old.length && old[free].props && old[free].props.key !== undefined) free += 1;
      if (free < old.length && sameKind(old[free], node)) match = old[free];
      free += 1;
    }
    if (match) used.add(match);
    matches.push(match);
  }
  // What goes, goes first: what stays is then already in place and keeps its focus.
  for (const node of old) {
    if (used.has(node)) continue;
    drop(node);
    if (node.el.parentNode === parent) parent.removeChild(node.el);
  }
  let at = parent.firstChild;
  kids.forEach((node, i) => {
    if (matches[i]) patch(matches[i], node);
    else make(node, svg);
    if (node.el === at) at = at.nextSibling;
    else parent.insertBefore(node.el, at);
  });
}

function setProp(el, name, before, value, svg) {
  if (name === 'key' || name === 'hook') return;
  if (name.startsWith('on')) return setListener(el, name.slice(2), value);
  if (name === 'style') return setStyle(el, before, value);
  if (PROPERTIES.has(name) && !svg) {
    // Compared with the element, not with the last description: the user may have typed.
    if (el[name] !== (value ?? ''))
      el[name] = value ?? (typeof el[name] === 'boolean' ? false : '');
    return undefined;
  }
  if (before === value) return undefined;
  if (value === undefined || value === null || value === false) el.removeAttribute(name);
  else el.setAttribute(name, value === true ? '' : String(value));
  return undefined;
}

function setListener(el, type, handler) {
  el.heard = el.heard || {};
  if (!(type in el.heard))
    el.addEventListener(type, (event) => el.heard[type] && el.heard[type](event));
  el.heard[type] = handler || null;
}

// Through the style object: the content security policy refuses style attributes.
function setStyle(el, before, value) {
  const now = value || {};
  for (const name of Object.keys(before || {})) if (!(name in now)) el.style.removeProperty(name);
  for (const [name, text] of Object.entries(now)) {
    if (!before || before[name] !== text) el.style.setProperty(name, text);
  }
}

/** Calls `draw` at most once a frame, however often it is asked. */
export function scheduler(draw) {
  let asked = false;
  let stopped = false;
  const ask = () => {
    if (asked || stopped) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (!stopped) draw();
    });
  };
  ask.stop = () => {
    stopped = true;
  };
  return ask;
}
