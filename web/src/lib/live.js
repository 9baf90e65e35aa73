// SPDX-License-Identifier: Apache-2.0
// Theory of operation. Everything shown comes from signals in this file. They are read once after login and then
// kept true by /v1/events: an event either carries the new object or names what to read again. Losing the stream
// changes nothing on the page but a notice; on return all lists are read anew, and what happens from then on is
// listened to: the server's memory of events is bounded, and its numbers start over when the daemon does, so "since"
// would be no promise. Nothing here asks the server by the clock.
import { signal, computed, batch } from '@preact/signals';
import { get, patch, post, instancePath, spacePath, userPath, whenLoggedOut } from './api.js';
import { keyOf, interpret, merge, without, mergeOp, ended, usageOf, backoff, atLeast } from './state.js';

/** undefined: not known yet; null: nobody is logged in; else GET /v1/session's answer. */
export const session = signal(undefined);
export const server = signal(null);
export const instances = signal(new Map());
export const spaces = signal(new Map());
export const images = signal(null);
export const recipes = signal([]);
export const operations = signal(new Map());
export const usersRevision = signal(0);
/** 'live', 'connecting' or 'lost'. */
export const link = signal('connecting');
/** Has the first reading of the lists ended? */
export const loaded = signal(false);
/** Ticks so that "2 min ago" stays true. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 10000);

export const me = computed(() => session.value?.user ?? null);
/** What the server's own processors are; unknown of an older server. */
export const serverArch = computed(() => session.value?.server?.arch ?? null);
export const isAdmin = computed(() => me.value?.admin === true);
export const roleIn = (space) => (isAdmin.value ? 'admin' : spaces.value.get(space)?.role ?? session.value?.spaces?.find((s) => s.name === space)?.role ?? 'viewer');
export const may = (space, role) => atLeast(roleIn(space), role);
export const instance = (space, name) => instances.value.get(`${space}/${name}`);

const sampleWatchers = new Map(); // key → Set of functions
/** Calls fn(sample) for each new sample of an instance; returns how to stop. */
export function onSample(key, fn) {
  if (!sampleWatchers.has(key)) sampleWatchers.set(key, new Set());
  sampleWatchers.get(key).add(fn);
  return () => sampleWatchers.get(key)?.delete(fn);
}

let source = null;
let attempt = 0;
let timer = 0;

export async function start() {
  whenLoggedOut(() => end());
  get('/v1').then((v) => { server.value = v; }, () => {});
  try {
    session.value = await get('/v1/session');
    openEvents();
  } catch (e) {
    if (e.status === 401) session.value = null;
    else {
      link.value = 'lost';
      timer = setTimeout(start, backoff(attempt++) * 1000);
    }
  }
}

// The password typed a moment ago, while another has to be chosen in its place: nobody is asked for it twice.
let given = '';
export const givenPassword = () => given;

export async function login(body) {
  await post('/v1/session', body);
  const s = await get('/v1/session');
  given = s.user.must_change ? body.password : '';
  session.value = s;
  openEvents();
}

/** Another password for the one that was given; the old one is forgotten here once the server has taken the new. */
export async function choosePassword(password, current) {
  await patch(userPath(me.value.name), { password, current_password: current });
  given = '';
  session.value = await get('/v1/session');
}

/** Forgets everything of the session; the login page shows. */
export function end() {
  source?.close();
  source = null;
  clearTimeout(timer);
  given = '';
  batch(() => {
    session.value = null;
    loaded.value = false;
    instances.value = new Map();
    spaces.value = new Map();
    operations.value = new Map();
    images.value = null;
  });
}

function openEvents() {
  clearTimeout(timer);
  source?.close();
  const es = new EventSource('/v1/events');
  source = es;
  es.onopen = () => {
    attempt = 0;
    link.value = 'live';
    reload();
  };
  es.onerror = () => {
    es.close();
    if (source !== es) return;
    link.value = 'lost';
    timer = setTimeout(reconnect, backoff(attempt++) * 1000);
  };
  for (const type of ['instance', 'status', 'operation', 'progress', 'image', 'space', 'user', 'sample', 'lost'])
    es.addEventListener(type, (m) => onEvent(type, m));
}

// EventSource does not say why it failed: ask the session first, so that an expired one leads to the login page.
async function reconnect() {
  try {
    session.value = await get('/v1/session');
    openEvents();
  } catch (e) {
    if (e.status === 401) end();
    else timer = setTimeout(reconnect, backoff(attempt++) * 1000);
  }
}
addEventListener('online', () => {
  if (link.value === 'lost' && session.value) {
    clearTimeout(timer);
    reconnect();
  }
});

function onEvent(type, message) {
  let event;
  try {
    event = JSON.parse(message.data);
  } catch {
    return; // not ours to repair; the next one counts
  }
  const what = interpret({ ...event, type });
  if (what.set) putInstance(what.set);
  else if (what.remove) dropInstance(what.remove);
  else if (what.read) later(`i:${what.read}`, () => readInstance(what.read));
  else if (what.op) putOp(what.op);
  else if (what.removeOp) operations.value = without(operations.value, what.removeOp);
  else if (what.readOp) later(`o:${what.readOp}`, () => readOp(what.readOp));
  else if (what.sample) onSampleEvent(what.sample, what.data);
  else if (what.reload === 'users') usersRevision.value++;
  else if (what.reload === 'all') reload();
  else if (what.reload) later(what.reload, what.reload === 'images' ? readImages : readSpaces);
}

// Several events about one thing within a moment become one reading.
const pending = new Map();
function later(key, fn) {
  if (pending.has(key)) return;
  pending.set(key, setTimeout(() => {
    pending.delete(key);
    fn().catch(() => {}); // a reading that fails is repeated by the next event or the next connection
  }, 40));
}

function onSampleEvent(key, sample) {
  const i = instances.value.get(key);
  if (i) {
    const next = new Map(instances.value);
    next.set(key, { ...i, usage: usageOf(sample) });
    instances.value = next;
  }
  for (const fn of sampleWatchers.get(key) ?? []) fn(sample);
}

// What events said of instances while a list of all of them was on its way: it may be older than they are.
let meanwhile = null;

export function putInstance(i) {
  meanwhile?.set(keyOf(i), i);
  instances.value = merge(instances.value, keyOf(i), i);
}

function dropInstance(key) {
  meanwhile?.set(key, null);
  instances.value = without(instances.value, key);
}

async function readInstances() {
  const news = new Map();
  meanwhile = news;
  const list = await get('/v1/instances');
  let map = new Map(list.items.map((i) => [keyOf(i), i]));
  for (const [key, i] of news) map = i ? merge(map, key, i) : without(map, key);
  if (meanwhile === news) meanwhile = null;
  instances.value = map;
}

export function putOp(op) {
  const before = operations.value.get(op.id);
  operations.value = mergeOp(operations.value, op);
  const after = operations.value.get(op.id);
  if (ended(after) && !ended(before)) for (const fn of opWaiters.get(op.id) ?? []) fn(after);
}

async function readInstance(key) {
  const [space, name] = key.split('/');
  try {
    putInstance(await get(instancePath({ space, name })));
  } catch (e) {
    if (e.status !== 404) throw e;
    dropInstance(key);
  }
}

export const readOp = async (id) => putOp(await get(`/v1/operations/${id}`));
export const readImages = async () => {
  const [list, made] = await Promise.all([get('/v1/images'), get('/v1/images/recipes')]);
  batch(() => {
    images.value = list.items;
    recipes.value = made.items;
  });
};
export const readSpaces = async () => {
  const list = await get('/v1/spaces');
  spaces.value = new Map(list.items.map((s) => [s.name, s]));
};

async function reload() {
  const step = async (fn) => {
    try {
      await fn();
    } catch (e) {
      if (e.status === 0) link.value = 'lost';
    }
  };
  await Promise.all([
    step(readInstances),
    step(readSpaces),
    step(readImages),
    step(async () => {
      for (const op of (await get('/v1/operations')).items) putOp(op);
    }),
  ]);
  loaded.value = true;
}

const opWaiters = new Map();
/** Resolves with the operation once it has ended, rejects with its error. Events bring the news. */
export function opEnd(op) {
  if (!op?.id) return Promise.resolve(op);
  putOp(op);
  return new Promise((resolve, reject) => {
    const settle = (o) => {
      opWaiters.delete(op.id);
      if (o.state === 'done') return resolve(o);
      const e = new Error(o.error?.detail ?? (o.state === 'cancelled' ? 'It was cancelled.' : 'It failed.'));
      e.hint = o.error?.hint ?? '';
      e.code = o.error?.code ?? '';
      e.cancelled = o.state === 'cancelled';
      return reject(e);
    };
    const known = operations.value.get(op.id);
    if (ended(known)) settle(known);
    else opWaiters.set(op.id, [...(opWaiters.get(op.id) ?? []), settle]);
  });
}

const EXPECTED = { start: 'starting', stop: 'stopping', restart: 'stopping', pause: 'paused', hibernate: 'hibernated', resume: 'running' };

/** start, stop, restart, pause, hibernate, resume: shown at once, taken back where the server refuses. */
export async function act(i, action, extra = {}) {
  const key = keyOf(i);
  const before = instances.value.get(key);
  if (before) {
    const next = new Map(instances.value);
    next.set(key, { ...before, state: EXPECTED[action] ?? before.state, step: null, error: null });
    instances.value = next;
  }
  try {
    const answer = await post(`${instancePath(i)}/actions`, { action, ...extra });
    return await opEnd(answer.operation);
  } catch (e) {
    if (before && instances.value.get(key)?.revision === before.revision) readInstance(key).catch(() => instances.value = merge(instances.value, key, before));
    throw e;
  }
}

export const spaceNames = computed(() => {
  const names = new Set([...(session.value?.spaces ?? []).map((s) => s.name), ...spaces.value.keys()]);
  return [...names].sort();
});

/** Where a new computer goes unless one says otherwise: my own space, else the first where I may launch. */
export const homeSpace = computed(() => {
  const mine = spaceNames.value.filter((s) => atLeast(isAdmin.value ? 'admin' : roleIn(s), 'owner'));
  return mine.find((s) => s === me.value?.name) ?? (mine.includes('home') ? 'home' : mine[0]) ?? null;
});

export const readSpace = (name) => get(spacePath(name));
