// Addresses under /ui are the page's only state: a view is a function of its path and query.

/** Splits the address into the view's name, the rest of its path, and its query. */
export function parse(location) {
  const parts = location.pathname.split('/').filter(Boolean).map(decodeSafely);
  if (parts[0] === 'ui') parts.shift();
  return {
    view: parts[0] || 'overview',
    path: parts.slice(1),
    query: new URLSearchParams(location.search),
  };
}

function decodeSafely(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `href('topics', 'a b', { tab: 'messages' })` gives `/ui/topics/a%20b?tab=messages`. */
export function href(view, name, query) {
  const path =
    name === undefined || name === null ? `/ui/${view}` : `/ui/${view}/${encodeURIComponent(name)}`;
  const text = queryText(query);
  return text ? `${path}?${text}` : path;
}

export function queryText(query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== '' && value !== false)
      params.set(name, String(value));
  }
  return params.toString();
}

/** Follows links and the Back button without loading the page again. */
export class Router {
  constructor(changed) {
    this.changed = changed;
    window.addEventListener('popstate', () => this.read(true));
    document.addEventListener('click', (event) => this.click(event));
    this.read(false);
  }

  read(tell) {
    this.at = parse(window.location);
    if (tell) this.changed();
  }

  go(to, replace = false) {
    if (to === window.location.pathname + window.location.search) return;
    window.history[replace ? 'replaceState' : 'pushState'](null, '', to);
    this.read(true);
  }

  /** Changes parts of the query and keeps the rest; null takes a part away. */
  set(changes, replace = false) {
    const query = new URLSearchParams(window.location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === null || value === '' || value === false)
        query.delete(name);
      else query.set(name, String(value));
    }
    const text = query.toString();
    this.go(window.location.pathname + (text ? `?${text}` : ''), replace);
  }

  click(event) {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target.closest && event.target.closest('a[href]');
    if (
      !link ||
      link.target ||
      link.hasAttribute('download') ||
      link.origin !== window.location.origin
    )
      return;
    if (!link.pathname.startsWith('/ui') && link.pathname !== '/') return;
    event.preventDefault();
    this.go(link.pathname + link.search);
    window.scrollTo(0, 0);
  }
}
