// SPDX-License-Identifier: Apache-2.0
// The only place that speaks HTTP. Answers are JSON; a refusal is thrown as a Problem (RFC 9457).

/** What the server said instead of yes. `message` is for people; `hint` is the way out. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || fallback(status));
    this.name = 'Problem';
    this.status = status;
    this.code = body?.title ?? '';
    this.hint = hintText(body?.hint);
    this.object = body?.object ?? '';
    this.codeRequired = body?.code_required === true;
    this.retryAfter = 0;
  }
}

function fallback(status) {
  if (status === 0) return 'The server does not answer.';
  if (status === 502 || status === 503) return 'The server is starting or busy.';
  return `The server answered ${status} without saying why.`;
}

// Hints of the API are often CLI commands; say so, since this is read in a browser.
const hintText = (hint) => (hint && /^portena /.test(hint) ? `On the command line: ${hint}` : hint ?? '');

let onLoggedOut = () => {};
export const whenLoggedOut = (fn) => {
  onLoggedOut = fn;
};

/**
 * One request. `opts`: body (object: JSON; anything else is sent as it is), type, headers, signal, raw (answer the Response).
 */
export async function request(method, path, opts = {}) {
  const headers = { ...opts.headers };
  let body = opts.body;
  if (method !== 'GET') headers['X-Portena'] = '1';
  if (body !== undefined) {
    const plain = body?.constructor === Object;
    headers['Content-Type'] = opts.type ?? (plain ? 'application/json' : 'application/octet-stream');
    if (plain) body = JSON.stringify(body);
  }
  let res;
  try {
    res = await fetch(path, { method, headers, body, signal: opts.signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem(0, { detail: 'The server does not answer.', hint: 'Check the connection; this page tries again by itself.' });
  }
  if (!res.ok) throw await problemOf(res, path);
  if (opts.raw) return res;
  return res.status === 204 ? null : res.json();
}

async function problemOf(res, path) {
  const body = await res.json().catch(() => null);
  const p = new Problem(res.status, body);
  p.retryAfter = Number(res.headers.get('Retry-After')) || 0;
  if (res.status === 401 && path !== '/v1/session') onLoggedOut();
  return p;
}

export const get = (path, opts) => request('GET', path, opts);
/** Without `body` there is none: the server refuses one that it does not know what to do with, even an empty one. */
export const post = (path, body, opts) => request('POST', path, { ...opts, body });
export const put = (path, body, opts) => request('PUT', path, { ...opts, body });
export const patch = (path, body, opts) => request('PATCH', path, { ...opts, body });
/** `opts.body`: where an act of deletion takes one. */
export const del = (path, opts) => request('DELETE', path, opts);

const seg = encodeURIComponent;
export const spacePath = (s) => `/v1/spaces/${seg(s)}`;
export const instancePath = (i) => `${spacePath(i.space)}/instances/${seg(i.name)}`;
export const userPath = (u) => `/v1/users/${seg(u)}`;
export const imagePath = (ref) => `/v1/images/${seg(ref)}`;

/** The WebSocket address of an instance's stream: 'desktop', 'console' or 'exec'. */
export const streamUrl = (i, what, query = '') => `${location.protocol === 'http:' ? 'ws' : 'wss'}://${location.host}${instancePath(i)}/${what}${query}`;

/**
 * Sends a file with progress, which fetch() cannot tell. `onProgress(done, total)`; aborts with `signal`.
 * Resolves to the answer's JSON (or null), rejects with a Problem.
 */
export function upload(method, path, file, { type = 'application/octet-stream', onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest();
    x.open(method, path);
    x.setRequestHeader('X-Portena', '1');
    x.setRequestHeader('Content-Type', type);
    x.upload.onprogress = (e) => onProgress?.(e.loaded, e.lengthComputable ? e.total : file.size);
    x.onload = () => {
      let body = null;
      try {
        body = x.responseText ? JSON.parse(x.responseText) : null;
      } catch {
        // no JSON: the status alone counts
      }
      if (x.status >= 200 && x.status < 300) resolve(body);
      else reject(new Problem(x.status, body));
    };
    x.onerror = () => reject(new Problem(0, { detail: 'The upload was cut off.', hint: 'Check the connection and start it again.' }));
    x.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    signal?.addEventListener('abort', () => x.abort());
    x.send(file);
  });
}
