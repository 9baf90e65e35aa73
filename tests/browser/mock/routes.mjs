// SPDX-License-Identifier: Apache-2.0
// The pretended API's routes: [method, pattern, handler(context)]. A handler returns the JSON answer, or throws refuse().
import { drawDesktop, encodePng } from './png.mjs';
import { FILES, PROCESSES, sampleAt } from './world.mjs';
import { volumeRoutes } from './volumes.mjs';

export function refuse(status, code, detail, hint, more = {}) {
  return Object.assign(new Error(detail), { refusal: { type: `urn:portena:error:${code}`, title: code, status, detail, hint, ...more } });
}
const notFound = (what) => refuse(404, 'not-found', what, 'portena list');
const PASSWORD = 'correct horse';

export const roleOf = (w, user, s) => (user.admin ? 'admin' : s?.members[user.name]);
const spaceOf = (c, needed = 'viewer') => {
  const s = c.world.spaces.get(c.args.S);
  const role = roleOf(c.world, c.user, s);
  if (!s || !role) throw notFound(`there is no space called ${c.args.S}`);
  const rank = { viewer: 1, member: 2, owner: 3, admin: 4 };
  if (rank[role] < rank[needed]) throw refuse(403, 'forbidden', `you are a ${role} of space ${s.name}; this needs ${needed}`, 'Ask an owner of the space.');
  return s;
};
const instanceOf = (c, needed) => {
  const s = spaceOf(c, needed);
  const i = c.world.instances.get(`${s.name}/${c.args.I}`);
  if (!i) throw notFound(`space ${s.name} has no instance called ${c.args.I}`);
  return i;
};
const spaceView = (c, s) => ({ ...s, used: c.world.used(s), role: roleOf(c.world, c.user, s) });
const list = (items, c) => ({ items, revision: c.world.revision() });
const mine = (c) => [...c.world.spaces.values()].filter((s) => roleOf(c.world, c.user, s));
const none = (c) => { if (c.raw.length) throw refuse(400, 'invalid', 'body: this request takes none', ''); return true; };
const admin = (c) => { if (!c.user.admin) throw refuse(403, 'forbidden', 'this is for administrators', 'Ask the administrator of this server.'); };
const byRef = (c) => {
  const ref = c.args.R;
  const m = [...c.world.images.values()].find((x) => x.names.includes(ref) || x.digest.startsWith(ref) || x.digest.slice(7).startsWith(ref));
  if (!m) throw notFound(`there is no image called ${ref}`);
  return m;
};
const imageView = (c, m) => ({ ...m, used_by: [...c.world.instances.values()].filter((i) => i.image === m.digest).map((i) => `${i.space}/${i.name}`) });
const change = (c, i, fields) => {
  Object.assign(i, fields, { revision: c.world.revision() });
  c.event('status', i.space, `spaces/${i.space}/status/${i.name}`, 'changed');
  return i;
};

/** Runs steps [permille, text] with pauses, then `done`. */
function operation(c, kind, target, space, steps, pause, done) {
  const op = { id: `01OP${c.world.revision()}`, kind, target, space, user: c.user.name, state: 'running', progress: 0, done: 0, total: 0, unit: '', step: steps[0][1], created: new Date().toISOString(), ended: null, error: null, result: null };
  c.world.ops.set(op.id, op);
  c.event('operation', space, `ops/${op.id}`, 'created', op);
  let n = 0;
  const next = () => {
    if (op.state !== 'running') return;
    if (n < steps.length) {
      [op.progress, op.step] = steps[n++];
      c.event('progress', space, `ops/${op.id}`, null, { id: op.id, progress: op.progress, step: op.step });
      setTimeout(next, pause * c.world.delay);
      return;
    }
    try {
      op.result = done() ?? null;
      op.state = 'done';
    } catch (e) {
      op.state = 'failed';
      op.error = { code: e.refusal?.title ?? 'internal', detail: e.message, hint: e.refusal?.hint ?? null };
    }
    op.ended = new Date().toISOString();
    c.event('operation', space, `ops/${op.id}`, 'changed', op);
  };
  setTimeout(next, 20);
  return op;
}

function makeExport(c, target, space) {
  const op = operation(c, 'export', target, space, [[200, 'reading the disk'], [700, 'writing the file']], 300, () => null);
  op.format = c.body.format;
  return [202, { operation: op }];
}

const NEXT = { start: ['starting', 'running'], stop: ['stopping', 'stopped'], restart: ['stopping', 'running'], pause: ['running', 'paused'], hibernate: ['running', 'hibernated'], resume: ['paused', 'running'] };
const GiB = 1024 ** 3;

function createInstance(c) {
  const s = spaceOf(c, 'owner');
  const b = c.body;
  if (c.world.instances.has(`${s.name}/${b.name}`)) throw refuse(409, 'conflict', `space ${s.name} has an instance called ${b.name} already`, 'Choose another name, or delete it first.');
  const used = c.world.used(s);
  if (s.quota.memory && used.memory + b.memory > s.quota.memory)
    throw refuse(409, 'quota', `memory ${b.memory / GiB} GiB is over what is left of space ${s.name}'s quota (${used.memory / GiB} of ${s.quota.memory / GiB} GiB in use)`, `portena quota ${s.name} memory=${(used.memory + b.memory) / GiB}G`);
  const img = [...c.world.images.values()].find((m) => m.names.includes(b.image) || m.digest === b.image);
  if (!img) throw refuse(400, 'invalid', `there is no image called ${b.image}`, 'portena image list');
  if (b.kind && !img.kinds.includes(b.kind)) throw refuse(400, 'invalid', `image ${b.image}: cannot run as a ${b.kind}`, `it runs as ${img.kinds.join(' or ')}`);
  const i = c.world.add(s.name, b.name, { ...b, image: img.digest, image_name: b.image, state: 'starting', ready: false, created_by: c.user.name, created: new Date().toISOString(), started: null, init: b.init ?? img.init, desktop: img.desktop || ['disk', 'iso'].includes(img.format) });
  c.event('instance', s.name, `spaces/${s.name}/instances/${i.name}`, 'created');
  const op = operation(c, 'launch', `spaces/${s.name}/instances/${i.name}`, s.name, [[200, 'Creating the disk'], [500, 'Setting up the network'], [800, 'Starting']], 300, () => {
    change(c, i, { state: 'running', ready: true, started: new Date().toISOString(), usage: { cpu: 0.1, memory: 90e6, disk: 1e6, rx: 0, tx: 0 } });
  });
  return [202, { operation: op, ...i }];
}

function login(c) {
  const { user, password, code } = c.body;
  const u = c.world.users.get(user);
  if (!u || u.disabled || password !== (u.password ?? PASSWORD)) throw refuse(401, 'unauthenticated', 'The user, the password or the code is not right.', '');
  if (u.totp && !code) throw refuse(401, 'unauthenticated', 'A code is needed.', '', { code_required: true });
  if (u.totp && code !== '123456') throw refuse(401, 'unauthenticated', 'The user, the password or the code is not right.', '');
  const secret = `pt_${user}_${c.world.revision()}`;
  c.sessions.set(secret, user);
  c.res.setHeader('Set-Cookie', `portena=${secret}; Path=/; HttpOnly; SameSite=Strict`);
  return [201, { user: u, expires: new Date(Date.now() + 86400e3).toISOString() }];
}

export const routes = [
  ['GET', '/healthz', () => ({ status: 'ok' }), true],
  ['GET', '/v1', (c) => ({ name: c.world.node.name, version: c.world.node.version, api: 1 }), true],
  ['POST', '/v1/session', login, true],
  ['GET', '/v1/session', (c) => ({ user: { ...c.user, password: undefined }, spaces: mine(c).map((s) => ({ name: s.name, role: roleOf(c.world, c.user, s) })), server: { name: c.world.node.name, version: c.world.node.version, arch: c.world.node.arch, cpus: c.world.node.cpus } })],
  ['DELETE', '/v1/session', (c) => { c.sessions.delete(c.token); return [204]; }],
  ['GET', '/v1/users', (c) => { admin(c); return list([...c.world.users.values()].map((u) => ({ ...u, password: undefined })), c); }],
  ['POST', '/v1/users', (c) => {
    admin(c);
    if (c.world.users.has(c.body.name)) throw refuse(409, 'conflict', `there is a user called ${c.body.name} already`, 'Choose another name.');
    if ((c.body.password ?? '').length < 8) throw refuse(400, 'invalid', 'the password is shorter than 8 characters', 'A short sentence is easy to keep in mind.');
    const u = { full_name: '', admin: false, disabled: false, totp: false, must_change: true, created: new Date().toISOString(), last_login: null, revision: c.world.revision(), ...c.body, must_change: !!c.body.must_change };
    c.world.users.set(u.name, u);
    c.event('user', null, `users/${u.name}`, 'created');
    return [201, u];
  }],
  ['PATCH', '/v1/users/:U', (c) => {
    const u = c.world.users.get(c.args.U);
    if (c.body.password && c.user.name === u.name && c.body.current_password !== (u.password ?? PASSWORD)) throw refuse(403, 'forbidden', 'the present password is not right', 'Type the password you signed in with.');
    const { current_password: _, ...rest } = c.body;
    Object.assign(u, rest, c.body.password ? { must_change: c.user.name !== u.name } : {}, { revision: c.world.revision() });
    c.event('user', null, `users/${u.name}`, 'changed');
    return u;
  }],
  ['DELETE', '/v1/users/:U', (c) => { admin(c); c.world.users.delete(c.args.U); c.event('user', null, `users/${c.args.U}`, 'deleted'); return [204]; }],
  ['POST', '/v1/users/:U/totp', (c) => none(c) && ({ secret: 'JBSWY3DPEHPK3PXP', uri: `otpauth://totp/Portena:${c.args.U}?secret=JBSWY3DPEHPK3PXP&issuer=Portena` })],
  ['PUT', '/v1/users/:U/totp', (c) => {
    if (c.body.code !== '123456') throw refuse(400, 'invalid', 'that code is not right', 'Check that the clock of your phone is right, then type the newest code.');
    c.world.users.get(c.args.U).totp = true;
    return [204];
  }],
  ['DELETE', '/v1/users/:U/totp', (c) => {
    if (c.body?.password !== (c.user.password ?? PASSWORD)) throw refuse(403, 'forbidden', 'that is not your password', 'Type the password you signed in with.');
    c.world.users.get(c.args.U).totp = false;
    return [204];
  }],
  ['GET', '/v1/users/:U/tokens', (c) => list(c.world.tokens.filter((t) => t.user === c.args.U), c)],
  ['POST', '/v1/users/:U/tokens', (c) => {
    const t = { id: `01TOK${c.world.revision()}`, user: c.args.U, kind: 'token', name: c.body.name, scope: c.body.scope ?? 'full', created: new Date().toISOString(), expires: new Date(Date.now() + 90 * 86400e3).toISOString(), last_used: null, last_from: null };
    c.world.tokens.push(t);
    return [201, { ...t, token: `pt_${t.id}_3f9c1e77a0b24d6d` }];
  }],
  ['DELETE', '/v1/users/:U/tokens/:ID', (c) => { c.world.tokens = c.world.tokens.filter((t) => t.id !== c.args.ID); return [204]; }],
  ['GET', '/v1/spaces', (c) => list(mine(c).map((s) => spaceView(c, s)), c)],
  ['POST', '/v1/spaces', (c) => {
    admin(c);
    if (c.body.members) throw refuse(400, 'invalid', 'members: is not known', '');
    const s = { description: '', quota: {}, members: { [c.user.name]: 'owner' }, subnet: '10.83.0.0/24', prefix6: 'fd50::/64', id: c.body.name, created: new Date().toISOString(), revision: c.world.revision(), ...c.body };
    c.world.spaces.set(s.name, s);
    c.event('space', s.name, `spaces/${s.name}`, 'created');
    return [201, spaceView(c, s)];
  }],
  ['GET', '/v1/spaces/:S', (c) => spaceView(c, spaceOf(c))],
  ['PATCH', '/v1/spaces/:S', (c) => {
    const s = spaceOf(c, 'owner');
    Object.assign(s, c.body, { quota: { ...s.quota, ...c.body.quota }, revision: c.world.revision() });
    c.event('space', s.name, `spaces/${s.name}`, 'changed');
    return spaceView(c, s);
  }],
  ['DELETE', '/v1/spaces/:S', (c) => {
    const s = spaceOf(c, 'owner');
    if ([...c.world.instances.values()].some((i) => i.space === s.name)) throw refuse(409, 'conflict', `space ${s.name} has instances`, 'Delete them first.');
    c.world.spaces.delete(s.name);
    c.event('space', s.name, `spaces/${s.name}`, 'deleted');
    return [204];
  }],
  ['PUT', '/v1/spaces/:S/members/:U', (c) => {
    const s = spaceOf(c, 'owner');
    if (!c.world.users.has(c.args.U)) throw notFound(`there is no user called ${c.args.U}`);
    s.members = { ...s.members, [c.args.U]: c.body.role };
    c.event('space', s.name, `spaces/${s.name}`, 'changed');
    return spaceView(c, s);
  }],
  ['DELETE', '/v1/spaces/:S/members/:U', (c) => { const s = spaceOf(c, 'owner'); delete s.members[c.args.U]; c.event('space', s.name, `spaces/${s.name}`, 'changed'); return [204]; }],
  ['GET', '/v1/spaces/:S/network', (c) => {
    const s = spaceOf(c);
    const all = [...c.world.instances.values()].filter((i) => i.space === s.name);
    return { subnet: s.subnet, prefix6: s.prefix6, uplink: 'eth0', leases: all.map((i) => ({ name: i.name, address: i.address, mac: i.mac, state: i.state })), ports: all.flatMap((i) => i.ports.map((p) => ({ instance: i.name, ...p }))) };
  }],
  ['GET', '/v1/spaces/:S/processes', (c) => list([...c.world.instances.values()].filter((i) => i.space === spaceOf(c).name && i.state === 'running').flatMap((i) => PROCESSES.map((p) => ({ instance: i.name, ...p }))), c)],
  ...volumeRoutes({ spaceOf, instanceOf, list, change, operation, refuse, notFound }),
  ['GET', '/v1/instances', (c) => list([...c.world.instances.values()].filter((i) => roleOf(c.world, c.user, c.world.spaces.get(i.space))), c)],
  ['GET', '/v1/spaces/:S/instances', (c) => list([...c.world.instances.values()].filter((i) => i.space === spaceOf(c).name), c)],
  ['POST', '/v1/spaces/:S/instances', createInstance],
  ['GET', '/v1/spaces/:S/instances/:I', (c) => instanceOf(c)],
  ['PATCH', '/v1/spaces/:S/instances/:I', (c) => {
    const i = instanceOf(c, 'owner');
    if (c.body.name && i.state !== 'stopped') throw refuse(409, 'conflict', `${i.name} is running; its name can change while it is stopped`, 'Stop it first.');
    if (c.body.kind && c.body.kind !== i.kind && i.state !== 'stopped') throw refuse(409, 'conflict', `${i.name} is running; its kind can be changed while it is stopped`, 'Stop it first.');
    if (c.body.disk && c.body.disk < i.disk) throw refuse(400, 'invalid', 'a disk cannot become smaller', `Ask for more than ${i.disk / GiB} GiB.`);
    if (c.body.name) {
      c.world.instances.delete(`${i.space}/${i.name}`);
      c.event('instance', i.space, `spaces/${i.space}/instances/${i.name}`, 'deleted');
      c.world.instances.set(`${i.space}/${c.body.name}`, i);
    }
    change(c, i, c.body);
    return { ...i, applies: Object.fromEntries(Object.keys(c.body).map((k) => [k, ['cpu', 'memory', 'priority', 'disk', 'ports', 'net_in', 'net_out'].includes(k) ? 'now' : 'at the next start'])) };
  }],
  ['DELETE', '/v1/spaces/:S/instances/:I', (c) => {
    const i = instanceOf(c, 'owner');
    return [202, { operation: operation(c, 'delete', `spaces/${i.space}/instances/${i.name}`, i.space, [[500, 'Removing the disk']], 300, () => {
      c.world.instances.delete(`${i.space}/${i.name}`);
      c.event('instance', i.space, `spaces/${i.space}/instances/${i.name}`, 'deleted');
    }) }];
  }],
  ['POST', '/v1/spaces/:S/instances/:I/nics', (c) => {
    const i = instanceOf(c, 'owner');
    const space = c.body.space ?? i.space;
    const name = c.body.name ?? [1, 2, 3, 4, 5, 6, 7].map((n) => `eth${n}`).find((n) => !i.nics.some((x) => x.name === n));
    if (space !== i.space && c.world.spaces.get(space).subnet === c.world.spaces.get(i.space).subnet) throw refuse(409, 'conflict', `${i.name}: it could not tell the network of space ${space} from its own`, 'A space is given another network when it is made.');
    change(c, i, { nics: [...i.nics, { name, space, address: c.body.address ?? '10.84.0.9', address6: 'fd84::9', mac: '02:00:00:00:01:09' }] });
    return [202, { ...i, operation: operation(c, 'attach', `spaces/${i.space}/instances/${i.name}`, i.space, [[500, 'Attaching']], 300, () => {}) }];
  }],
  ['DELETE', '/v1/spaces/:S/instances/:I/nics/:N', (c) => {
    const i = instanceOf(c, 'owner');
    change(c, i, { nics: i.nics.filter((x) => x.name !== c.args.N) });
    return [202, { ...i, operation: operation(c, 'detach', `spaces/${i.space}/instances/${i.name}`, i.space, [[500, 'Detaching']], 300, () => {}) }];
  }],
  ['POST', '/v1/spaces/:S/instances/:I/actions', (c) => {
    const i = instanceOf(c, 'member');
    const [during, after] = NEXT[c.body.action];
    change(c, i, { state: during });
    return [202, { operation: operation(c, c.body.action, `spaces/${i.space}/instances/${i.name}`, i.space, [[500, c.body.action]], 500, () => {
      change(c, i, { state: after, error: null, freed: after === 'hibernated' ? 2e8 : 0, durable: after === 'hibernated' && !!c.body.durable, ready: after === 'running', started: after === 'running' ? new Date().toISOString() : i.started, usage: after === 'running' ? { cpu: 0.1, memory: 9e7, disk: 1e9, rx: 0, tx: 0 } : null });
    }), ...i }];
  }],
  ['GET', '/v1/spaces/:S/instances/:I/samples', (c) => {
    const i = instanceOf(c);
    const items = [];
    for (let t = Date.now() - 3600e3; t < Date.now(); t += 5000) items.push(sampleAt(i, t));
    return { step: 5, items };
  }],
  ['GET', '/v1/spaces/:S/instances/:I/processes', (c) => { instanceOf(c); return list(PROCESSES.map((p) => ({ instance: c.args.I, ...p })), c); }],
  ['GET', '/v1/spaces/:S/instances/:I/logs', () => [200, Buffer.from('[  OK  ] Started Portena desktop.\r\nstudio login: \r\n'), { 'Content-Type': 'text/plain' }]],
  ['GET', '/v1/spaces/:S/instances/:I/thumbnail', (c) => {
    const i = instanceOf(c);
    if (!i.desktop || i.state !== 'running') throw notFound('there is no picture yet');
    const s = c.screen(i);
    return [200, encodePng(drawDesktop(480, 300, { tint: s.tint, lines: s.lines })), { 'Content-Type': 'image/png' }];
  }],
  ['GET', '/v1/spaces/:S/instances/:I/files', (c) => {
    const path = c.query.get('path').replace(/(.)\/$/, '$1');
    const dir = c.world.files?.[path] ?? FILES[path];
    if (dir) return [200, { items: dir.map(([name, type, size, target]) => ({ name, type, size, mode: type === 'directory' ? '0755' : '0644', uid: 1000, gid: 1000, mtime: new Date(Date.now() - 86400e3 * 3).toISOString(), target: target ?? null })) }, { 'X-Portena-Type': 'directory', 'X-Portena-Uid': '1000', 'X-Portena-Gid': '1000' }];
    if (/denied/.test(path)) throw refuse(403, 'forbidden', `${path} may not be read`, 'Choose another file.');
    if (/^\/(home|etc|root)\/.*\./.test(path)) return [200, Buffer.from('# Notes\n\nBuy bread.\n'), { 'Content-Type': 'application/octet-stream', 'X-Portena-Type': 'file' }];
    return [200, { items: [] }, { 'X-Portena-Type': 'directory' }];
  }],
  ['PUT', '/v1/spaces/:S/instances/:I/files', (c) => {
    const path = c.query.get('path');
    const at = path.lastIndexOf('/');
    const dir = path.slice(0, at) || '/';
    c.world.files ??= {};
    c.world.files[dir] = [...(c.world.files[dir] ?? FILES[dir] ?? []).filter((f) => f[0] !== path.slice(at + 1)), [path.slice(at + 1), c.query.get('type') ?? 'file', c.raw.length]];
    return [204];
  }],
  ['DELETE', '/v1/spaces/:S/instances/:I/files', (c) => {
    const path = c.query.get('path');
    const at = path.lastIndexOf('/');
    const dir = path.slice(0, at) || '/';
    c.world.files ??= {};
    c.world.files[dir] = (c.world.files[dir] ?? FILES[dir] ?? []).filter((f) => f[0] !== path.slice(at + 1));
    return [204];
  }],
  ['GET', '/v1/images', (c) => list([...c.world.images.values()].map((m) => imageView(c, m)), c)],
  ['POST', '/v1/images', (c) => {
    admin(c);
    const source = c.body?.source ?? 'upload';
    const name = (c.body?.name ?? c.query.get('name') ?? source.replace(/^(recipe:|docker:\/\/(library\/)?)/, '')) + (c.body?.arch ? `-${c.body.arch}` : '');
    if (/nowhere/.test(source)) throw refuse(502, 'unreachable', `the registry of ${source} does not answer`, 'Check the address and the uplink of this server.');
    const steps = source.startsWith('recipe:') ? [[60, 'Fetching packages'], [300, 'Installing 214 packages'], [700, 'Configuring'], [900, 'Writing the image']] : [[100, 'Fetching layers'], [500, 'Unpacking'], [900, 'Writing the image']];
    const format = { iso: 'iso', program: 'program', qcow2: 'disk', raw: 'disk', vmdk: 'disk', vdi: 'disk', vhdx: 'disk', vhd: 'disk', ova: 'disk' }[c.query.get('format')] ?? (name.startsWith('kernel') ? 'kernel' : 'rootfs');
    const kinds = { kernel: [], iso: ['machine'], disk: ['machine'], program: ['process'] }[format] ?? ['container', 'machine'];
    return [202, { operation: operation(c, 'image', `images/${c.body?.name ?? c.query.get('name') ?? source}`, null, steps, 500, () => {
      const d = `sha256:${c.world.revision().toString(16).padStart(64, '7')}`;
      c.world.images.set(d, { digest: d, names: [name], source, arch: c.body?.arch ?? 'x86_64', os: 'Linux', format, runtime: format === 'program' ? 'wasm' : 'native', firmware: 'uefi', disk: format === 'disk' ? 20 * GiB : 0, description: c.world.recipes.find((r) => r.name === name)?.description ?? '', size: 42e6, created: new Date().toISOString(), init: source.startsWith('docker') ? 'app' : 'system', desktop: name === 'desktop', kinds });
      const r = c.world.recipes.find((x) => x.name === name);
      if (r) r.image = d;
      c.event('image', null, `images/${d}`, 'created');
      return d;
    }) }];
  }],
  ['GET', '/v1/images/recipes', (c) => ({ items: c.world.recipes })],
  ['POST', '/v1/images/prune', (c) => { admin(c); none(c); return { removed: [], freed: 0 }; }],
  ['PATCH', '/v1/images/:R', (c) => { admin(c); const m = byRef(c); m.names = c.body.names; c.event('image', null, `images/${m.digest}`, 'changed'); return imageView(c, m); }],
  ['DELETE', '/v1/images/:R', (c) => {
    admin(c);
    const m = imageView(c, byRef(c));
    if (m.used_by.length) throw refuse(409, 'conflict', `image ${m.names[0]} is used by ${m.used_by.join(', ')}`, 'Delete those first.');
    c.world.images.delete(m.digest);
    c.event('image', null, `images/${m.digest}`, 'deleted');
    return [204];
  }],
  ['POST', '/v1/images/:R/exports', (c) => { admin(c); byRef(c); return makeExport(c, `images/${c.args.R}`, null); }],
  ['POST', '/v1/spaces/:S/instances/:I/exports', (c) => {
    const i = instanceOf(c, 'owner');
    if (i.state !== 'stopped') throw refuse(409, 'conflict', `${i.name}: its disk can be exported while it is stopped`, `portena stop ${i.name}`);
    return makeExport(c, `spaces/${i.space}/instances/${i.name}`, i.space);
  }],
  ['GET', '/v1/exports/:ID', (c) => [200, Buffer.from(`a disk as ${c.world.ops.get(c.args.ID).format}`), { 'Content-Type': 'application/octet-stream', 'Content-Disposition': `attachment; filename="${c.world.ops.get(c.args.ID).target.split('/').pop()}.${c.world.ops.get(c.args.ID).format}"` }]],
  ['GET', '/v1/operations', (c) => list([...c.world.ops.values()], c)],
  ['GET', '/v1/operations/:ID', (c) => c.world.ops.get(c.args.ID) ?? (() => { throw notFound('there is no such operation'); })()],
  ['DELETE', '/v1/operations/:ID', (c) => { const o = c.world.ops.get(c.args.ID); o.state = 'cancelled'; o.ended = new Date().toISOString(); c.event('operation', o.space, `ops/${o.id}`, 'changed', o); return o; }],
  ['GET', '/v1/audit', (c) => {
    admin(c);
    const before = Number(c.query.get('before') ?? Infinity);
    return list(c.world.audit.filter((a) => a.id < before && (!c.query.get('user') || a.user === c.query.get('user')) && (!c.query.get('object') || a.object === c.query.get('object'))).slice(0, Number(c.query.get('limit') ?? 100)), c);
  }],
  ['GET', '/v1/node', (c) => c.world.node],
  ['GET', '/v1/doctor', () => ({ items: [
    { check: 'kernel', state: 'ok', detail: 'Linux 6.18 with user namespaces, overlayfs and erofs', hint: null },
    { check: 'pool', state: 'ok', detail: '1.5 TiB free on XFS with reflinks', hint: null },
    { check: 'clock', state: 'warn', detail: 'the clock is not synchronised', hint: 'Start systemd-timesyncd or chrony.' },
    { check: 'certificate', state: 'bad', detail: 'the certificate ends in 3 days', hint: 'portena server certificate --renew' },
  ] })],
];
