// SPDX-License-Identifier: Apache-2.0
// The desktop page against the mock's pretended desktop: keys, clipboard, size, reconnecting, touch.
import { spec, login, to, it, assert, shot, until, gives, canvas, drawn, passed } from './helper.mjs';

const desk = () => it.mock.screen(it.mock.world.instances.get('home/studio'));
const typed = () => desk().lines.at(-1);

spec('keys reach the desktop and the picture changes', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  await shot(page, 'desktop');
  const before = await canvas(page);
  await page.keyboard.type('hello!');
  await until(() => typed() === '$ hello!', `the line, which is ${typed()}`);
  await until(async () => (await canvas(page)).sum !== before.sum, 'the picture changes');
  await gives(() => page.title(), 'studio – Portena desktop');
});

spec('the desktop follows the window, or is scaled', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await until(() => desk().width === 1280 && desk().height === 800, 'it has the window’s size');
  await page.setViewportSize({ width: 1000, height: 700 });
  await until(() => desk().width === 1000 && desk().height === 700, 'it follows');
  await until(async () => (await canvas(page)).width === 1000, 'the canvas follows');
  await page.getByRole('button', { name: 'Tools' }).click();
  await page.getByRole('button', { name: 'Scale' }).click();
  await page.getByRole('radio', { name: /Scale the picture/ }).check();
  await page.setViewportSize({ width: 800, height: 560 });
  await page.waitForTimeout(700);
  await gives(() => desk().width, 1000, 'its own size stays');
  await until(async () => Math.abs((await page.locator('.desk-screen canvas').boundingBox()).width - 800) < 3, 'it is drawn to fit');
  await gives(() => desk().width, 1000);
});

spec('clipboard both ways by the panel', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  await page.keyboard.type('copy me\r');
  await page.getByRole('button', { name: 'Tools' }).click();
  await page.getByRole('button', { name: 'Clipboard', exact: true }).click();
  const box = page.getByLabel('Clipboard of the desktop');
  await until(async () => await box.inputValue() === 'copy me', 'what was copied there shows');
  await box.fill('from here');
  await page.getByRole('button', { name: 'Send to the desktop' }).click();
  await until(() => desk().cut === 'from here', 'it is there');
});

spec('clipboard both ways by itself where the browser allows it', { mock: true, context: { permissions: ['clipboard-read', 'clipboard-write'] } }, async (page) => {
  await login(page);
  await page.evaluate(() => navigator.clipboard.writeText('carried along'));
  await to(page, '#/desktop/home/studio');
  await drawn(page);
  await until(() => desk().cut === 'carried along', 'ours goes there');
  await page.keyboard.type('and back\r');
  await until(async () => await page.evaluate(() => navigator.clipboard.readText()) === 'and back', 'theirs comes here');
});

spec('combinations and held keys', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  await page.keyboard.down('Control');
  await page.keyboard.down('Alt');
  await page.keyboard.press('Shift');
  await page.keyboard.up('Alt');
  await page.keyboard.up('Control');
  await page.getByRole('button', { name: 'Keys' }).click();
  desk().keys.length = 0;
  await page.getByRole('button', { name: 'Ctrl + Alt + Del' }).click();
  await until(() => desk().keys.length >= 6, 'six events');
  assert.deepEqual(desk().keys.slice(0, 6), [[0xffe3, true], [0xffe9, true], [0xffff, true], [0xffff, false], [0xffe9, false], [0xffe3, false]]);
});

spec('it reconnects by itself, keeping the last picture', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  it.mock.cut(true);
  await page.getByRole('status').filter({ hasText: /Connecting again|connection is lost/ }).waitFor();
  await gives(() => page.locator('.desk-still').isVisible(), true, 'the last picture stays');
  await shot(page, 'desktop-reconnecting');
  it.mock.mend();
  await page.locator('.desk-notice').waitFor({ state: 'detached' });
  await drawn(page);
  await page.locator('.desk-screen').click();
  await page.keyboard.type('again');
  await until(() => typed().endsWith('again'), 'keys go through');
});

spec('a desktop that has drawn nothing yet is said to be starting, until it has', { mock: true }, async (page) => {
  await login(page);
  desk().blank = true;
  await to(page, '#/desktop/home/studio');
  await passed(page, 'studio is starting');
  desk().draw();
  await page.locator('.desk-notice').waitFor({ state: 'detached' });
  await drawn(page);
  desk().blank = true; // one that stays black, like a machine's saved screen, is shown all the same
  await page.reload();
  await passed(page, 'studio is starting');
  await page.locator('.desk-notice').waitFor({ state: 'detached' });
});

spec('a computer that stops is said to be off, and starts from there', { mock: true }, async (page) => {
  await login(page, '#/desktop/home/attic');
  await page.getByRole('heading', { name: 'attic is off' }).waitFor();
  it.mock.world.instances.get('home/attic').desktop = true;
  await page.getByRole('button', { name: 'Start' }).click();
  await drawn(page);
});

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

spec('a phone: the bar has big targets, the soft keyboard types and stays while one taps', { mock: true, context: PHONE }, async (page) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  await until(() => desk().width === 640 && desk().height === 1385, `room for a window, not ${desk().width} by ${desk().height}`);
  await gives(async () => (await page.locator('.desk-screen canvas').boundingBox()).width, 390, 'drawn to fit');
  await page.locator('.desk-handle').tap();
  await shot(page, 'phone-desktop-bar');
  const off = () => page.evaluate(() => [...document.querySelectorAll('.desk-bar > *')].filter((e) => e.getBoundingClientRect().right > innerWidth - 8).map((e) => e.textContent));
  await gives(off, [], 'all of the bar is in sight');
  await page.getByRole('button', { name: 'Keyboard' }).tap();
  const focused = () => page.evaluate(() => document.activeElement.matches('.desk-type'));
  await until(focused, 'the field has the focus');
  await page.locator('.desk-bar').waitFor({ state: 'detached' });
  await page.evaluate(() => {
    const f = document.activeElement;
    const type = (v) => { f.value = v; f.dispatchEvent(new InputEvent('input', { bubbles: true })); };
    type(`${f.value}teh`);
    type(f.value.replace('teh', 'the'));
    type(f.value.slice(0, -1));
  });
  await until(() => typed() === '$ th', `corrected and shortened, now ${typed()}`);
  await page.touchscreen.tap(195, 422);
  await until(() => desk().pointers.some(([mask, x]) => mask === 1 && Math.abs(x - 320) < 3), 'the tap is a click where it was');
  await gives(focused, true, 'and the keyboard stays');
  desk().keys.length = 0;
  await page.getByRole('button', { name: 'Ctrl' }).tap();
  await page.keyboard.insertText('c');
  await until(() => desk().keys.length >= 4, 'Ctrl + C');
  assert.deepEqual(desk().keys.slice(0, 4), [[0xffe3, true], [99, true], [99, false], [0xffe3, false]]);
  await page.getByRole('button', { name: 'Up', exact: true }).tap();
  await until(() => desk().keys.some(([k]) => k === 0xff52), 'an arrow');
  await gives(focused, true);
  await shot(page, 'phone-desktop-keyboard');
  await page.getByRole('button', { name: 'Put the keyboard away' }).tap();
  await page.locator('.desk-strip').waitFor({ state: 'detached' });
});

spec('a phone: long press is the right button, two fingers scroll, pinching zooms', { mock: true, context: PHONE }, async (page, context) => {
  await login(page, '#/desktop/home/studio');
  await drawn(page);
  const cdp = await context.newCDPSession(page);
  const touch = (type, ...points) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  const saw = (mask) => desk().pointers.some(([m]) => m === mask);
  await touch('touchStart', [200, 300]);
  await until(() => saw(4) && desk().pointer[0] === 0, 'the right button, pressed and released while the finger is still there');
  await touch('touchEnd');
  // What two fingers mean is decided a moment after they have moved: where all of it came in less, it was nothing, and is done again.
  await until(async () => {
    await touch('touchStart', [150, 400], [230, 400]);
    for (let y = 400; y > 200; y -= 20) await touch('touchMove', [150, y], [230, y]);
    await touch('touchEnd');
    return saw(16) || saw(8);
  }, 'the wheel');
  desk().keys.length = 0;
  await until(async () => {
    await touch('touchStart', [180, 400], [210, 400]);
    for (let d = 0; d < 140; d += 10) await touch('touchMove', [180 - d, 400], [210 + d, 400]);
    await touch('touchEnd');
    return desk().keys.some(([k, down]) => k === 0xffe3 && down);
  }, 'Ctrl with the wheel');
});
