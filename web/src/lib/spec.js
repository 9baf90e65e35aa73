// SPDX-License-Identifier: Apache-2.0
// What the form for a new computer asks of the server. Pure: tested in test/kinds.test.mjs.
import { parseCommand, parseEnv, parsePorts, parseSize } from './format.js';
import { modelOf } from './kinds.js';

/** The form as it is before anything is touched. Empty is as the image has it. */
export const FRESH = { init: '', command: '', env: '', ports: '', autostart: true, network: null };
export const HARDWARE = { cpu: '', memory: '', firmware: '', hardware: '', accel: 'auto', tpm: false, secure: false, iso: '', boot: false, keys: '', told: '' };

/** A disk that comes with a size of its own is never smaller. */
export const sizeFor = (size, choice) => ({ ...size, disk: Math.max(size.disk, choice?.disk ?? 0) });

/** A program has a network only where that is asked for; everything else has one unless that is unasked. */
export const networkOf = (kind, more) => more.network ?? kind !== 'process';

/** The request's body without name and image. Throws a sentence for what is wrong. */
export function specOf({ choice, kind, size, more, hw }) {
  const spec = { ...sizeFor(size, choice), kind };
  const pc = kind === 'machine' && modelOf(choice) === 'pc';
  if (kind === 'machine') Object.assign(spec, hardwareOf(choice, hw, pc));
  if (more.init && kind !== 'process' && !pc) spec.init = more.init;
  if (more.command.trim() && !pc) {
    spec.command = parseCommand(more.command);
    if (!spec.command) throw new Error('The command has a quotation mark that is not closed.');
  }
  if (more.env.trim() && !pc) {
    spec.env = parseEnv(more.env);
    if (!spec.env) throw new Error('Each line of the environment is NAME=value.');
  }
  const offline = !networkOf(kind, more);
  if (more.ports.trim() && !offline) spec.ports = parsePorts(more.ports);
  if (!more.autostart) spec.autostart = false;
  if (offline || kind === 'process') spec.offline = offline;
  return spec;
}

function hardwareOf(choice, hw, pc) {
  const spec = { model: modelOf(choice) };
  if (hw.accel !== 'auto') spec.accel = hw.accel;
  if (hw.cpu.trim()) {
    spec.cpu = Number(hw.cpu.replace(',', '.'));
    if (!(spec.cpu > 0)) throw new Error('Processors: write a number, like 2.');
  }
  if (hw.memory.trim()) {
    spec.memory = parseSize(hw.memory);
    if (!spec.memory) throw new Error('Memory: write a size, like 2 GiB or 512M.');
  }
  if (!pc) return spec;
  const firmware = hw.firmware || choice.firmware;
  if (hw.firmware) spec.firmware = hw.firmware;
  if (hw.hardware) spec.hardware = hw.hardware;
  if (hw.tpm) spec.tpm = true;
  if (hw.secure && firmware !== 'bios') spec.secure_boot = true;
  if (choice.format !== 'iso' && hw.iso) spec.iso_name = hw.iso;
  if ((choice.format === 'iso' || hw.iso) && hw.boot) spec.boot_iso = true;
  if (choice.format === 'iso') return spec; // its installer asks for all that
  const keys = hw.keys.split('\n').map((l) => l.trim()).filter(Boolean);
  if (keys.length) spec.ssh_keys = keys;
  if (hw.told.trim()) spec.user_data = hw.told;
  return spec;
}
