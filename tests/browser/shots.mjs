// SPDX-License-Identifier: Apache-2.0
// Pictures of every page, dark and light, wide and narrow, from the mock:  node shots.mjs [DIR] [FILTER]
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';
import { startMock } from './mock.mjs';
import { ARGS, CHROMIUM } from './browser.mjs';

const dir = process.argv[2] ?? 'artifacts/shots';
const filter = new RegExp(process.argv[3] ?? '.');
mkdirSync(dir, { recursive: true });
const PAGES = [
  ['login', null], ['home', '#/'], ['new', '#/new'], ['new-kind', '#/new?image=debian', (p) => p.getByRole('button', { name: /^Machine/ }).click()],
  ['new-disc', '#/new?image=fedora-42', async (p) => { await p.click('text=Machine: processors'); await p.getByLabel('Firmware').scrollIntoViewIfNeeded(); }],
  ['machine', '#/computer/home/ledger'], ['pc', '#/computer/home/old-office'], ['settings-kind', '#/computer/home/attic/settings', (p) => p.getByRole('radio', { name: /^Machine/ }).check()],
  ['settings-pc', '#/computer/home/old-office/settings'], ['upload', '#/images', (p) => p.getByRole('button', { name: 'Upload' }).click()], ['desktop', '#/desktop/home/studio'], ['desktop-bar', '#/desktop/home/studio', (p) => p.click('.desk-handle')],
  ['desktop-clip', '#/desktop/home/studio', async (p) => { await p.click('.desk-handle'); await p.click('text=Clipboard'); }],
  ['desktop-off', '#/desktop/home/attic'], ['computer', '#/computer/home/studio'], ['terminal', '#/computer/home/studio/terminal'], ['console', '#/computer/home/studio/console'],
  ['files', '#/computer/home/studio/files?path=/home/user'], ['processes', '#/computer/home/studio/processes'], ['network', '#/computer/home/studio/network'],
  ['settings', '#/computer/home/studio/settings'], ['history', '#/computer/home/studio/history'],
  ['spaces', '#/spaces'], ['space', '#/space/home'], ['space-network', '#/space/home/network'], ['space-processes', '#/space/home/processes'],
  ['images', '#/images'], ['users', '#/users'], ['account', '#/account'], ['activity', '#/activity'], ['server', '#/server'],
  ['first', '#/', null, 'ben'], ['must-change', '#/', null, 'dora'],
];
const mock = await startMock();
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
for (const theme of ['light', 'dark']) {
  for (const [w, h] of [[1280, 800], [390, 844]]) {
    let last = null;
    let page = null;
    for (const [name, hash, act, user = 'anna'] of PAGES) {
      const id = `${name}-${theme}-${w}`;
      if (!filter.test(id)) continue;
      if (!page || last !== user) {
        await page?.context().close();
        const c = await browser.newContext({ viewport: { width: w, height: h }, colorScheme: theme, hasTouch: w < 500, isMobile: w < 500 });
        page = await c.newPage();
        page.on('console', (m) => m.type() === 'error' && !/401/.test(m.text()) && console.log(id, m.text()));
        page.on('pageerror', (e) => console.log(id, e.stack));
        await page.goto(mock.url);
        last = hash ? user : null;
        if (hash) {
          await page.fill('[name=username]', user);
          await page.fill('[name=password]', 'correct horse');
          await page.click('[type=submit]');
          await page.waitForSelector('.login', { state: 'detached', timeout: 3000 }).catch(() => {});
        }
      }
      if (hash) {
        await page.goto('about:blank');
        await page.goto(`${mock.url}/${hash}`);
      }
      await page.waitForTimeout(900);
      if (act) {
        await act(page);
        await page.waitForTimeout(400);
      }
      await page.screenshot({ path: `${dir}/${id}.png` });
    }
    await page?.context().close();
  }
}
await browser.close();
await mock.close();
