// SPDX-License-Identifier: Apache-2.0
// What the specs against a real server do at a desktop: open its terminal, type, and look in the guest for what came of it.
import { until, canvas } from './helper.mjs';

const TRY = 20000; // ms, then the click or the line is made again: on a desktop that is still coming up the first may be lost
const EVER = 600000;

/** A request with the page's own session: { status, text }. */
export const ask = (page, method, url) => page.evaluate(async ([m, u]) => {
  const r = await fetch(u, { method: m, headers: { 'X-Portena': '1' } });
  return { status: r.status, text: await r.text() };
}, [method, url]);

/** Acts again and again, each time with some patience, until it is so. */
async function insist(act, so, what) {
  let due = 0;
  return until(async () => {
    if (await so()) return true;
    if (Date.now() > due) {
      await act();
      due = Date.now() + TRY;
    }
    return false;
  }, what, EVER);
}

const holds = async (page, instance, file, want) => {
  const r = await ask(page, 'GET', `${instance}/files?path=${encodeURIComponent(file)}`);
  return r.status === 200 && r.text.trim() === want;
};
export const fileIs = (page, instance, file, want) => until(() => holds(page, instance, file, want), `${file} holds “${want}”`);

async function shells(page, instance) {
  const r = await ask(page, 'GET', `${instance}/processes`);
  if (r.status !== 200) return 0;
  const { items } = JSON.parse(r.text);
  const windows = new Set(items.filter((p) => /xfce4-terminal/.test(p.command)).map((p) => p.pid));
  return items.filter((p) => windows.has(p.ppid) && /bash/.test(p.command)).length;
}

/** Opens a terminal by its launcher, the fourth in the panel at the bottom; returns when a shell runs in it. */
export async function openTerminal(page, instance) {
  const before = await shells(page, instance);
  await insist(async () => {
    const { width, height } = await canvas(page);
    await page.locator('.desk-screen canvas').click({ position: { x: 168, y: height - 22 } });
    await page.mouse.move(width - 100, 150);
  }, async () => await shells(page, instance) > before, 'a shell runs in a terminal');
}

/** Gives up what stands on the shell's line. What is typed before it has done so goes with it, so there is a pause. */
async function freshLine(page) {
  await page.keyboard.press('Control+c');
  await page.waitForTimeout(1500);
}

/** Types a line into the terminal that has the keys, until the file in the guest holds what is wanted. */
export function typeUntil(page, instance, line, file, want, delay = 10) {
  let tries = 0;
  return insist(async () => {
    if (tries++) await freshLine(page);
    await page.keyboard.type(`${line}\n`, { delay });
  }, () => holds(page, instance, file, want), `${file} holds “${want}”`);
}

/** Presses the keys, a moment apart, until it is so; with `shell`, on a line that is empty again each time. */
export function pressUntil(page, keys, so, what, { shell = false } = {}) {
  let tries = 0;
  return insist(async () => {
    if (shell && tries++) await freshLine(page);
    for (const k of keys) {
      await page.keyboard.press(k);
      await page.waitForTimeout(300);
    }
  }, so, what);
}
