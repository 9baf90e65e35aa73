// SPDX-License-Identifier: Apache-2.0
// The pretended server's state: a few users, spaces, computers and images, and what changes them.
const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const at = (secondsAgo) => new Date(Date.now() - secondsAgo * 1000).toISOString().replace(/\.\d+Z/, 'Z');
const digest = (n) => `sha256:${String(n).repeat(64).slice(0, 64)}`;

export function makeWorld() {
  let n = 100;
  const world = {
    revision: () => ++n, ops: new Map(), tokens: [], screens: new Map(), audit: [], delay: 1,
    node: { name: 'bluebell', arch: 'x86_64', cpus: 16, memory: 64 * GiB, version: '0.1.0', uplink: 'eth0', pool: { size: 2000 * GiB, used: 412 * GiB }, instances: 6, load: [0.8, 0.6, 0.5], pressure: { cpu: 0.4, memory: 0, io: 1.2 } },
    users: new Map(), spaces: new Map(), instances: new Map(), images: new Map(), volumes: new Map(),
  };
  const user = (name, full_name, more = {}) => world.users.set(name, { name, full_name, admin: false, disabled: false, totp: false, must_change: false, created: at(86400 * 40), last_login: at(7200), revision: ++n, ...more });
  user('anna', 'Anna Brandt', { admin: true });
  user('ben', 'Ben Okafor', { last_login: null });
  user('carl', 'Carl Ruiz', { totp: true });
  user('dora', 'Dora Weiss', { must_change: true, last_login: null });
  user('eve', 'Eve Lind', { disabled: true, last_login: at(86400 * 90) });
  const space = (name, members, description, quota) => world.spaces.set(name, { name, id: `01SPACE${name}`, description, subnet: '10.83.0.0/24', prefix6: 'fd50:a1b2:c3::/64', members, quota, created: at(86400 * 30), revision: ++n });
  space('home', { anna: 'owner', carl: 'owner', dora: 'owner' }, 'The household', { instances: 12, cpu: 16, memory: 32 * GiB, disk: 500 * GiB });
  space('class-7b', { anna: 'owner', carl: 'viewer' }, 'Computers of class 7b', { instances: 30, cpu: 60, memory: 90 * GiB, disk: 0 });
  space('ben', { ben: 'owner' }, '', { instances: 3, cpu: 4, memory: 8 * GiB, disk: 100 * GiB });

  const image = (d, names, description, more) => world.images.set(d, { digest: d, names, source: more.init === 'app' ? 'docker://library/nginx' : `recipe:${names[0]}`, arch: 'x86_64', os: 'Debian 12', description, size: 640 * MiB, created: at(86400 * 3), format: 'rootfs', runtime: 'native', firmware: 'uefi', disk: 0, init: 'system', desktop: false, kinds: ['container', 'machine'], ...more });
  image(digest('d1'), ['desktop'], 'A calm XFCE desktop with Firefox, files, a terminal and an editor.', { desktop: true, size: 626 * MiB });
  image(digest('be'), ['debian'], 'A small Debian with systemd, for services and tinkering.', { size: 148 * MiB });
  image(digest('a9'), ['nginx:1.27'], 'The nginx web server.', { init: 'app', size: 61 * MiB });
  image(digest('f2'), ['fedora-42'], 'Installs Fedora Linux 42.', { format: 'iso', kinds: ['machine'], source: 'file:fedora-42.iso', size: 2.3 * GiB, os: null });
  image(digest('fb'), ['freebsd'], 'FreeBSD 15 as it left another server.', { format: 'disk', kinds: ['machine'], source: 'file:freebsd.vmdk', size: 1.4 * GiB, disk: 32 * GiB, firmware: 'bios', os: null });
  image(digest('c4'), ['converter'], 'Turns tables into charts.', { format: 'program', runtime: 'wasm', kinds: ['process'], source: 'file:converter.wasm', size: 2 * MiB, os: null, init: 'app' });
  image(digest('a6'), ['arm-lab'], 'A small Debian for boards with ARM processors.', { arch: 'aarch64', size: 139 * MiB });
  image(digest('6e'), ['kernel'], 'What lean machines start from.', { format: 'kernel', kinds: [], size: 31 * MiB });
  world.recipes = [
    { name: 'desktop', description: 'A calm XFCE desktop with Firefox, files, a terminal and an editor.', image: digest('d1') },
    { name: 'debian', description: 'A small Debian with systemd, for services and tinkering.', image: digest('be') },
    { name: 'alpine', description: 'Alpine Linux: tiny, quick, no systemd.', image: null },
  ];

  world.add = (space, name, more = {}) => {
    const img = [...world.images.values()].find((m) => m.names.includes(more.image_name ?? 'desktop'));
    const i = {
      name, space, id: `01INST${++n}`, description: '', kind: 'container', init: img?.init ?? 'system', model: 'micro', accel: 'auto', arch: img?.arch ?? 'x86_64', firmware: 'uefi', secure_boot: false, tpm: false, hardware: 'virtio', iso: null, iso_name: null, boot_iso: false, offline: false, image: img?.digest ?? digest('0'), image_name: 'desktop', volume: `01VOL${n}`,
      power: 'running', state: 'running', ready: true, step: null, error: null, cpu: 2, memory: 2 * GiB, pids: 8192, disk: 20 * GiB, io_read: 0, io_write: 0, net_in: 0, net_out: 0, priority: 100,
      command: [], env: {}, cwd: '/', user: 'root', restart: 'no', autostart: false, address: `10.83.0.${n % 250}`, address6: `fd50:a1b2:c3::${n % 250}`, mac: `02:50:54:00:00:${(n % 100) + 10}`, ports: [], disks: [], nics: [],
      desktop: (img?.desktop || ['disk', 'iso'].includes(img?.format)) ?? false, node: 'bluebell', pid: 4000 + n, started: at(260), stopped: null, exit_code: -1, exit_signal: 0, restarts: 0,
      usage: { cpu: 0.034, memory: 212 * MiB, disk: 1.1 * GiB, rx: 2100, tx: 900 }, created: at(86400 * 2), created_by: 'anna', generation: 1, revision: ++n, ...more,
    };
    if (i.state !== 'running') i.usage = null;
    world.instances.set(`${space}/${name}`, i);
    return i;
  };
  world.add('home', 'studio');
  world.add('home', 'atelier', { usage: { cpu: 0.41, memory: 1.2 * GiB, disk: 6.4 * GiB, rx: 48000, tx: 12000 }, started: at(86400 * 3 + 4000), memory: 4 * GiB });
  world.add('home', 'web', { image_name: 'nginx:1.27', cpu: 1, memory: 512 * MiB, disk: 5 * GiB, ports: [{ protocol: 'tcp', listen: 8080, to: 80, address: null }], usage: { cpu: 0.002, memory: 9 * MiB, disk: 40 * MiB, rx: 300, tx: 1200 }, command: ['nginx', '-g', 'daemon off;'], restart: 'always' });
  world.add('home', 'reading-room', { state: 'paused', power: 'paused' });
  world.add('home', 'attic', { state: 'stopped', power: 'stopped', ready: false, pid: 0, image_name: 'debian' });
  world.add('home', 'ledger', { kind: 'machine', image_name: 'debian', description: 'The accounts', memory: GiB, cpu: 1, usage: { cpu: 0.012, memory: 610 * MiB, disk: 2.1 * GiB, rx: 900, tx: 400 }, started: at(86400 + 900) });
  world.add('home', 'old-office', { kind: 'machine', model: 'pc', image_name: 'freebsd', state: 'stopped', power: 'stopped', ready: false, pid: 0, firmware: 'bios', hardware: 'emulated', iso_name: 'fedora-42', disk: 32 * GiB });
  world.add('home', 'charts', { kind: 'process', image_name: 'converter', cpu: 1, memory: 256 * MiB, disk: GiB, offline: true, usage: { cpu: 0.001, memory: 14 * MiB, disk: MiB, rx: 0, tx: 0 } });
  world.add('class-7b', 'board', { image_name: 'arm-lab', cpu: 1, memory: GiB, usage: { cpu: 0.2, memory: 190 * MiB, disk: GiB, rx: 0, tx: 0 } });
  world.add('class-7b', 'robotics', { state: 'failed', ready: false, error: 'The volume is full: 20 GiB of 20 GiB are used\nGrow it in the settings, or delete files.' });

  world.view = (i) => ({ ...i });
  world.used = (s) => {
    const list = [...world.instances.values()].filter((i) => i.space === s.name);
    const sum = (k) => list.reduce((t, i) => t + i[k], 0);
    return { instances: list.length, cpu: sum('cpu'), memory: sum('memory'), disk: sum('disk') };
  };
  for (let k = 0; k < 60; k++) {
    const [method, action, object, outcome] = [
      ['POST', 'start', 'spaces/home/instances/studio', 'ok'], ['POST', 'login', 'session', 'ok'], ['POST', 'login', 'session', 'unauthenticated'],
      ['PATCH', 'change', 'spaces/home/instances/atelier', 'ok'], ['DELETE', 'delete', 'spaces/class-7b/instances/old', 'ok'], ['POST', 'create', 'spaces/home/instances/web', 'quota'],
    ][k % 6];
    world.audit.push({ id: 1000 - k, time: at(k * 1900 + 40), user: ['anna', 'carl', 'ben'][k % 3], from: `192.0.2.${20 + (k % 5)}`, method, path: `/v1/${object}`, object, action, outcome, detail: outcome === 'ok' ? null : outcome === 'quota' ? 'space home has 12 of 12 computers' : 'wrong user or password' });
  }
  return world;
}

// No value is ever clamped: a page that waits for the next sample to look different would wait for as long as that holds.
export const sampleAt = (i, t, k = t / 5000) => ({
  time: new Date(t).toISOString().replace(/\.\d+Z/, 'Z'), cpu: 0.55 + 0.3 * Math.sin(k / 19) + 0.15 * Math.sin(k / 3.3) + 0.05 * Math.sin(k * 7), memory: Math.round((0.42 + 0.1 * Math.sin(k / 61) + 0.01 * Math.sin(k)) * i.memory),
  pids: 143, disk_used: Math.round(1.1 * GiB + (k % 720) * 90000), disk_size: i.disk, rx: Math.abs(Math.round(80000 * Math.sin(k / 11) * Math.sin(k / 2.1))), tx: Math.abs(Math.round(24000 * Math.sin(k / 9) * Math.sin(k / 3.1))),
  io_read: Math.abs(Math.round(400000 * Math.sin(k / 23) ** 8)), io_write: Math.abs(Math.round(900000 * Math.sin(k / 17) ** 6)), cpu_pressure: Math.abs(3 * Math.sin(k / 15)), memory_pressure: Math.abs(0.4 * Math.sin(k / 33)), io_pressure: Math.abs(2 * Math.sin(k / 27)),
});

export const FILES = {
  '/': [['bin', 'symlink', 7, 'usr/bin'], ['etc', 'directory', 4096], ['home', 'directory', 4096], ['root', 'directory', 4096], ['usr', 'directory', 4096], ['var', 'directory', 4096]],
  '/root': [['.bashrc', 'file', 571], ['.profile', 'file', 161]],
  '/home': [['user', 'directory', 4096]],
  '/home/user': [['Documents', 'directory', 4096], ['Pictures', 'directory', 4096], ['budget 2026.ods', 'file', 48211], ['notes.md', 'file', 2310], ['run.sh', 'file', 412]],
  '/etc': [['debian_version', 'file', 6], ['fstab', 'file', 37], ['hostname', 'file', 7], ['passwd', 'file', 1391]],
};

export const PROCESSES = [
  [1, 0, 'root', 'S', 412000, 11, '/sbin/init'], [61, 1, 'root', 'S', 90000, 14, '/lib/systemd/systemd-journald'], [122, 1, 'user', 'S', 9812000, 88, 'Xtigervnc :1 -rfbunixpath /run/rfb.sock'],
  [131, 1, 'user', 'S', 812000, 61, 'xfwm4'], [140, 1, 'user', 'S', 310000, 55, 'xfce4-panel'], [201, 140, 'user', 'R', 64120000, 412, '/usr/lib/firefox-esr/firefox-esr'], [240, 140, 'user', 'S', 210000, 38, 'xfce4-terminal'],
].map(([pid, ppid, user, state, cpu_usec, mem, command]) => ({ pid, ppid, user, state, cpu_usec, memory: mem * MiB, started: at(250 - pid / 10), command }));
