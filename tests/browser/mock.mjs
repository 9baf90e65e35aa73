// SPDX-License-Identifier: Apache-2.0
// A server that looks like Portena's from the browser: web/dist, the API of docs/API.md with a pretended world, server
// events, and a desktop, a console and a shell over WebSocket. For tests, and to work on the pages:
//   node mock.mjs [PORT]     then anna, ben (nothing yet), carl (code 123456), dora (must change); "correct horse"
import { createServer } from 'node:http';
import { readFileSync, existsSync } from 'node:fs';
import { dirname, join, normalize, extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { makeWorld, sampleAt } from './mock/world.mjs';
import { routes, refuse, roleOf } from './mock/routes.mjs';
import { acceptWebSocket } from './mock/ws.mjs';
import { serveRfb } from './mock/rfb.mjs';
import { serveShell, serveConsole } from './mock/shell.mjs';

// As over a slow line: each answer and each event comes up to so many ms late, at random. What passes with and without waits for states, not for luck.
const LAG = Number(process.env.PORTENA_LAG ?? 0);
const late = () => (LAG ? new Promise((ok) => setTimeout(ok, Math.random() * LAG)) : undefined);

const DIST = join(dirname(fileURLToPath(import.meta.url)), '../../web/dist');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json', '.json': 'application/json' };
/** The policy of the real gateway. */
export const CSP = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const compiled = routes.map(([method, pattern, handler, open]) => ({ method, handler, open, keys: [...pattern.matchAll(/:(\w+)/g)].map((m) => m[1]), match: new RegExp(`^${pattern.replace(/:\w+/g, '([^/]+)')}$`) }));

export async function startMock({ port = 0, samples = 2000 } = {}) {
  const world = makeWorld();
  const sessions = new Map();
  const watchers = new Set();
  const sockets = new Set();
  let seq = 0;
  let down = false;
  let busy = false;
  const event = (type, space, object, action, data = null) => {
    const text = `event: ${type}\nid: ${++seq}\ndata: ${JSON.stringify({ time: new Date().toISOString(), type, space, object, action, data })}\n\n`;
    for (const w of watchers) {
      if (space && !roleOf(world, w.user, world.spaces.get(space))) continue;
      if (LAG) w.queue = w.queue.then(late).then(() => w.res.write(text));
      else w.res.write(text);
    }
  };
  const screen = (i) => {
    if (!world.screens.has(i.id)) world.screens.set(i.id, { width: 1280, height: 800, tint: world.screens.size, lines: ['$ ls', 'Documents  notes.md  Pictures', '$ make', 'cc -O2 -o hello hello.c', '$ '], keys: [], cut: null, pointer: null, pointers: [] });
    return world.screens.get(i.id);
  };
  const who = (req) => {
    const token = /(?:^|;\s*)portena=([^;]+)/.exec(req.headers.cookie ?? '')?.[1];
    return { token, user: world.users.get(sessions.get(token)) };
  };

  async function api(req, res, url) {
    const chunks = [];
    for await (const c of req) chunks.push(c);
    const raw = Buffer.concat(chunks);
    const { token, user } = who(req);
    await late();
    try {
      const path = url.pathname;
      if (busy) throw refuse(503, 'unreachable', 'portenad does not answer on this server', 'wait a moment');
      if (path === '/v1/events') {
        if (!user) throw refuse(401, 'unauthenticated', 'Sign in first.', '');
        res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
        res.write(': hello\n\n');
        const w = { res, user, queue: Promise.resolve() };
        watchers.add(w);
        req.on('close', () => watchers.delete(w));
        return;
      }
      const found = compiled.find((r) => r.method === req.method && r.match.test(path));
      if (!found) throw refuse(404, 'not-found', `there is no ${req.method} ${path}`, '');
      if (!found.open && !user) throw refuse(401, 'unauthenticated', 'Sign in first.', '');
      if (req.method !== 'GET' && req.headers['x-portena'] !== '1') throw refuse(403, 'forbidden', 'X-Portena is missing', '');
      const json = /json/.test(req.headers['content-type'] ?? '') && raw.length ? JSON.parse(raw) : {};
      const values = found.match.exec(path).slice(1).map(decodeURIComponent);
      const answer = found.handler({ req, res, world, sessions, token, user, body: json, raw, query: url.searchParams, args: Object.fromEntries(found.keys.map((k, n) => [k, values[n]])), event, screen });
      await late();
      const [status, body, headers] = Array.isArray(answer) ? answer : [200, answer];
      res.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
      res.end(body == null ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body));
    } catch (e) {
      if (!e.refusal) console.error(e);
      const r = e.refusal ?? { title: 'internal', status: 500, detail: e.message };
      res.writeHead(r.status, { 'Content-Type': 'application/problem+json' });
      res.end(JSON.stringify(r));
    }
  }

  function page(req, res, url) {
    const path = normalize(url.pathname === '/' ? '/index.html' : url.pathname);
    const file = join(DIST, path);
    if (!file.startsWith(DIST) || !existsSync(file)) {
      res.writeHead(404);
      res.end('not here');
      return;
    }
    const headers = { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff', 'Cache-Control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache' };
    const zipped = /gzip/.test(req.headers['accept-encoding'] ?? '') && existsSync(`${file}.gz`);
    if (zipped) headers['Content-Encoding'] = 'gzip';
    res.writeHead(200, headers);
    res.end(readFileSync(zipped ? `${file}.gz` : file));
  }

  const server = createServer((req, res) => {
    if (down) return req.socket.destroy();
    const url = new URL(req.url, 'http://localhost');
    return /^\/(v1|healthz)/.test(url.pathname) ? api(req, res, url) : page(req, res, url);
  });
  server.on('connection', (s) => {
    sockets.add(s);
    s.on('close', () => sockets.delete(s));
  });
  server.on('upgrade', (req, socket) => {
    const m = /^\/v1\/spaces\/([^/]+)\/instances\/([^/]+)\/(desktop|console|exec)/.exec(req.url);
    const i = m && world.instances.get(`${decodeURIComponent(m[1])}/${decodeURIComponent(m[2])}`);
    const { user } = who(req);
    if (down || !i || !user || i.desktop_late || i.state !== 'running' || req.headers.origin !== `http://${req.headers.host}`) return socket.destroy();
    const ws = acceptWebSocket(req, socket);
    ws.instance = i;
    if (m[3] === 'desktop') serveRfb(ws, { name: `${i.name} – Portena desktop`, tint: screen(i).tint, screen: screen(i) });
    else if (m[3] === 'exec') serveShell(ws, i);
    else serveConsole(ws, i);
    return undefined;
  });
  const clock = setInterval(() => {
    for (const i of world.instances.values())
      if (i.state === 'running') event('sample', i.space, `spaces/${i.space}/instances/${i.name}`, null, sampleAt(i, Date.now()));
  }, samples);
  await new Promise((ok) => server.listen(port, '127.0.0.1', ok));
  const drop = () => { for (const s of sockets) s.destroy(); };
  return {
    url: `http://127.0.0.1:${server.address().port}`, world, screen, event, sessions,
    /** Cuts every connection; with `hold`, refuses new ones until mend(). */
    cut(hold = false) {
      down = hold;
      drop();
    },
    mend() {
      down = false;
    },
    /** The pages are there, the daemon behind them is not. */
    setBusy(b) {
      busy = b;
      if (b) drop();
    },
    async close() {
      clearInterval(clock);
      drop();
      await new Promise((ok) => server.close(ok));
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const mock = await startMock({ port: Number(process.argv[2] ?? 8090) });
  console.log(`${mock.url}  user anna, password "correct horse"`);
}
