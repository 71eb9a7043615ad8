// JSON objects whose fields are edited where they stand: what is not touched keeps its text, so
// that 1.50 stays 1.50. JSON.parse checks the text; what is looked for behind it trusts that.
//
// The engine interprets: to go through a text takes it far longer than JSON.parse does. So its own
// functions look for a field and edit the text, where the field can be in one place only. Otherwise
// the fields are listed.

const MARK = /["{}[\]]/g;

/** Of fields with one name the last counts; an edit changes all of them. */
export class JsonObject {
  // Not private fields, which take the engine longer to make.
  constructor(text, value) {
    // The object as it is; null where only the list of its fields is.
    this._text = text;
    this._fields = null;
    // What it means.
    this._value = value;
  }

  /** The object of a text; undefined if it is not exactly one. */
  static parse(text) {
    const value = parsed(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? new JsonObject(text.trim(), value) : undefined;
  }

  get(name) {
    return this.has(name) ? this._value[name] : undefined;
  }

  has(name) {
    return Object.hasOwn(this._value, name);
  }

  raw(name) {
    return named(this._all(), name).at(-1)?.raw;
  }

  elements(name) {
    const values = this.get(name);
    return Array.isArray(values) ? elements(this.raw(name), values) : undefined;
  }

  set(name, value) {
    const raw = JSON.stringify(value);
    if (raw === undefined) throw new TypeError(`${name} cannot be set to a ${typeof value}`);
    this.setRaw(name, raw);
  }

  setRaw(name, raw) {
    const value = JSON.parse(raw);
    if (!this.has(name)) this._append(name, raw);
    else for (const field of named(this._edit(), name)) field.raw = raw;
    assign(this._value, name, value);
  }

  delete(name) {
    if (!this.has(name)) return false;
    this._fields = this._edit().filter((field) => field.name !== name);
    delete this._value[name];
    return true;
  }

  rename(from, to) {
    if (!this.has(from)) return false;
    if (from === to) return true;
    this.delete(to);
    const quoted = JSON.stringify(to);
    if (this._isOnce(from)) {
      this._text = this._text.replace(`"${from}"`, () => quoted);
      this._fields = null;
    } else {
      for (const field of named(this._edit(), from)) call(field, to, quoted);
    }
    assign(this._value, to, this._value[from]);
    delete this._value[from];
    return true;
  }

  toString() {
    return (this._text ??= textOf(this._fields));
  }

  /** Whether the name of a field that there is can be in one place of the text only. */
  _isOnce(name) {
    const text = this._text;
    const quoted = JSON.stringify(name);
    // JSON may spell these in another way than they are written here.
    const isPlain = quoted.length === name.length + 2 && !name.includes('/');
    if (text === null || !isPlain || text.includes('\\u')) return false;
    return text.indexOf(quoted) === text.lastIndexOf(quoted);
  }

  _append(name, raw) {
    const quoted = JSON.stringify(name);
    if (this._text !== null) {
      const rest = this._text.slice(0, -1).trimEnd();
      this._text = `${rest}${rest === '{' ? '' : ','}${quoted}:${raw}}`;
      this._fields = null;
      return;
    }
    if (this._fields.length) this._fields.at(-1).after = '';
    this._fields.push({ name, head: `${quoted}:`, raw, after: '' });
  }

  _all() {
    return (this._fields ??= fields(this._text, this._value));
  }

  _edit() {
    const all = this._all();
    this._text = null;
    return all;
  }
}

/** Sets a field as JSON.parse does: `__proto__` is a name like any other. */
function assign(object, name, value) {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, configurable: true, enumerable: true });
}

/** The value of a text; undefined if it is not JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The fields of that name. */
function named(fields, name) {
  const found = [];
  // An iterator takes longer than an index, for each field.
  for (let i = 0; i < fields.length; i += 1) if (fields[i].name === name) found.push(fields[i]);
  return found;
}

/** Gives a field another name; its head is all that is before its value. */
function call(field, name, quoted) {
  const { head } = field;
  const from = head.indexOf('"');
  field.name = name;
  field.head = head.slice(0, from) + quoted + head.slice(behindString(head, from));
}

function textOf(fields) {
  let text = '';
  for (let i = 0; i < fields.length; i += 1) {
    const field = fields[i];
    text += (i ? ',' : '{') + field.head + field.raw + field.after;
  }
  return fields.length ? `${text}}` : '{}';
}

/** The fields of an object with the white space between them; `values` is what it means. */
function fields(text, values) {
  const found = [];
  let at = 1;
  let start = space(text, at);
  while (text[start] !== '}') {
    const colon = behindString(text, start);
    const inner = text.slice(start + 1, colon - 1);
    const name = inner.includes('\\') ? JSON.parse(`"${inner}"`) : inner;
    const from = space(text, space(text, colon) + 1);
    const to = behind(text, from, values[name]);
    const end = space(text, to);
    const after = end === to ? '' : text.slice(to, end);
    found.push({ name, head: text.slice(at, from), raw: text.slice(from, to), after });
    if (text[end] === '}') break;
    at = end + 1;
    start = space(text, at);
  }
  return found;
}

/** The texts of an array's elements. */
function elements(text, values) {
  const found = [];
  let at = space(text, 1);
  for (const value of values) {
    const to = behind(text, at, value);
    found.push(text.slice(at, to));
    at = space(text, space(text, to) + 1);
  }
  return found;
}

/** The first place from `at` on that is not white space. */
function space(text, at) {
  while (text.charCodeAt(at) <= 32) at += 1;
  return at;
}

/** The place behind the field's or element's value at `at`, which may be that `value`. */
function behind(text, at, value) {
  const first = text[at];
  if (first === '"') return behindString(text, at);
  if (first === '{' || first === '[') return behindNested(text, at, value);
  const comma = text.indexOf(',', at);
  // Behind the last one there is the bracket that ends the text.
  let end = comma < 0 ? text.length - 1 : comma;
  while (text.charCodeAt(end - 1) <= 32) end -= 1;
  return end;
}

function behindNested(text, at, value) {
  // As it is written most often.
  const likely = JSON.stringify(value);
  if (text.startsWith(likely, at)) return at + likely.length;
  let depth = 0;
  MARK.lastIndex = at;
  do {
    MARK.test(text);
    const mark = text[MARK.lastIndex - 1];
    if (mark === '"') MARK.lastIndex = behindString(text, MARK.lastIndex - 1);
    else depth += mark === '{' || mark === '[' ? 1 : -1;
  } while (depth);
  return MARK.lastIndex;
}

function behindString(text, at) {
  let quote = at;
  do quote = text.indexOf('"', quote + 1);
  while (text[quote - 1] === '\\' && isEscaped(text, quote));
  return quote + 1;
}

function isEscaped(text, quote) {
  let at = quote;
  while (text[at - 1] === '\\') at -= 1;
  return (quote - at) % 2 === 1;
}
