// JSON objects whose fields are edited where they stand: what is not touched keeps its text, so
// that 1.50 stays 1.50. JSON.parse checks the text; what is looked for behind it trusts that.

const MARK = /["{}[\]]/g;
const SCALAR_END = /[\s,\]}]/g;
const TEXT = /\S/g;

/** Of fields with one name the last counts; an edit changes all of them. */
export class JsonObject {
  #source;
  #value;
  // Of the source until something is edited, then of the object as it is.
  #fields = null;
  #edited = false;

  constructor(source, value) {
    this.#source = source;
    this.#value = value;
  }

  /** The object of a text; undefined if it is not exactly one. */
  static parse(text) {
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      return undefined;
    }
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? new JsonObject(text, value) : undefined;
  }

  get(name) {
    if (!this.#edited) return Object.hasOwn(this.#value, name) ? this.#value[name] : undefined;
    const raw = this.raw(name);
    return raw === undefined ? undefined : JSON.parse(raw);
  }

  has(name) {
    return this.#edited ? this.raw(name) !== undefined : Object.hasOwn(this.#value, name);
  }

  raw(name) {
    return this.#all().findLast((field) => field.name === name)?.raw;
  }

  elements(name) {
    const raw = this.raw(name);
    return raw?.startsWith('[') ? elements(raw) : undefined;
  }

  set(name, value) {
    const raw = JSON.stringify(value);
    if (raw === undefined) throw new TypeError(`${name} cannot be set to a ${typeof value}`);
    this.setRaw(name, raw);
  }

  setRaw(name, raw) {
    const fields = this.#edit();
    const found = fields.filter((field) => field.name === name);
    for (const field of found) field.raw = raw;
    if (!found.length) fields.push({ name, quoted: JSON.stringify(name), raw });
  }

  delete(name) {
    if (!this.has(name)) return false;
    this.#fields = this.#edit().filter((field) => field.name !== name);
    return true;
  }

  rename(from, to) {
    if (!this.has(from)) return false;
    if (from === to) return true;
    this.delete(to);
    const quoted = JSON.stringify(to);
    for (const field of this.#edit()) {
      if (field.name === from) Object.assign(field, { name: to, quoted });
    }
    return true;
  }

  toString() {
    if (!this.#edited) return this.#source;
    return `{${this.#fields.map(({ quoted, raw }) => `${quoted}:${raw}`).join(',')}}`;
  }

  #all() {
    return (this.#fields ??= fields(this.#source));
  }

  #edit() {
    this.#edited = true;
    return this.#all();
  }
}

/** The first place from `at` on that is not white space. */
function space(text, at) {
  TEXT.lastIndex = at;
  return TEXT.test(text) ? TEXT.lastIndex - 1 : text.length;
}

function fields(text) {
  const found = [];
  let at = space(text, text.indexOf('{') + 1);
  while (text[at] !== '}') {
    const colon = behindString(text, at);
    const quoted = text.slice(at, colon);
    const name = quoted.includes('\\') ? JSON.parse(quoted) : quoted.slice(1, -1);
    const from = space(text, space(text, colon) + 1);
    const to = behind(text, from);
    found.push({ name, quoted, raw: text.slice(from, to) });
    at = next(text, to);
  }
  return found;
}

function elements(text) {
  const found = [];
  let at = space(text, 1);
  while (text[at] !== ']') {
    const to = behind(text, at);
    found.push(text.slice(at, to));
    at = next(text, to);
  }
  return found;
}

/** The next element behind one, or the closing bracket. */
function next(text, at) {
  const comma = space(text, at);
  return text[comma] === ',' ? space(text, comma + 1) : comma;
}

/** The place behind the value at `at`. */
function behind(text, at) {
  const first = text[at];
  if (first === '"') return behindString(text, at);
  if (first !== '{' && first !== '[') {
    SCALAR_END.lastIndex = at;
    return SCALAR_END.test(text) ? SCALAR_END.lastIndex - 1 : text.length;
  }
  let depth = 0;
  MARK.lastIndex = at;
  while (MARK.test(text)) {
    const mark = text[MARK.lastIndex - 1];
    if (mark === '"') MARK.lastIndex = behindString(text, MARK.lastIndex - 1);
    else if (mark === '{' || mark === '[') depth += 1;
    else if (--depth === 0) return MARK.lastIndex;
  }
  return text.length;
}

function behindString(text, at) {
  let quote = at;
  do quote = text.indexOf('"', quote + 1);
  while (isEscaped(text, quote));
  return quote + 1;
}

function isEscaped(text, quote) {
  let at = quote;
  while (text[at - 1] === '\\') at -= 1;
  return (quote - at) % 2 === 1;
}
