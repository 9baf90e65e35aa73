// SPDX-License-Identifier: Apache-2.0
// Runs a WebAssembly module that was made for WASI preview 1: wasi.mjs MODULE [ARGUMENT]…
// Runs in a process instance's jail, never elsewhere: Node's WASI is no sandbox, and need not be one there.
// Exit status: the module's; 134 for a trap, 126 where it cannot be run at all.
import { readFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { WASI } from 'node:wasi';

const say = (text) => writeSync(2, `portena: ${text}\n`);
const [file, ...args] = process.argv.slice(2);

function load() {
  try {
    const module = new WebAssembly.Module(readFileSync(file));
    // "/" is the directory that relative names start from
    const wasi = new WASI({ version: 'preview1', args: [basename(file), ...args], env: process.env, returnOnExit: true,
      preopens: { '/': '/data', '/data': '/data', '/tmp': '/tmp', '/app': '/app' } });
    return [wasi, new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport })];
  } catch (error) {
    say(`${basename(file)}: ${error.message}`);
    process.exit(126);
  }
}

const [wasi, instance] = load();
try {
  process.exit(wasi.start(instance));
} catch (error) {
  say(`${basename(file)}: ${error instanceof WebAssembly.RuntimeError ? 'trap: ' : ''}${error.message}`);
  process.exit(134);
}
