// SPDX-License-Identifier: Apache-2.0
// What a person in the browser waits for, taken by the browser's own clock, through the real gateway and page (PORTENA_URL …):
//   desktop_ms  from the click on “Start and open” to the first full frame: the first after which 97 of 100 sampled points
//               of the canvas look as they do seconds later, when all is drawn
//   key_ms      from the input event of a key to the next time noVNC paints into the visible canvas, the editor in front
//   key_terminal_ms  the same in the terminal, whose library gathers output for some 25 ms before it draws (VTE's own timers)
// Prints JSON. What it makes, it deletes.
import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';
import { ARGS, CHROMIUM } from '../browser/browser.mjs';

const { chromium } = createRequire(new URL('../browser/package.json', import.meta.url))('playwright-core');
const { PORTENA_URL: URL_, PORTENA_USER: USER, PORTENA_PASSWORD: PASSWORD, PORTENA_CLI: CLI } = process.env;
const ROUNDS = Number(process.env.PORTENA_ROUNDS ?? 5);
const KEYS = 50;
const SETTLED = 6000; // ms after the first paint; XFCE has long been drawn then

const cli = (...args) => execFileSync(CLI, args, { encoding: 'utf8' });
const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

/** In the page, before its own scripts: samples the desktop's canvas at each frame, and notes when something is painted. */
function watch() {
  const bench = { frames: [], painted: [], keys: [], click: 0, sampling: false };
  globalThis.bench = bench;
  const small = document.createElement('canvas');
  small.width = 64;
  small.height = 40;
  const pen = small.getContext('2d', { willReadFrequently: true });
  const visible = (c) => c instanceof HTMLCanvasElement && c.isConnected && c.closest('.desk-screen');
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  let dirty = false;
  CanvasRenderingContext2D.prototype.drawImage = function drawImage(...args) {
    draw.apply(this, args);
    if (visible(this.canvas)) {
      bench.painted.push(performance.now());
      dirty = true;
    }
  };
  const frame = () => {
    const c = document.querySelector('.desk-screen canvas');
    if (bench.sampling && dirty && c?.width) {
      const at = performance.now();
      dirty = false;
      pen.clearRect(0, 0, small.width, small.height); // a canvas not drawn yet is transparent, and hides nothing of the one before
      draw.call(pen, c, 0, 0, small.width, small.height);
      bench.frames.push({ at, points: pen.getImageData(0, 0, small.width, small.height).data });
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  addEventListener('click', (e) => { bench.click = e.timeStamp; }, true);
  addEventListener('keydown', (e) => { bench.keys.push(e.timeStamp); }, true);
}

/** In the page: how long after the click the picture was that of the last frame, but for 3 of 100 points (a clock, a cursor). */
function fullFrame() {
  const { frames, click } = globalThis.bench;
  const last = frames.at(-1).points;
  const near = (f) => {
    let same = 0;
    for (let i = 0; i < last.length; i += 4) same += Math.abs(f[i] - last[i]) + Math.abs(f[i + 1] - last[i + 1]) + Math.abs(f[i + 2] - last[i + 2]) < 24;
    return same * 4 / last.length;
  };
  const done = frames.find((f) => near(f.points) >= 0.97);
  return { full: done.at - click, first: frames[0].at - click, colours: new Set(new Uint32Array(last.buffer)).size };
}

async function launch(page, name) {
  await page.goto(`${URL_}/#/new?space=home`);
  await page.getByRole('radio', { name: /^desktop/ }).check();
  await page.getByText('More: name').click();
  await page.getByLabel('Name', { exact: true }).fill(name);
  await sleep(300);
  await page.evaluate(() => { globalThis.bench.frames = []; globalThis.bench.sampling = true; });
  await page.getByRole('button', { name: 'Start and open' }).click();
  await page.waitForFunction(() => globalThis.bench.frames.length > 0, null, { timeout: 120000 });
  await sleep(SETTLED);
  const seen = await page.evaluate(fullFrame);
  await page.evaluate(() => { globalThis.bench.sampling = false; globalThis.bench.frames = []; });
  if (seen.colours < 16) throw new Error(`the desktop is not drawn: ${seen.colours} colours`);
  return seen;
}

async function typing(page, name, program) {
  cli('exec', name, '--user', 'user', '--', 'sh', '-c', `DISPLAY=:1 setsid ${program} >/dev/null 2>&1 &`);
  await sleep(3000);
  await page.locator('.desk-screen canvas').click({ position: { x: 640, y: 400 } });
  const times = [];
  for (let i = 0; i < KEYS + 5; i++) {
    await sleep(120 + (i * 37) % 60); // not in step with the cursor's blinking
    await page.evaluate(() => { globalThis.bench.painted = []; globalThis.bench.keys = []; });
    await page.keyboard.press('abcdefghij'[i % 10]);
    await sleep(80);
    const took = await page.evaluate(() => {
      const [key] = globalThis.bench.keys;
      return globalThis.bench.painted.find((t) => t > key) - key;
    });
    if (i >= 5 && took > 0) times.push(took); // the first ones warm up
  }
  if (times.length < KEYS * 0.9) throw new Error(`only ${times.length} of ${KEYS} keys were seen on the canvas`);
  return times;
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  await page.addInitScript(watch);
  await page.goto(`${URL_}/`);
  await page.getByLabel('User', { exact: true }).fill(USER);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.login').waitFor({ state: 'detached' });
  const seen = [];
  for (let n = 0; n <= ROUNDS; n++) { // the first is the cold one: the page cache, the browser's own
    seen.push(await launch(page, `bench-desktop-${n}`));
    if (n < ROUNDS) cli('delete', `bench-desktop-${n}`, '--force');
  }
  const editor = await typing(page, `bench-desktop-${ROUNDS}`, 'mousepad');
  const terminal = await typing(page, `bench-desktop-${ROUNDS}`, 'xfce4-terminal --maximize --hide-menubar');
  if (process.env.PORTENA_SHOT) await page.screenshot({ path: process.env.PORTENA_SHOT });
  console.log(JSON.stringify({ desktop_ms: seen.slice(1).map((s) => s.full), first_paint_ms: seen.slice(1).map((s) => Math.round(s.first)),
    cold_ms: Math.round(seen[0].full), key_ms: editor, key_terminal_ms: terminal }));
} finally {
  await browser.close();
  for (const name of cli('list', '-q').split('\n').filter((n) => n.startsWith('bench-desktop-'))) cli('delete', name, '--force');
}
