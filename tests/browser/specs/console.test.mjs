// SPDX-License-Identifier: Apache-2.0
// Logging in, moving about, by mouse, by keyboard, on a phone; accessibility; what is loaded. Mock and real.
import { spec, login, to, it, assert, shot, until, gives, calm, lasting, flaws, real, USER } from './helper.mjs';

export const PAGES = ['#/', '#/new', '#/spaces', '#/images', '#/users', '#/account', '#/activity', '#/server'];
const MORE = real ? [] : ['#/space/home', '#/space/home/network', '#/space/home/processes', '#/space/home/disks', '#/computer/home/studio', '#/computer/home/studio/terminal', '#/computer/home/studio/console', '#/computer/home/studio/files?path=/home/user', '#/computer/home/studio/processes', '#/computer/home/studio/disks', '#/computer/home/studio/network', '#/computer/home/studio/settings', '#/computer/home/attic/settings', '#/computer/home/old-office/settings', '#/computer/home/charts/network', '#/computer/home/studio/history', '#/desktop/home/studio', '#/desktop/home/attic', '#/nowhere'];

spec('a wrong password is refused with one text, and the form is kept', {}, async (page) => {
  await page.goto(it.url);
  await page.getByLabel('User', { exact: true }).fill('nobody-here');
  await page.getByLabel('Password', { exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await gives(() => page.getByLabel('User', { exact: true }).inputValue(), 'nobody-here');
  await gives(() => page.getByLabel('Password', { exact: true }).inputValue(), 'wrong');
});

spec('the login page says which server this is; logging in leads to the page asked for; signing out leads back', {}, async (page) => {
  await page.goto(`${it.url}/#/account`);
  await page.getByRole('heading', { name: /^Sign in to .+/ }).waitFor();
  await shot(page, 'login');
  await login(page, '#/account');
  await page.getByRole('heading', { name: 'Second factor' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.getByRole('heading', { name: /^Sign in/ }).waitFor();
  await gives(async () => (await page.request.get(`${it.url}/v1/session`)).status(), 401);
});

spec('keys: slash searches, g h goes home, n makes new, ? shows them', {}, async (page) => {
  await login(page, '#/account');
  await page.getByRole('heading', { name: 'Second factor' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('i');
  await page.getByRole('heading', { name: 'Images' }).waitFor();
  await page.keyboard.press('/');
  await until(() => page.evaluate(() => document.activeElement?.matches('[data-search]')), 'the search has the focus');
  await page.keyboard.type('gh');
  assert.match(page.url(), /#\/images/, 'keys typed into a field do not move about');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('g');
  await page.keyboard.press('h');
  await until(() => /#\/$/.test(page.url()), 'home');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('n');
  await page.getByRole('heading', { name: 'New computer' }).waitFor();
});

spec('everything can be reached by Tab, and the focus can be seen', {}, async (page) => {
  await login(page, '#/images');
  await page.getByRole('heading', { name: 'Images' }).waitFor();
  await page.keyboard.press('Tab');
  const names = new Set();
  for (let n = 0; n < 40; n++) {
    await page.keyboard.press('Tab');
    const f = await page.evaluate(() => {
      const e = document.activeElement;
      const s = getComputedStyle(e);
      return { name: e.getAttribute('aria-label') || e.textContent || e.placeholder || e.tagName, body: e === document.body, seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 };
    });
    if (f.body) break;
    assert.ok(f.seen, `the focus on “${f.name}” can be seen`);
    names.add(f.name.trim());
  }
  for (const want of ['Home', 'Images', 'Sign out']) assert.ok([...names].some((n) => n.includes(want)), `${want} is reached; seen: ${[...names].join(' | ')}`);
});

spec('a menu works by keyboard', { mock: true }, async (page) => {
  await login(page);
  await page.getByRole('button', { name: 'More for studio' }).focus();
  await page.keyboard.press('Enter');
  await until(() => page.evaluate(() => document.activeElement?.getAttribute('role') === 'menuitem'), 'the first item has the focus');
  await page.keyboard.press('End');
  await until(async () => /Delete/.test(await page.evaluate(() => document.activeElement.textContent)), 'the last item has the focus');
  await page.keyboard.press('ArrowDown');
  await until(async () => /Open the desktop/.test(await page.evaluate(() => document.activeElement.textContent)), 'after the last comes the first');
  await page.keyboard.press('Escape');
  await gives(() => page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'More for studio');
});

/** The page has its heading, and asks for nothing more. */
async function settled(page) {
  await page.locator('h1').first().waitFor({ state: 'attached' });
  await calm(page, real ? 1000 : 350);
}

for (const theme of ['light', 'dark']) {
  spec(`accessibility of every page, ${theme}`, { context: { colorScheme: theme, reducedMotion: 'reduce' } }, async (page) => {
    const problems = [];
    const look = async (name) => {
      for (const flaw of await lasting(() => flaws(page))) problems.push(`${name}: ${flaw}`);
    };
    await page.goto(it.url);
    await page.getByRole('heading', { name: /^Sign in/ }).waitFor();
    await look('login');
    await login(page);
    for (const hash of [...PAGES, ...MORE]) {
      await to(page, hash);
      await settled(page);
      await look(hash);
      await shot(page, `${hash.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '') || 'home'}-${theme}`);
    }
    assert.deepEqual(problems, []);
  });
}

for (const width of [320, 390]) {
  spec(`a phone ${width} wide: nothing is cut off, targets are big`, { context: { viewport: { width, height: 740 }, hasTouch: true, isMobile: true, colorScheme: 'dark' } }, async (page) => {
    await login(page);
    const bad = [];
    for (const hash of [...PAGES, ...MORE.filter((h) => !/terminal|console/.test(h))]) {
      await to(page, hash);
      await settled(page);
      const found = await lasting(() => page.evaluate(() => {
        const wide = document.documentElement.scrollWidth - innerWidth;
        const small = [...document.querySelectorAll('button, .btn, select, .rail a, input:not([type=hidden], [type=checkbox], [type=radio], [type=range], [hidden])')].filter((e) => {
          const b = e.getBoundingClientRect();
          return b.width > 0 && b.height > 0 && b.height < 36 && !e.matches('.sr, .plain, th button, .desk-handle, .menu-list *, .desk-type, .xterm *');
        }).map((e) => `a small target: ${e.className} ${e.textContent.slice(0, 20)}`);
        return [...wide > 0 ? [`${wide} px too wide`] : [], ...small];
      }));
      for (const flaw of found.slice(0, 4)) bad.push(`${hash}: ${flaw}`);
      await shot(page, `phone-${width}-${hash.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '') || 'home'}`);
    }
    assert.deepEqual(bad, []);
  });
}

spec('little is loaded before the desktop: under 150 kB of script', {}, async (page) => {
  const scripts = new Map();
  page.on('response', async (r) => {
    if (/\.js$/.test(new URL(r.url()).pathname)) scripts.set(r.url(), (await r.body().catch(() => Buffer.alloc(0))).length);
  });
  await login(page);
  await page.locator('main').waitFor();
  await calm(page);
  const sum = await until(() => [...scripts.values()].reduce((a, b) => a + b, 0), 'scripts');
  assert.ok(sum < 150_000, `${sum} bytes of script`);
  await page.goto('about:blank');
  await page.goto(it.url);
  const paint = await until(() => page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime), 'a first paint');
  console.log(`# script before the first page ${sum} bytes, first paint ${Math.round(paint)} ms, user ${USER}`);
});
