// SPDX-License-Identifier: Apache-2.0
// The settings there are: what each is called, when a change applies, how it is shown and read. Which of them a computer has depends on
// its kind.
import { bytes, formatCommand, formatEnv, parseCommand, parseEnv, parseSize } from '../lib/format.js';
import { ACCELS, FIRMWARES, HARDWARES, KINDS, kindsOf, switchEffects } from '../lib/kinds.js';

const NOW = 'Applies at once.';
const NEXT = 'Applies at the next start.';
const OFF = 'Can change while it is off.';

const GROUPS = [
  { title: 'Size', items: [
    { id: 'cpu', label: 'Processors', text: 'How many cpus it may use at most; 0 is all of them.', when: NOW, show: (v) => String(v ?? 0), read: number, mode: 'decimal' },
    { id: 'memory', label: 'Memory', text: 'Like 2 GiB or 512M; 0 is no limit.', when: NOW, show: sizeText, read: size },
    { id: 'disk', label: 'Disk', text: 'A disk can grow, not shrink.', when: 'Grows at once where it can, else at the next start.', show: sizeText, read: size },
    { id: 'priority', label: 'Priority', text: '1 to 1000, 100 is normal: its share when all want more than there is.', when: NOW, show: (v) => String(v ?? 100), read: number, mode: 'numeric' },
    { id: 'pids', label: 'Processes at most', text: 'Keeps a runaway program from filling the server.', when: NOW, show: (v) => String(v ?? 0), read: number, mode: 'numeric' },
  ] },
  { title: 'Start', items: [
    { id: 'autostart', label: 'Start with the server', text: 'After the server was off, this computer comes back by itself.', when: NOW, kind: 'check' },
    { id: 'restart', label: 'When it ends by itself', text: 'What to do when its first program ends.', when: NOW, kind: 'select', options: [['no', 'stay off'], ['on-failure', 'restart if it failed'], ['always', 'always restart']] },
    { id: 'command', label: 'Command', text: 'What runs first; empty is what the image says.', when: NEXT, show: formatCommand, read: command },
    { id: 'user', label: 'User', text: 'Who runs the command.', when: NEXT, show: (v) => v ?? '', read: (t) => t.trim() },
    { id: 'cwd', label: 'Folder', text: 'Where the command starts.', when: NEXT, show: (v) => v ?? '/', read: (t) => t.trim() || '/' },
    { id: 'env', label: 'Environment', text: 'One NAME=value a line.', when: NEXT, kind: 'area', show: formatEnv, read: environment },
  ] },
  { title: 'Name', items: [
    { id: 'name', label: 'Name', text: 'Others in the space reach it by this name.', when: OFF, show: (v) => v, read: (t) => t.trim(), stopped: true },
    { id: 'description', label: 'Note', text: 'What it is for, in your words.', when: NOW, show: (v) => v ?? '', read: (t) => t },
  ] },
];

function sizeText(v) {
  return v ? bytes(v) : '0';
}
function number(t) {
  const n = Number(t.replace(',', '.'));
  if (!t.trim() || !Number.isFinite(n) || n < 0) throw new Error('Write a number, like 2.');
  return n;
}
function size(t, old) {
  if (t === sizeText(old)) return old; // "1.1 GiB" is rounded; untouched is untouched
  const n = parseSize(t);
  if (n == null) throw new Error('Write a size, like 2 GiB or 512M.');
  return n;
}
function command(t) {
  const words = parseCommand(t);
  if (!words) throw new Error('A quotation mark is not closed.');
  return words;
}
function environment(t) {
  const env = parseEnv(t);
  if (!env) throw new Error('Each line is NAME=value.');
  return env;
}

/** The discs there are, by name; the one in the drive stays in the list when its image is gone. */
const discs = (images, i) => [...new Set([...images.filter((m) => m.format === 'iso').map((m) => m.names?.[0] ?? m.digest), i.iso_name].filter(Boolean))].map((n) => [n, n]);

const NETWORK = { title: 'Network', items: [
  { id: 'offline', label: 'Network', text: 'Without it, nothing reaches it and it reaches nothing; its address stays its own.', when: NEXT, kind: 'check', turned: true },
  { id: 'net_in', label: 'Receives at most', text: 'So much a second, like 2 MiB; 0 is no limit.', when: NOW, show: sizeText, read: size },
  { id: 'net_out', label: 'Sends at most', text: 'So much a second, like 2 MiB; 0 is no limit.', when: NOW, show: sizeText, read: size },
] };

/** What runs it: only where its image leaves a choice. */
function kindGroup(i, image) {
  const kinds = [...new Set([i.kind, ...kindsOf(image)])];
  if (kinds.length < 2) return null;
  return { title: 'Kind', items: [
    { id: 'kind', label: 'Runs as', text: 'The same image, disk and address, run in another way.', when: OFF, kind: 'pick', stopped: true,
      options: kinds.filter((k) => KINDS[k]).map((k) => [k, KINDS[k].word, KINDS[k].text]), effects: (kind) => switchEffects(i, kind) },
  ] };
}

function machineGroup(i, images) {
  const accel = { id: 'accel', label: 'Accelerator', text: 'How its processors are run.', when: NEXT, kind: 'select', options: ACCELS };
  if (i.model !== 'pc') return { title: 'Machine', items: [accel] };
  const inDrive = discs(images, i);
  return { title: 'Machine', items: [
    { id: 'iso_name', label: 'Disc in the drive', text: inDrive.length ? 'An installation disc, or one with drivers.' : 'There is no disc on this server yet; an administrator can upload one under Images.', when: NEXT, kind: 'select', options: [['', 'none'], ...inDrive], show: (v) => v ?? '', read: (v) => v || null },
    { id: 'boot_iso', label: 'Start from the disc', text: 'Also when there is a system on its disk, to repair it or to install another.', when: NEXT, kind: 'check' },
    { id: 'firmware', label: 'Firmware', text: 'A system that is installed starts with the one it was installed with.', when: NEXT, kind: 'select', options: FIRMWARES },
    { id: 'secure_boot', label: 'Secure boot', text: 'UEFI starts signed systems only.', when: NEXT, kind: 'check' },
    { id: 'tpm', label: 'TPM 2.0', text: 'A chip that keeps keys. Windows 11 asks for one.', when: NEXT, kind: 'check' },
    { id: 'hardware', label: 'Disk and network card', text: 'A system without virtio drivers needs the emulated ones.', when: NEXT, kind: 'select', options: HARDWARES },
    accel,
  ] };
}

/** A machine's guest has a say in how many processors and how much memory it can take while it runs. */
const whenMachine = (g) => ({ ...g, items: g.items.map((s) => (['cpu', 'memory'].includes(s.id) ? { ...s, when: 'At once where its system can, else at the next start.' } : s)) });

/** A system on a disk of its own starts by itself: what its first program is, is its own matter. */
const INSIDE = ['command', 'user', 'cwd', 'env', 'pids'];
/** A process runs its image's program, always: what is set are the words behind its name. */
const withArguments = (g) => ({ ...g, items: g.items.map((s) => (s.id === 'command' ? { ...s, label: 'Arguments', text: 'What the program is told when it starts.' } : s)) });
const withoutInside = (g) => ({ ...g, items: g.items.filter((s) => !INSIDE.includes(s.id)) });

/** The groups of settings that this computer has. `images`: those there are. */
export function groupsOf(i, images) {
  const image = images.find((m) => m.digest === i.image);
  const pc = i.kind === 'machine' && i.model === 'pc';
  const [size, start, name] = pc ? GROUPS.map(withoutInside) : i.kind === 'process' ? GROUPS.map(withArguments) : GROUPS;
  return [kindGroup(i, image), i.kind === 'machine' ? whenMachine(size) : size, i.kind === 'machine' && machineGroup(i, images), start, 'offline' in i && NETWORK, name].filter(Boolean);
}

const EMPTY = { command: [], env: {}, description: '', user: '', cwd: '/', iso_name: null }; // what null of the API shows as

/** What of the form differs from the instance: { changes, faults }. A merge patch removes a key of env by null. */
export function differences(i, form, groups) {
  const changes = {};
  const faults = {};
  for (const s of groups.flatMap((g) => g.items)) {
    if (!(s.id in form)) continue;
    try {
      const v = s.read ? s.read(form[s.id], i[s.id]) : form[s.id];
      if (JSON.stringify(v) === JSON.stringify(i[s.id] ?? EMPTY[s.id])) continue;
      changes[s.id] = s.id === 'env' ? { ...Object.fromEntries(Object.keys(i.env ?? {}).filter((k) => !(k in v)).map((k) => [k, null])), ...v } : v;
    } catch (e) {
      faults[s.id] = e.message;
    }
  }
  return { changes, faults };
}
