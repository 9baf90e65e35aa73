// SPDX-License-Identifier: Apache-2.0
// What the specs share. Against the mock by default; against a real server with PORTENA_URL, PORTENA_USER and
// PORTENA_PASSWORD. Every page is watched: a violation of the content security policy, a request to another host, an
// exception in a script, each fails the test. Screenshots go to PORTENA_ARTIFACTS, or artifacts/.
import { chromium } from 'playwright-core';
import { after, test as nodeTest } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import { ARGS, CHROMIUM } from '../browser.mjs';
import { startMock } from '../mock.mjs';

export const real = !!process.env.PORTENA_URL;
export const USER = process.env.PORTENA_USER ?? 'anna';
export const PASSWORD = process.env.PORTENA_PASSWORD ?? 'correct horse';
const ARTIFACTS = process.env.PORTENA_ARTIFACTS ?? 'artifacts';
mkdirSync(ARTIFACTS, { recursive: true });
// A bound is for what never comes, and costs nothing where it does: none is a measure of speed, however busy the machine.
const PATIENCE = 120000;

const traffic = new WeakMap(); // of each page: see calm()
export const it = { mock: null, browser: null, url: process.env.PORTENA_URL?.replace(/\/$/, '') };

after(async () => {
  await it.browser?.close();
  await it.mock?.close();
});

/** A page with watchers. `run(page)` gets it; afterwards what the watchers saw must be nothing. */
export async function withPage(options, run) {
  // With the first test and not in a hook of the file: in a file that has no test in this world the hook that closes it is never run, and the open browser keeps the process alive.
  it.browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ARGS, slowMo: Number(process.env.PORTENA_SLOW_MO ?? 0) });
  if (!real) {
    await it.mock?.close();
    it.mock = await startMock({ samples: 700 });
    it.url = it.mock.url;
  }
  const context = await it.browser.newContext({ viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true, permissions: [], ...options.context });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  if (process.env.PORTENA_THROTTLE) await (await context.newCDPSession(page)).send('Emulation.setCPUThrottlingRate', { rate: Number(process.env.PORTENA_THROTTLE) });
  const seen = [];
  const host = new URL(it.url).host;
  context.on('request', (r) => {
    const u = new URL(r.url());
    if (!['data:', 'blob:', 'about:'].includes(u.protocol) && u.host !== host) seen.push(`request to ${u.host}`);
  });
  page.on('websocket', (w) => { if (new URL(w.url()).host !== host) seen.push(`websocket to ${w.url()}`); });
  page.on('pageerror', (e) => seen.push(`exception: ${e.stack}`));
  page.on('console', (m) => { if (/Content Security Policy|violates/i.test(m.text())) seen.push(`policy: ${m.text()}`); });
  const open = new Set(); // requests without an answer yet
  const ended = new Map(); // and for each address, when it was last asked for or answered
  traffic.set(page, { open, ended });
  page.on('request', (r) => { open.add(r); ended.set(r.url(), Date.now()); });
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (r) => { open.delete(r); ended.set(r.url(), Date.now()); });
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (e) => console.error(`Content Security Policy: ${e.violatedDirective} ${e.blockedURI}`));
    // What stood on the page for a moment only: passed() asks.
    window.stood = new Set();
    const keep = (e) => {
      if (e.matches('[role=progressbar]')) window.stood.add('a progress bar');
      if (e.textContent.length < 400) window.stood.add(e.textContent.trim());
      for (const inner of e.children) keep(inner);
    };
    new MutationObserver((records) => {
      for (const r of records) {
        if (r.target.parentElement && r.type === 'characterData') keep(r.target.parentElement);
        for (const n of r.addedNodes) if (n.nodeType === 1) keep(n);
        if (r.target.nodeType === 1 && r.type === 'childList' && r.target.textContent.length < 400) window.stood.add(r.target.textContent.trim());
      }
    }).observe(document, { childList: true, characterData: true, subtree: true });
  });
  try {
    await run(page, context);
    assert.deepEqual(seen, []);
  } catch (e) {
    await shot(page, `failed-${options.name.replace(/[^a-z0-9]+/gi, '-').slice(0, 60)}`).catch(() => {});
    throw e;
  } finally {
    await context.close();
  }
}

/** A test with a page of its own. Options: { mock: only there, real: only there, context }. One that belongs to the other world
 * is not part of this run. */
export function spec(name, options, run) {
  if (real ? options.mock : options.real) return;
  nodeTest(name, { timeout: 1800000 }, () => withPage({ ...options, name }, run));
}

export const shot = (page, name) => page.screenshot({ path: `${ARTIFACTS}/${name}.png` });

export async function login(page, hash = '', user = USER, password = PASSWORD) {
  await page.goto(`${it.url}/${hash}`);
  await page.getByLabel('User', { exact: true }).fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.login').waitFor({ state: 'detached' });
}

/** To another page of the console, as by a link. */
export async function to(page, hash) {
  await page.evaluate((h) => { location.hash = h; }, hash);
  await page.waitForTimeout(50);
}

/** Waits until fn() (run here) is true. One that throws, as on a page that is just going, is asked again. */
export async function until(fn, what, ms = PATIENCE) {
  const end = Date.now() + ms;
  let wrong = null;
  while (Date.now() < end) {
    try {
      const last = await fn();
      if (last) return last;
      wrong = null;
    } catch (e) {
      wrong = e;
    }
    await new Promise((ok) => setTimeout(ok, 50));
  }
  return assert.fail(`not within ${ms / 1000} s: ${what}${wrong ? ` (${wrong.message})` : ''}`);
}

/** Waits until fn() gives this, to the last field, and tells what it gave where it never does: for all that a page shows a moment after it was asked to. */
export async function gives(fn, want, what = '') {
  let got;
  const same = async () => {
    got = await fn();
    return isDeepStrictEqual(got, want);
  };
  await until(same, what || 'as wanted').catch((e) => assert.deepStrictEqual(got, want, e.message));
}

/** Waits until this stands on the page or has stood there since it was loaded: for what passes by. */
export const passed = (page, text) => until(() => page.evaluate((t) => [...window.stood].some((s) => s.includes(t)), text), `“${text}” is said`);

/** Waits until the page has asked the server for nothing for so long; pictures of running computers, which are asked for with each sample, only
 * count with `all`. */
export async function calm(page, ms = 2000, { all = false } = {}) {
  const since = Date.now();
  const counts = ([url]) => !/\/v1\/events/.test(url) && (all || !/\/thumbnail|\/healthz/.test(url));
  await until(() => {
    const last = Math.max(since, ...[...traffic.get(page).ended].filter(counts).map(([, when]) => when));
    return ![...traffic.get(page).open].some((r) => counts([r.url()])) && Date.now() - last > ms;
  }, 'the page asks for nothing more');
}

/** The desktop's picture: width, height, and how many colours a coarse look finds (0: nothing is drawn). */
export const canvas = (page) => page.evaluate(() => {
  const c = document.querySelector('.desk-screen canvas');
  if (!c || !c.width) return null;
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  const colors = new Set();
  let sum = 0;
  for (let i = 0; i < d.length; i += 4 * 97) {
    colors.add((d[i] << 16) | (d[i + 1] << 8) | d[i + 2]);
    sum = (sum * 31 + d[i] + d[i + 1] * 3 + d[i + 2] * 7) >>> 0;
  }
  return { width: c.width, height: c.height, colors: colors.size, sum };
});

export const drawn = (page) => until(async () => ((await canvas(page))?.colors ?? 0) > 8, 'the desktop is drawn');
/** What fn() finds, asked again for a while where it finds something: what a page shows in passing, as while its data come, is no fault of it. */
export async function lasting(fn) {
  for (const end = Date.now() + 10000; ;) {
    const found = await fn();
    if (!found.length || Date.now() > end) return found;
    await new Promise((ok) => setTimeout(ok, 250));
  }
}

let axe = null;
/** What axe finds wrong with the page as it stands, one sentence each. */
export async function flaws(page) {
  axe ??= readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.emulateMedia({ reducedMotion: 'reduce' }); // what fades in has no contrast yet
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
  return found.violations.map((v) => `${v.id} (${v.impact}) ${v.nodes.slice(0, 2).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join('; ')}`);
}
export { assert };
