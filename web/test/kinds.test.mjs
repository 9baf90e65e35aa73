// SPDX-License-Identifier: Apache-2.0
import test from 'node:test';
import assert from 'node:assert/strict';
import * as k from '../src/lib/kinds.js';
import { FRESH, HARDWARE, specOf } from '../src/lib/spec.js';

test('the kinds an image can run as, the default first', () => {
  assert.deepEqual(k.kindsOf({ kinds: ['machine', 'container'] }), ['container', 'machine']);
  assert.deepEqual(k.kindsOf({ kinds: ['machine'] }), ['machine']);
  assert.deepEqual(k.kindsOf({ kinds: ['container'] }), ['container']);
  assert.deepEqual(k.kindsOf({ kinds: ['container'], format: 'rootfs' }), ['container', 'machine']);
  assert.deepEqual(k.kindsOf({}), ['container']);
  assert.deepEqual(k.kindsOf({ kinds: [], format: 'iso' }), ['machine']);
  assert.deepEqual(k.kindsOf({ kinds: ['hologram'], format: 'program' }), ['process']);
  assert.deepEqual(['rootfs', 'disk', 'iso', undefined].map((format) => k.modelOf({ format })), ['micro', 'pc', 'pc', 'micro']);
});

test('badges: the usual is not said; another architecture is said to be emulated', () => {
  assert.deepEqual(k.badges({ kind: 'container', arch: 'x86_64' }, 'x86_64'), []);
  assert.deepEqual(k.badges({ kind: 'machine' }, 'x86_64').map((b) => b.text), ['machine']);
  const both = k.badges({ kind: 'process', arch: 'aarch64' }, 'x86_64');
  assert.deepEqual(both.map((b) => b.text), ['program', 'ARM 64']);
  assert.match(both[1].title, /emulated and several times slower/);
  for (const [a, b, want] of [['amd64', 'x86_64', false], ['arm64', 'aarch64', false], [null, 'x86_64', false], ['riscv64', undefined, false], ['riscv64', 'x86_64', true]])
    assert.equal(k.isForeign(a, b), want, `${a} on ${b}`);
});

test('what a machine is made of, and nothing of what it has not', () => {
  assert.deepEqual(k.machineFacts({ kind: 'container' }), []);
  const micro = Object.fromEntries(k.machineFacts({ kind: 'machine', model: 'micro', accel: 'auto', firmware: 'uefi', hardware: 'virtio' }));
  assert.deepEqual(Object.keys(micro), ['Hardware', 'Accelerator']);
  const pc = Object.fromEntries(k.machineFacts({ kind: 'machine', model: 'pc', accel: 'tcg', firmware: 'uefi', secure_boot: true, tpm: true, hardware: 'emulated', iso_name: 'setup', boot_iso: true }));
  assert.equal(pc.Firmware, 'UEFI, secure boot, TPM 2.0');
  assert.equal(pc.Disc, 'setup, started from first');
  assert.equal(pc.Accelerator, 'emulation');
  assert.equal(pc['Guest agent'], undefined);
  for (const [agent, want] of [[true, /^answers/], [false, /install qemu-guest-agent/]])
    assert.match(Object.fromEntries(k.machineFacts({ kind: 'machine', model: 'pc', state: 'running', agent }))['Guest agent'], want);
  assert.match(micro.Accelerator, /^KVM where/);
  assert.equal(Object.fromEntries(k.machineFacts({ kind: 'machine', model: 'micro', accel: 'auto', arch: 'aarch64' }, 'x86_64')).Accelerator, 'emulation');
  assert.equal(Object.fromEntries(k.machineFacts({ kind: 'machine', model: 'pc', firmware: 'bios', secure_boot: true })).Firmware, 'BIOS');
});

test('a file name suggests a format and a name', () => {
  const cases = [
    ['Debian 12 (x64).qcow2', 'qcow2', 'debian-12-x64'], ['setup.ISO', 'iso', 'setup'], ['root.tar.gz', 'rootfs', 'root'], ['a.tgz', 'rootfs', 'a'], ['Win.vhdx', 'vhdx', 'win'], ['old.vhd', 'vhd', 'old'],
    ['appliance-2.1.ova', 'ova', 'appliance-2.1'], ['hello.wasm', 'program', 'hello'], ['app.jar', 'program', 'app'], ['disk.img', 'raw', 'disk'], ['what.ever', 'rootfs', 'what'], ['--x--.vdi', 'vdi', 'x'],
  ];
  for (const [file, format, name] of cases) assert.deepEqual(k.guessUpload(file), { format, name }, file);
  assert.equal(new Set(k.FORMATS.map(([id]) => id)).size, k.FORMATS.length);
});

test('a switch of kind says what changes, and what does not', () => {
  const to = (kind, memory) => k.switchEffects({ memory }, kind).join(' ');
  for (const kind of ['container', 'machine', 'process']) assert.match(to(kind, 2 ** 31), /All files, its name, its address/);
  assert.match(to('machine', 0), /no limit of memory/);
  assert.match(to('machine', 2 ** 26), /256 MiB or more/);
  assert.doesNotMatch(to('container', 0), /memory now/);
});

test('an act the server does not list is not offered', () => {
  assert.equal(k.offers({}, 'hibernate', false), false);
  assert.equal(k.offers({}, 'pause', true), true);
  assert.equal(k.offers({ actions: ['stop'] }, 'pause', true), false);
  assert.equal(k.offers({ actions: ['hibernate'] }, 'hibernate', false), true);
});

test('what is in an image, in a word', () => {
  assert.deepEqual([{ desktop: true }, { init: 'app' }, { init: 'system' }, { format: 'disk' }, { format: 'iso' }, { format: 'program', runtime: 'wasm' }, { format: 'program', runtime: 'native' }, { format: 'kernel' }].map(k.imageWord),
    ['desktop', 'application', 'system', 'whole disk', 'installation disc', 'WebAssembly program', 'program', 'system part']);
  assert.equal(k.diskNote({ format: 'disk', size: 2 ** 30, disk: 20 * 2 ** 30 }), 'disk of 20 GiB');
  assert.equal(k.diskNote({ format: 'rootfs', size: 2 ** 30 }), '');
});

test('what the form for a new computer asks for', () => {
  const GiB = 2 ** 30;
  const size = { cpu: 2, memory: 2 * GiB, disk: 20 * GiB };
  const ask = (choice, kind, more = {}, hw = {}) => specOf({ choice, kind, size, more: { ...FRESH, ...more }, hw: { ...HARDWARE, ...hw } });
  assert.deepEqual(ask({ format: 'rootfs' }, 'container'), { ...size, kind: 'container' });
  assert.deepEqual(ask({ format: 'rootfs' }, 'container', { network: false, ports: '80:80' }), { ...size, kind: 'container', offline: true });
  assert.deepEqual(ask({ format: 'rootfs' }, 'machine', { init: 'app' }, { cpu: '1,5', memory: '3 GiB', accel: 'tcg', tpm: true }), { cpu: 1.5, memory: 3 * GiB, disk: size.disk, kind: 'machine', model: 'micro', accel: 'tcg', init: 'app' });
  assert.deepEqual(ask({ format: 'program' }, 'process'), { ...size, kind: 'process', offline: true });
  assert.deepEqual(ask({ format: 'program' }, 'process', { network: true }), { ...size, kind: 'process', offline: false });
  assert.deepEqual(ask({ format: 'iso' }, 'machine', { command: 'not for a pc', env: 'A=1' }, { tpm: true, secure: true, hardware: 'emulated' }), { ...size, kind: 'machine', model: 'pc', hardware: 'emulated', tpm: true, secure_boot: true });
  assert.deepEqual(ask({ format: 'disk', disk: 32 * GiB, firmware: 'bios' }, 'machine', {}, { secure: true, iso: 'drivers', boot: true, keys: 'ssh-ed25519 AAAA anna\n\n ssh-rsa BBBB ben \n', told: '#cloud-config\n{}\n' }), { ...size, disk: 32 * GiB, kind: 'machine', model: 'pc', iso_name: 'drivers', boot_iso: true, ssh_keys: ['ssh-ed25519 AAAA anna', 'ssh-rsa BBBB ben'], user_data: '#cloud-config\n{}\n' });
  assert.deepEqual(ask({ format: 'iso', hardware: 'emulated' }, 'machine', {}, { hardware: 'virtio' }), { ...size, kind: 'machine', model: 'pc', hardware: 'virtio' });
  assert.throws(() => ask({}, 'machine', {}, { cpu: 'many' }), /Processors: write a number/);
  assert.throws(() => ask({}, 'machine', {}, { memory: 'lots' }), /Memory: write a size/);
  assert.throws(() => ask({}, 'container', { command: '"open' }), /quotation mark/);
});

test('a lean machine needs a kernel for its architecture', () => {
  const kernel = [{ format: 'kernel', arch: 'x86_64' }, { format: 'rootfs', arch: 'aarch64' }];
  assert.equal(k.lacksKernel(kernel, { arch: 'x86_64' }, 'machine'), false);
  assert.equal(k.lacksKernel(kernel, { arch: 'aarch64' }, 'machine'), true);
  assert.equal(k.lacksKernel([], { arch: 'x86_64' }, 'machine'), true);
  assert.equal(k.lacksKernel([], { arch: 'x86_64' }, 'container'), false);
  assert.equal(k.lacksKernel([], { format: 'iso' }, 'machine'), false);
});
