// SPDX-License-Identifier: Apache-2.0
// What an image can run as, and how that is said. Pure functions over plain objects: tested in test/kinds.test.mjs.
import { bytes } from './format.js';

/** Container, machine, program: the word, one sentence to choose by, and what becomes different on a switch to it. */
export const KINDS = {
  container: { word: 'Container', badge: null, text: 'Fast and dense: shares the server’s kernel, starts at once, uses memory only as it needs it.',
    becomes: 'It shares the server’s kernel, starts at once and uses only the memory it needs.' },
  machine: { word: 'Machine', badge: 'machine', text: 'A kernel of its own, isolated from all else: takes longer to start and keeps its memory for itself.',
    becomes: 'It boots a kernel of its own: its start takes longer, and its memory is its own.' },
  process: { word: 'Program', badge: 'program', text: 'One program in a sandbox: it sees its own folder, and the network only where you allow it.',
    becomes: 'Its program alone runs, in a sandbox, without the services of a whole system.' },
};
const ORDER = ['container', 'machine', 'process'];

/**
 * The kinds an image can run as, the default first. A root file system is a machine's too, even one that was made before there were
 * machines (as the server has it); an image that says nothing at all is for containers.
 */
export const kindsOf = (image) => {
  const can = ORDER.filter((k) => image?.kinds?.includes(k) || (k === 'machine' && image?.format === 'rootfs' && image.kinds?.includes('container')));
  return can.length ? can : [{ disk: 'machine', iso: 'machine', program: 'process' }[image?.format] ?? 'container'];
};

/** An unmodified system needs a whole PC; a root file system starts on our own kernel. */
export const modelOf = (image) => (['disk', 'iso'].includes(image?.format) ? 'pc' : 'micro');

/** Whether a lean machine of this image lacks the kernel it would start from: an image of its own, built once. */
export const lacksKernel = (images, choice, kind) =>
  kind === 'machine' && modelOf(choice) === 'micro' && !(images ?? []).some((m) => m.format === 'kernel' && !isForeign(m.arch, choice.arch ?? m.arch));

/** An unmodified system on a PC is reached by its screen, its console and its network; where QEMU’s guest agent answers in it, its files too. */
export const isSealed = (i) => i.kind === 'machine' && i.model === 'pc';

/** Parts of the system itself (kernels) are nobody's computer. */
export const isPart = (image) => image?.format === 'kernel';

/** What is in an image, in a word or two. */
export function imageWord(m) {
  switch (m.format) {
    case 'disk':
      return 'whole disk';
    case 'iso':
      return 'installation disc';
    case 'program':
      return { wasm: 'WebAssembly program', java: 'Java program' }[m.runtime] ?? 'program';
    case 'kernel':
      return 'system part';
    default:
      return m.desktop ? 'desktop' : m.init === 'app' ? 'application' : 'system';
  }
}

/** What a computer of it has at least, where the image is a disk with a size of its own. */
export const diskNote = (m) => (m.format === 'disk' && m.disk > 0 ? `disk of ${bytes(m.disk)}` : '');

const ARCH = { x86_64: 'x86-64', amd64: 'x86-64', aarch64: 'ARM 64', arm64: 'ARM 64', riscv64: 'RISC-V 64', armv7l: 'ARM 32', i686: 'x86-32', ppc64le: 'POWER 64', s390x: 'IBM Z' };
/** What Debian is built for and QEMU runs well. */
export const ARCHS = ['x86_64', 'aarch64', 'riscv64', 'ppc64le', 's390x'];
const ALIAS = { amd64: 'x86_64', arm64: 'aarch64' };
const plain = (arch) => ALIAS[arch] ?? arch;
export const archWord = (arch) => ARCH[arch] ?? arch;
/** Whether a thing's architecture is not the server's own; unknown is not foreign. */
export const isForeign = (arch, serverArch) => !!arch && !!serverArch && plain(arch) !== plain(serverArch);

/** Short marks beside a name; nothing for the usual case, a container of the server's own architecture. */
export function badges(i, serverArch) {
  const list = [];
  const kind = KINDS[i.kind]?.badge;
  if (kind) list.push({ text: kind, title: KINDS[i.kind].text });
  if (isForeign(i.arch, serverArch)) list.push({ text: archWord(i.arch), title: foreignText(i.arch, serverArch) });
  return list;
}

export const foreignText = (arch, serverArch) => `For ${archWord(arch)} processors. This server’s are ${archWord(serverArch)}, so it is emulated and several times slower.`;

export const ACCELS = [['auto', 'KVM where the server has it, else emulation'], ['kvm', 'KVM: the processor’s own'], ['tcg', 'emulation: slow, runs anywhere']];
export const FIRMWARES = [['uefi', 'UEFI'], ['bios', 'BIOS (older systems)']];
export const HARDWARES = [['virtio', 'virtio (fast; Linux, BSD, prepared Windows)'], ['emulated', 'emulated SATA and Intel network (any system)']];
const wordOf = (list, value) => (list.find(([v]) => v === value)?.[1] ?? value)?.replace(/ \(.*/, '');

/** What a machine's hardware is, for its page: [label, text] pairs. */
export function machineFacts(i, serverArch) {
  if (i.kind !== 'machine') return [];
  const pc = i.model === 'pc';
  const facts = [['Hardware', pc ? `a whole PC, ${wordOf(HARDWARES, i.hardware)}` : 'a lean machine with Portena’s kernel']];
  if (pc) facts.push(['Firmware', `${wordOf(FIRMWARES, i.firmware)}${i.firmware !== 'bios' && i.secure_boot ? ', secure boot' : ''}${i.tpm ? ', TPM 2.0' : ''}`]);
  if (pc && i.state === 'running') facts.push(['Guest agent', i.agent ? 'answers: files, the right time, a polite stop' : 'none answers. For files, the right time and a polite stop, install qemu-guest-agent in it']);
  if (i.iso_name) facts.push(['Disc', `${i.iso_name}${i.boot_iso ? ', started from first' : ''}`]);
  const foreign = isForeign(i.arch, serverArch);
  facts.push(['Accelerator', foreign || i.accel === 'tcg' ? 'emulation' : i.accel === 'kvm' ? 'KVM' : 'KVM where the server has it, else emulation']);
  if (i.guest_cpus > 0) facts.push(['Its system has', `${i.guest_cpus === 1 ? 'one processor' : `${i.guest_cpus} processors`}, ${bytes(i.guest_memory)} memory`]);
  return facts;
}

/** What a person should know before a computer becomes another kind; a list of sentences. */
export function switchEffects(i, kind) {
  const list = [KINDS[kind].becomes, 'All files, its name, its address and who may use it stay.'];
  if (kind === 'machine' && !i.memory) list.push(`It has no limit of memory now, and a machine needs a size: it gets ${i.desktop ? '1 GiB' : '512 MiB'} unless you set one below.`);
  if (kind === 'machine' && i.memory > 0 && i.memory < 256 * 1024 ** 2) list.push('A machine needs memory for its kernel too: give it 256 MiB or more below.');
  if (kind === 'process') list.push('It has no network unless you allow it below.');
  return list;
}

/** Formats an upload may have: [id, words, file name endings]. The name's ending is a first guess; what the person says counts. */
export const FORMATS = [
  ['rootfs', 'Root file system (tar)', ['tar', 'tar.gz', 'tgz', 'tar.zst', 'tar.xz']],
  ['docker-archive', 'docker save', []],
  ['oci-archive', 'OCI archive', ['oci']],
  ['iso', 'Installation disc (ISO)', ['iso']],
  ['qcow2', 'Disk: QEMU (qcow2)', ['qcow2', 'qcow']],
  ['raw', 'Disk: raw', ['img', 'raw', 'dd']],
  ['vmdk', 'Disk: VMware (vmdk)', ['vmdk']],
  ['vdi', 'Disk: VirtualBox (vdi)', ['vdi']],
  ['vhdx', 'Disk: Hyper-V (vhdx)', ['vhdx']],
  ['vhd', 'Disk: Hyper-V, older (vhd)', ['vhd', 'vpc']],
  ['ova', 'Appliance (OVA)', ['ova']],
  ['program', 'Program (WebAssembly, Java, Linux)', ['wasm', 'jar']],
];
export const isDisk = (format) => ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx', 'vhd', 'ova'].includes(format);

/** "Debian 12 (x64).qcow2" → { format: "qcow2", name: "debian-12-x64" }; an unknown ending is a root file system's. */
export function guessUpload(file) {
  const lower = String(file).toLowerCase();
  const all = FORMATS.flatMap(([id, , ends]) => ends.map((e) => [id, `.${e}`])).sort((a, b) => b[1].length - a[1].length);
  const hit = all.find(([, e]) => lower.endsWith(e));
  const base = hit ? lower.slice(0, -hit[1].length) : lower.replace(/\.[a-z0-9]{1,5}$/, '');
  return { format: hit?.[0] ?? 'rootfs', name: base.replace(/[^a-z0-9._-]+/g, '-').replace(/-+/g, '-').replace(/^[-._]+|[-._]+$/g, '') };
}

/** What a disk can leave as: [format, words, for whom]. A disc stays a disc. */
export const exportFormats = (disc) => (disc ? [['iso', 'Disc (ISO)', 'The same bytes that came in.']] : [
  ['ova', 'Appliance (OVA)', 'VirtualBox and VMware import it whole, with its size and its network card.'],
  ['qcow2', 'QEMU (qcow2)', 'For QEMU, Proxmox and other Portenas; small.'],
  ['vmdk', 'VMware (vmdk)', 'The disk alone.'], ['vdi', 'VirtualBox (vdi)', 'The disk alone.'], ['vhdx', 'Hyper-V (vhdx)', 'The disk alone.'], ['vhd', 'Hyper-V, older (vhd)', 'The disk alone.'],
  ['raw', 'Raw', 'The disk, byte for byte; as large as the disk is.'],
]);

/** Whether the server offers an act for this instance. One that lists its acts is believed; else `usual` says. */
export const offers = (i, action, usual) => (Array.isArray(i.actions) ? i.actions.includes(action) : usual);
