// SPDX-License-Identifier: Apache-2.0
// Against a real server (PORTENA_URL …): a desktop is launched, typed in, copied from and into, resized; the terminal,
// the console, the files and the charts work. What it makes, it deletes. PORTENA_SPACE (home) is where.
import { spec, login, to, assert, shot, until, canvas, drawn } from './helper.mjs';
import { ask, fileIs, openTerminal, pressUntil, typeUntil } from './desk.mjs';

const SPACE = process.env.PORTENA_SPACE ?? 'home';
const NAME = `browser-test-${process.pid}`;
const path = `/v1/spaces/${SPACE}/instances/${NAME}`;

spec('a desktop is launched from the page and opens', { real: true }, async (page) => {
  await login(page, `#/new?space=${SPACE}`);
  await page.getByRole('radio', { name: /^desktop/ }).check();
  await page.getByText('More: name').click();
  await page.getByLabel('Name', { exact: true }).fill(NAME);
  const t = Date.now();
  await page.getByRole('button', { name: 'Start and open' }).click();
  await until(() => page.url().endsWith(`#/desktop/${SPACE}/${NAME}`), 'the desktop page opens by itself');
  await drawn(page);
  console.log(`# from the click to a drawn desktop ${Date.now() - t} ms`);
  await page.waitForTimeout(3000);
  await shot(page, 'real-desktop');
});

spec('typed on the canvas, done in the computer', { real: true }, async (page) => {
  await login(page, `#/desktop/${SPACE}/${NAME}`);
  await drawn(page);
  await openTerminal(page, path);
  const before = (await canvas(page)).sum;
  await typeUntil(page, path, 'echo "typed $((6*7))" > ~/typed; ls -la', '/home/user/typed', 'typed 42');
  await until(async () => (await canvas(page)).sum !== before, 'the picture changes');
  await shot(page, 'real-typed');
});

spec('the clipboard goes both ways', { real: true, context: { permissions: ['clipboard-read', 'clipboard-write'] } }, async (page) => {
  await login(page, `#/desktop/${SPACE}/${NAME}`);
  await drawn(page);
  await openTerminal(page, path);
  await page.getByRole('button', { name: 'Tools' }).click();
  await page.getByRole('button', { name: 'Clipboard', exact: true }).click();
  await page.getByLabel('Clipboard of the desktop').fill('echo "pasted grüße" > ~/pasted');
  await page.getByRole('button', { name: 'Send to the desktop' }).click();
  await page.keyboard.press('Escape');
  await page.locator('.desk-bar').waitFor({ state: 'detached' });
  const pasted = async () => (await ask(page, 'GET', `${path}/files?path=/home/user/pasted`)).text.trim() === 'pasted grüße';
  await pressUntil(page, ['Control+Shift+V', 'Enter'], pasted, 'what was copied here is pasted there', { shell: true });
  await typeUntil(page, path, 'clear; echo out-of-$((40+2))-here; touch ~/said', '/home/user/said', '');
  const copied = async () => /out-of-42-here/.test(await page.evaluate(() => navigator.clipboard.readText()));
  await pressUntil(page, ['Control+Shift+A', 'Control+Shift+C'], copied, 'what was copied there is here');
});

spec('the desktop follows the window, reconnects after the stream drops', { real: true }, async (page, context) => {
  await login(page, `#/desktop/${SPACE}/${NAME}`);
  await drawn(page);
  await until(async () => (await canvas(page)).width === 1280, 'the window’s width');
  const t = Date.now();
  await page.setViewportSize({ width: 1024, height: 700 });
  await until(async () => (await canvas(page)).width === 1024, 'it follows');
  console.log(`# resize ${Date.now() - t} ms`);
  await context.setOffline(true);
  await page.waitForTimeout(500);
  await context.setOffline(false);
  await drawn(page);
  await shot(page, 'real-resized');
});

spec('the terminal page: a shell with the right size; the console with its history', { real: true }, async (page) => {
  await login(page, `#/computer/${SPACE}/${NAME}/terminal`);
  const text = () => page.locator('.xterm-rows').innerText();
  await until(async () => /[$#]\s*$/m.test(await text()), 'a prompt');
  await page.keyboard.type('echo "sum $((20+22))"; stty size\r');
  await until(async () => /sum 42/.test(await text()), 'the answer');
  const size = await until(async () => /^(\d+) (\d+)\s*$/m.exec(await text()), 'its size');
  assert.ok(Number(size[2]) > 80, `${size[2]} columns`);
  await shot(page, 'real-terminal');
  await page.keyboard.type('exit 3\r');
  await page.getByText('exit code 3').waitFor();
  await to(page, `#/computer/${SPACE}/${NAME}/console`);
  await until(async () => (await text()).trim().length > 0, 'the console’s history');
  await shot(page, 'real-console');
});

spec('charts, processes, files and a thumbnail are there', { real: true }, async (page) => {
  await login(page, `#/computer/${SPACE}/${NAME}`);
  await page.locator('.chart canvas').first().waitFor();
  await until(async () => /\d/.test(await page.locator('.chart-now').first().textContent()), 'a sample');
  await page.locator('.hero img').waitFor();
  await shot(page, 'real-computer');
  await to(page, `#/computer/${SPACE}/${NAME}/processes`);
  await page.getByRole('cell', { name: /Xtigervnc/ }).first().waitFor();
  await shot(page, 'real-processes');
  await to(page, `#/computer/${SPACE}/${NAME}/files?path=/home/user`);
  await page.getByRole('link', { name: 'typed', exact: true }).waitFor();
  await page.locator('input[type=file]').setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('dear all\n') });
  await page.getByRole('link', { name: 'letter.txt', exact: true }).waitFor();
  await fileIs(page, path, '/home/user/letter.txt', 'dear all');
  await to(page, '#/');
  await page.getByRole('heading', { name: NAME }).waitFor();
  await page.waitForTimeout(3000);
  await shot(page, 'real-home');
});

spec('a limit changes while it runs; stopping and starting shows at once', { real: true }, async (page) => {
  await login(page, `#/computer/${SPACE}/${NAME}/settings`);
  await page.getByLabel('Memory', { exact: true }).fill('1536 MiB');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('✓ Applied').waitFor();
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await page.locator('.page-head .state').getByText('off').waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.locator('.page-head .state').getByText('running').waitFor();
});

spec('it is deleted, by its name', { real: true }, async (page) => {
  await login(page, `#/computer/${SPACE}/${NAME}/settings`);
  await page.getByRole('button', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox').fill(NAME);
  await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
  await until(async () => (await ask(page, 'GET', path)).status === 404, 'it is gone');
});

// One WASI program that writes a line: assembled from text once, 190 bytes.
const PROGRAM = 'AGFzbQEAAAABDAJgBH9/f38Bf2AAAAIjARZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxCGZkX3dyaXRlAAADAgEBBQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAEKDwENAEEBQQBBAUEIEAAaCwsoAgBBAAsIEAAAABUAAAAAQRALFWhlbGxvIGZyb20gYSBwcm9ncmFtCg==';

spec('a program is uploaded, runs in its sandbox without a network, and what it wrote is on its console', { real: true }, async (page) => {
  const name = `program-${process.pid}`;
  await login(page, '#/images');
  await page.getByRole('button', { name: 'Upload' }).click();
  const dialog = page.getByRole('dialog', { name: 'Upload an image' });
  await dialog.getByLabel('File').setInputFiles({ name: `${name}.wasm`, mimeType: 'application/wasm', buffer: Buffer.from(PROGRAM, 'base64') });
  await dialog.getByRole('button', { name: 'Upload' }).click();
  await page.getByText(`${name} is ready.`).waitFor();
  await page.getByRole('row', { name: new RegExp(`${name}.*WebAssembly program`) }).getByRole('link', { name: 'Use' }).click();
  await page.getByText('A program runs by itself in a sandbox').waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await until(() => page.url().endsWith(`#/computer/${SPACE}/${name}/console`), 'its console opens');
  const instance = `/v1/spaces/${SPACE}/instances/${name}`;
  await until(async () => (await ask(page, 'GET', `${instance}/logs`)).text.includes('hello from a program'), 'what it wrote');
  const made = JSON.parse((await ask(page, 'GET', instance)).text);
  assert.deepEqual([made.kind, made.offline], ['process', true]);
  await page.getByText('It has ended. This is what it wrote last.').waitFor();
  await page.getByRole('region', { name: `Last output of ${name}` }).getByText('hello from a program').waitFor();
  await shot(page, 'real-program');
  assert.ok((await ask(page, 'DELETE', `${instance}?force=true&wait=30`)).status < 300);
  await until(async () => (await ask(page, 'DELETE', `/v1/images/${name}`)).status < 300, 'its image goes too');
});
