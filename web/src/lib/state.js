// SPDX-License-Identifier: Apache-2.0
// What is known of the world, as pure functions over plain objects: tested in test/state.test.mjs. live.js holds the
// signals and feeds them from the server's events.

export const keyOf = (i) => `${i.space}/${i.name}`;

/** "spaces/home/instances/studio" or "spaces/home/status/studio" → "home/studio", else null. */
export function instanceKey(object) {
  const m = /^spaces\/([^/]+)\/(?:instances|status)\/([^/]+)$/.exec(object ?? '');
  return m ? `${m[1]}/${m[2]}` : null;
}

/** "operations/X" or "ops/X" → X. */
export const operationId = (object) => /^(?:operations|ops)\/([^/]+)$/.exec(object ?? '')?.[1] ?? null;

export function parseData(data) {
  if (typeof data !== 'string') return data ?? null;
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

/**
 * What an event asks for: { set: instance } | { remove: key } | { read: key } | { op } | { readOp: id } |
 * { sample: key, data } | { reload: 'images' | 'spaces' | 'users' | 'all' } | {}.
 * An event whose data is no whole object asks for it to be read, so a terse server is as good as a talkative one.
 */
export function interpret(event) {
  const data = parseData(event.data);
  switch (event.type) {
    case 'instance':
    case 'status': {
      const key = instanceKey(event.object);
      if (!key) return {};
      if (event.action === 'deleted') return event.type === 'instance' ? { remove: key } : { read: key };
      return data?.name && data?.state && data?.image ? { set: data } : { read: key };
    }
    case 'operation':
    case 'progress': {
      const id = data?.id ?? operationId(event.object);
      if (!id) return {};
      if (event.action === 'deleted') return { removeOp: id };
      return data && (event.type === 'progress' || data.state) ? { op: { ...data, id } } : { readOp: id };
    }
    case 'sample': {
      const key = instanceKey(event.object);
      return key && data ? { sample: key, data } : {};
    }
    case 'image':
      return { reload: 'images' };
    case 'space':
      return { reload: 'spaces' };
    case 'user':
      return { reload: 'users' };
    case 'lost':
      return { reload: 'all' };
    default:
      return {};
  }
}

/** A newer or unknown object replaces; an older revision (an answer overtaken by an event) does not. */
export function merge(map, key, value) {
  const old = map.get(key);
  if (old && old.id === value.id && old.revision > value.revision) return map;
  const next = new Map(map);
  next.set(key, { ...value, usage: value.usage ?? (value.state === 'running' ? old?.usage ?? null : null) });
  return next;
}

export function without(map, key) {
  if (!map.has(key)) return map;
  const next = new Map(map);
  next.delete(key);
  return next;
}

/** Operations: progress carries fields only; keep what is known, and at most 200 of them. */
export function mergeOp(map, op) {
  const old = map.get(op.id);
  if (old && ended(old) && !ended(op)) return map; // a late progress event
  const next = new Map(map);
  next.set(op.id, { ...old, ...op, state: op.state ?? (old?.state === 'pending' || !old ? 'running' : old.state) });
  for (const id of next.keys()) {
    if (next.size <= 200) break;
    next.delete(id);
  }
  return next;
}

export const ended = (op) => ['done', 'failed', 'cancelled'].includes(op?.state);

/** A sample's numbers as an instance's usage. */
export const usageOf = (s) => ({ cpu: s.cpu, memory: s.memory, disk: s.disk_used ?? s.disk, rx: s.rx, tx: s.tx });

/** Seconds until the next try to connect: 0.5, 1, 2, 4 … 15, with a spread so that a hundred pages do not come at once. */
export const backoff = (attempt, random = Math.random()) => Math.min(15, 0.5 * 2 ** Math.min(attempt, 6)) * (0.8 + 0.4 * random);

/** What a role may do in a space. */
const RANK = { viewer: 1, member: 2, owner: 3, admin: 4 };
export const atLeast = (role, needed) => (RANK[role] ?? 0) >= RANK[needed];

/** Words and tone of an instance's state: tone is good, busy, calm, bad. */
export function stateWords(i) {
  switch (i?.state) {
    case 'running':
      return i.ready === false ? { word: 'starting up', tone: 'busy' } : { word: 'running', tone: 'good' };
    case 'starting':
      return { word: i.step || 'starting', tone: 'busy' };
    case 'stopping':
      return { word: 'stopping', tone: 'busy' };
    case 'paused':
      return { word: 'paused', tone: 'calm' };
    case 'hibernated':
      return { word: 'hibernated', tone: 'calm' };
    case 'failed':
      return { word: 'failed', tone: 'bad' };
    case 'stopped':
      return { word: 'off', tone: 'calm' };
    default:
      return { word: 'unknown', tone: 'calm' };
  }
}

/** Sizes offered for a new computer, small to large; the presets are three of them. */
const GiB = 1024 ** 3;
export const SIZES = [
  { cpu: 1, memory: 0.5 * GiB, disk: 5 * GiB },
  { cpu: 1, memory: GiB, disk: 10 * GiB },
  { cpu: 2, memory: 2 * GiB, disk: 20 * GiB },
  { cpu: 2, memory: 4 * GiB, disk: 40 * GiB },
  { cpu: 4, memory: 8 * GiB, disk: 80 * GiB },
  { cpu: 6, memory: 16 * GiB, disk: 160 * GiB },
  { cpu: 8, memory: 32 * GiB, disk: 320 * GiB },
];
export const PRESETS = [
  { name: 'Light', at: 1, text: 'a terminal, a small service' },
  { name: 'Everyday', at: 2, text: 'browsing, writing, learning' },
  { name: 'Heavy', at: 4, text: 'building, many tabs, data' },
];

/** What of `size` is over the space's quota: ["memory", …]; a quota of 0 or null is none. */
export function overQuota(size, space) {
  const q = space?.quota ?? {};
  const used = space?.used ?? {};
  const over = ['cpu', 'memory', 'disk'].filter((k) => q[k] && (used[k] ?? 0) + size[k] > q[k]);
  if (q.instances && (used.instances ?? 0) + 1 > q.instances) over.unshift('instances');
  return over;
}
