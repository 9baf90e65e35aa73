// SPDX-License-Identifier: Apache-2.0
// Where we are is the address's fragment: #/computer/home/studio/files?path=/etc. Pure but for go() and `route`.
import { signal } from '@preact/signals';

/** "#/a/b?x=1" → { page, args: ["b"], query: { x: "1" } }; nothing is home. */
export function parseRoute(hash) {
  const [path, search = ''] = String(hash).replace(/^#?\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decode);
  return { page: parts[0] ?? 'home', args: parts.slice(1), query: Object.fromEntries(new URLSearchParams(search)) };
}

function decode(s) {
  try {
    return decodeURIComponent(s);
  } catch {
    return s; // a stray % typed by hand
  }
}

/** href('computer', 'home', 'a b') → "#/computer/home/a%20b"; a last object becomes the query. */
export function href(...parts) {
  const query = typeof parts.at(-1) === 'object' ? parts.pop() : null;
  const path = parts.filter((p) => p != null && p !== '').map(encodeURIComponent).join('/');
  return `#/${path}${query ? `?${new URLSearchParams(query)}` : ''}`;
}

export const route = signal(parseRoute(globalThis.location?.hash ?? ''));

export const go = (...parts) => {
  location.hash = href(...parts);
};

/** Changes the address without a step in the history. */
export const replace = (...parts) => {
  history.replaceState(null, '', href(...parts));
  route.value = parseRoute(location.hash);
};

export function watchRoute() {
  addEventListener('hashchange', () => {
    route.value = parseRoute(location.hash);
  });
}
