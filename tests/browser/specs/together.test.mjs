// SPDX-License-Identifier: Apache-2.0
// What a space is for: a desktop as a container, the same image as a machine, systems for another architecture, a machine that left another
// server as an OVA, and a program, all in one space beside each other, each used in the browser. On a real server whose command line
// is here too (PORTENA_CLI: tests/lib/with_server.py tells it). What it makes, it deletes.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { spec, login, to, assert, shot, until, canvas } from './helper.mjs';
import { ask, openTerminal, pressUntil, typeUntil } from './desk.mjs';

const CLI = process.env.PORTENA_CLI;
const SPACE = `together-${process.pid}`;
const BOX = `box-${process.pid}`;
const ARCH = 'aarch64';
const run = promisify(execFile);
const portena = (...args) => run(CLI, args);
const instance = (name) => `/v1/spaces/${SPACE}/instances/${name}`;
const text = (page) => page.locator('.xterm-rows').innerText();
const colors = (page, n) => until(async () => ((await canvas(page))?.colors ?? 0) > n, 'it is drawn', 900000);

// Greets, then says what it is told, until there is no more of it.
const PROGRAM = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\15\\00\\00\\00") (data (i32.const 64) "hello from a program\\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (loop $more
      (i32.store (i32.const 0) (i32.const 128)) (i32.store (i32.const 4) (i32.const 1024))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)) (then (return)))
      (if (i32.eqz (i32.load (i32.const 16))) (then (return)))
      (i32.store (i32.const 4) (i32.load (i32.const 16)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $more))))`;

const here = (name, todo) => CLI && spec(name, { real: true }, todo);

here('all kinds are launched side by side in one space', async (page) => {
  const dir = mkdtempSync(join(tmpdir(), 'portena-together-'));
  try {
    execFileSync('/usr/bin/python3', [fileURLToPath(new URL('../../lib/disks.py', import.meta.url)), join(dir, 'box.ova')]);
    writeFileSync(join(dir, 'say.wat'), PROGRAM);
    execFileSync('wat2wasm', [join(dir, 'say.wat'), '-o', join(dir, `say-${process.pid}.wasm`)]);
    await portena('space', 'create', SPACE);
    await portena('image', 'import', join(dir, 'box.ova'), BOX);
    await portena('launch', 'desktop', 'machine', '--space', SPACE, '--kind', 'machine');
    await portena('launch', 'desktop', 'container', '--space', SPACE, '--kind', 'container');
    await portena('launch', 'debian', 'arm', '--space', SPACE, '--arch', ARCH);
    await portena('launch', BOX, 'box', '--space', SPACE, '--memory', '256M');
    await portena('launch', join(dir, `say-${process.pid}.wasm`), 'program', '--space', SPACE);
  } finally {
    rmSync(dir, { recursive: true });
  }
  await login(page, '#/');
  for (const name of ['machine', 'container', 'arm', 'box', 'program']) {
    const i = await until(async () => {
      const one = JSON.parse((await ask(page, 'GET', instance(name))).text);
      assert.notEqual(one.state, 'failed', one.error);
      return one.state === 'running' && one;
    }, `${name} runs`, 900000);
    assert.deepEqual([i.kind, i.arch], { machine: ['machine', 'x86_64'], container: ['container', 'x86_64'], arm: ['container', ARCH], box: ['machine', 'x86_64'], program: ['process', 'x86_64'] }[name]);
  }
});

here('the program has spoken on its console, and answers', async (page) => {
  await login(page, `#/computer/${SPACE}/program/console`);
  await until(async () => /hello from a program/.test(await text(page)), 'what it wrote');
  await page.keyboard.type('say this again\r');
  await until(async () => (await text(page)).split('\n').filter((l) => /say this again/.test(l)).length === 2, 'the echo of the terminal, and its own');
  await shot(page, 'together-program');
});

here('the system of another architecture is used by its terminal', async (page) => {
  await login(page, `#/computer/${SPACE}/arm/terminal`);
  await until(async () => /[$#]\s*$/.test((await text(page)).trimEnd()), 'a prompt', 900000);
  await page.keyboard.type('uname -m\r');
  await until(async () => (await text(page)).split('\n').some((l) => l.trim() === ARCH), 'what it says it is');
  await shot(page, 'together-arm');
});

here('the machine from the OVA shows its screen, and takes keys there', async (page) => {
  await login(page, `#/desktop/${SPACE}/box`);
  await colors(page, 100);
  await pressUntil(page, [...'typed'], async () => /typed/.test((await ask(page, 'GET', `${instance('box')}/logs`)).text), 'what was typed comes out of its serial port');
  await shot(page, 'together-box');
});

for (const [name, delay] of [['container', 10], ['machine', 150]])
  here(`the desktop that is a ${name} is drawn, and typed into`, async (page) => {
    await login(page, `#/desktop/${SPACE}/${name}`);
    await colors(page, 8);
    await openTerminal(page, instance(name));
    await typeUntil(page, instance(name), 'echo "typed $((6*7)) in $(uname -n)" > ~/typed', '/home/user/typed', `typed 42 in ${name}`, delay);
    await shot(page, `together-${name}`);
  });

here('all of it stands on one page, and goes', async (page) => {
  await login(page, '#/');
  const names = ['machine', 'container', 'arm', 'box', 'program'];
  for (const name of names) await page.getByRole('heading', { name, exact: true }).waitFor();
  await page.locator('.card img').nth(2).waitFor(); // three have a screen, and each a picture
  await shot(page, 'together');
  await Promise.all(names.map((n) => portena('delete', n, '--space', SPACE, '--force')));
  await portena('space', 'delete', SPACE);
  await portena('image', 'delete', BOX);
  await portena('image', 'delete', `program/say-${process.pid}.wasm`);
  await to(page, '#/spaces');
  await until(async () => (await ask(page, 'GET', `/v1/spaces/${SPACE}`)).status === 404, 'its space is gone');
});
