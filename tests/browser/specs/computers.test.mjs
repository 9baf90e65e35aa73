// SPDX-License-Identifier: Apache-2.0
// From nothing to a desktop, and looking after computers. Against the mock, whose world is known.
import { spec, login, to, it, assert, shot, until, gives, drawn, passed, calm } from './helper.mjs';

spec('a new user: one big button, one click, a desktop', { mock: true }, async (page) => {
  await login(page, '', 'ben');
  await page.getByRole('button', { name: 'Start my desktop' }).click();
  await passed(page, 'Starting desktop');
  await passed(page, 'a progress bar');
  await until(() => /#\/desktop\/ben\/desktop$/.test(page.url()), 'the desktop opens by itself');
  await drawn(page);
  await page.goBack();
  assert.doesNotMatch(page.url(), /go=1/, 'going back does not start another');
});

spec('a new computer in two clicks', { mock: true }, async (page) => {
  await login(page);
  await page.getByRole('link', { name: 'New computer' }).click();
  await page.getByRole('radio', { name: /debian/ }).check();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await until(() => /#\/computer\/home\/debian\/terminal$/.test(page.url()), 'its terminal opens');
  await gives(() => it.mock.world.instances.has('home/debian'), true);
});

spec('size, name, command and ports are sent as chosen', { mock: true }, async (page) => {
  await login(page, '#/new');
  await page.getByRole('radio', { name: /nginx/ }).check();
  await page.getByRole('button', { name: /^Light/ }).click();
  await page.getByText('More: name').click();
  await page.getByLabel('Name', { exact: true }).fill('shop');
  await page.getByLabel('Command').fill('nginx -g "daemon off;"');
  await page.getByLabel('Environment').fill('A=1\nB=two words');
  await page.getByLabel('Published ports').fill('8081:80');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const i = await until(() => it.mock.world.instances.get('home/shop'), 'it is created');
  assert.deepEqual([i.cpu, i.memory, i.command, i.env, i.ports], [1, 1024 ** 3, ['nginx', '-g', 'daemon off;'], { A: '1', B: 'two words' }, [{ protocol: 'tcp', listen: 8081, to: 80, address: null }]]);
});

spec('an image that is not there is built first, with progress', { mock: true }, async (page) => {
  await login(page, '#/new?image=alpine');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await passed(page, 'Building the image alpine');
  await passed(page, 'Installing 214 packages');
  await shot(page, 'building');
  await until(() => /#\/computer\/home\/alpine\/terminal$/.test(page.url()), 'it starts when the image is built');
});

spec('a refusal is shown in place, and the form stays as it was', { mock: true }, async (page) => {
  await login(page, '#/new');
  await page.getByText('More: name').click();
  await page.getByLabel('Name', { exact: true }).fill('studio');
  await page.getByRole('button', { name: 'Start and open' }).click();
  await page.getByRole('alert').filter({ hasText: /studio already.*Choose another name/ }).waitFor();
  await page.getByLabel('Name', { exact: true }).waitFor({ state: 'visible' });
  await until(async () => await page.getByLabel('Name', { exact: true }).inputValue() === 'studio', 'the name is still there');
  await page.getByRole('slider', { name: 'Size' }).fill('6');
  await page.getByText(/more cpu than is left/).waitFor();
});

spec('the picture, the state and the numbers are live', { mock: true }, async (page) => {
  await login(page);
  const card = page.getByRole('listitem').filter({ hasText: 'studio' });
  await card.locator('img').waitFor();
  const i = it.mock.world.instances.get('home/studio');
  i.state = 'paused';
  i.revision = it.mock.world.revision();
  it.mock.event('status', 'home', 'spaces/home/status/studio', 'changed');
  await card.getByText('paused').waitFor();
  it.mock.world.add('home', 'fresh');
  it.mock.event('instance', 'home', 'spaces/home/instances/fresh', 'created');
  await page.getByRole('heading', { name: 'fresh' }).waitFor();
  it.mock.world.instances.delete('home/fresh');
  it.mock.event('instance', 'home', 'spaces/home/instances/fresh', 'deleted');
  await page.getByRole('heading', { name: 'fresh' }).waitFor({ state: 'detached' });
  it.mock.world.add('home', 'unseen');
  it.mock.event('lost', null, null, null);
  await page.getByRole('heading', { name: 'unseen' }).waitFor();
});

spec('nothing asks by the clock', { mock: true }, async (page) => {
  await login(page);
  await page.locator('.card').first().waitFor();
  await calm(page);
  for (const i of it.mock.world.instances.values()) i.state = 'stopped'; // so that no samples come
  it.mock.event('lost', null, null, null);
  await until(async () => await page.locator('.card .state').getByText('running').count() === 0, 'the page knows');
  await calm(page, 2000, { all: true });
  const asked = [];
  page.on('request', (r) => asked.push(r.url()));
  await page.waitForTimeout(4000);
  assert.deepEqual(asked, []);
});

spec('the connection is lost and comes back', { mock: true }, async (page) => {
  await login(page);
  await page.locator('.card').first().waitFor();
  it.mock.cut(true);
  await page.getByText('No connection to the server').waitFor();
  await shot(page, 'offline');
  await gives(async () => await page.locator('.card').count() > 3, true, 'what is known stays');
  it.mock.world.add('home', 'meanwhile');
  it.mock.mend();
  await page.getByText('No connection to the server').waitFor({ state: 'detached' });
  await page.getByRole('heading', { name: 'meanwhile' }).waitFor();
});

spec('the daemon is away: told at the start and on an open page, both go on by themselves', { mock: true }, async (page, context) => {
  await login(page);
  await page.locator('.card').first().waitFor();
  it.mock.setBusy(true);
  await page.getByText('No connection to the server').waitFor();
  const second = await context.newPage();
  await second.goto(it.url);
  await second.getByRole('heading', { name: 'The server is not ready' }).waitFor();
  it.mock.setBusy(false);
  await page.getByText('No connection to the server').waitFor({ state: 'detached' });
  await second.getByRole('heading', { name: 'Your computers' }).waitFor();
});

spec('a session that has ended leads to the login page', { mock: true }, async (page) => {
  await login(page);
  await page.locator('.card').first().waitFor();
  it.mock.sessions.clear();
  it.mock.cut();
  await page.getByRole('heading', { name: /^Sign in/ }).waitFor();
});

spec('deleting names what is lost and wants the name', { mock: true }, async (page) => {
  await login(page, '#/computer/home/web');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete web?' });
  await dialog.getByText(/everything on its disk/).waitFor();
  await dialog.getByText(/published ports \(8080\)/).waitFor();
  const button = dialog.getByRole('button', { name: 'Delete', exact: true });
  await gives(() => button.isDisabled(), true);
  await dialog.getByRole('textbox').fill('web');
  await shot(page, 'delete');
  await button.click();
  await until(() => /#\/$/.test(page.url()) && !it.mock.world.instances.has('home/web'), 'it is gone, and we are home');
});

spec('settings say when they apply, and keep what was typed when refused', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/settings');
  await page.getByLabel('Memory', { exact: true }).fill('4 GiB');
  await page.getByLabel('User', { exact: true }).fill('user');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('✓ Applied').waitFor();
  await page.getByText('✓ Saved; applies at the next start').waitFor();
  await page.getByText('Some changes wait for the next start').waitFor();
  await gives(() => it.mock.world.instances.get('home/studio').memory, 4 * 1024 ** 3);
  await page.getByLabel('Disk', { exact: true }).fill('1 GiB');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('a disk cannot become smaller').waitFor();
  await gives(() => page.getByLabel('Disk', { exact: true }).inputValue(), '1 GiB');
  await page.getByLabel('Disk', { exact: true }).fill('lots');
  await page.getByText('Write a size, like 2 GiB').waitFor();
  await gives(() => page.getByRole('button', { name: 'Save' }).isDisabled(), true);
});

spec('how fast its network is can be held back while it runs', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/settings');
  await page.getByLabel('Receives at most', { exact: true }).fill('2 MiB');
  await page.getByLabel('Sends at most', { exact: true }).fill('512K');
  await page.getByRole('button', { name: 'Save' }).click();
  await until(() => it.mock.world.instances.get('home/studio').net_in === 2 * 1024 ** 2, 'what it receives is limited');
  await gives(() => it.mock.world.instances.get('home/studio').net_out, 512 * 1024);
  await gives(() => page.getByText('✓ Applied').count(), 2);
});

spec('a network card more, and one less, while it runs', { mock: true }, async (page) => {
  it.mock.world.spaces.get('class-7b').subnet = '10.84.0.0/24';
  const nics = () => it.mock.world.instances.get('home/studio').nics;
  await login(page, '#/computer/home/studio/network');
  await page.getByText('It has one network card').waitFor();
  await page.getByRole('button', { name: 'Add a network card' }).click();
  await page.getByLabel('In the network of space').selectOption('class-7b');
  await page.getByLabel('Address', { exact: true }).fill('10.84.0.50');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('row', { name: /eth1.*class-7b.*10\.84\.0\.50/ }).waitFor();
  await gives(() => nics().map((n) => [n.name, n.space, n.address]), [['eth1', 'class-7b', '10.84.0.50']]);
  await shot(page, 'network-cards');
  await page.getByRole('button', { name: 'Remove eth1' }).click();
  await page.getByText('It has one network card').waitFor();
  await gives(() => nics().length, 0);
});

spec('stop and start, at once on the page', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio');
  await page.getByRole('button', { name: 'Stop' }).click();
  await passed(page, 'stopping');
  await page.locator('.page-head').getByText('off').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.locator('.page-head').getByText('running').waitFor();
});

spec('charts are drawn and go on', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio');
  await page.locator('.chart canvas').nth(5).waitFor();
  const now = page.locator('.chart-now').first();
  const first = await now.textContent();
  await until(async () => await now.textContent() !== first, 'a new sample shows');
});

spec('files: look, bring, make a folder, delete', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/files?path=/home/user');
  await page.getByRole('link', { name: 'notes.md', exact: true }).waitFor();
  await page.locator('input[type=file]').setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('dear all') });
  await page.getByRole('link', { name: 'letter.txt', exact: true }).waitFor();
  await page.getByRole('button', { name: 'New folder' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('Music');
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByRole('button', { name: 'Music', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Delete letter.txt' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('link', { name: 'letter.txt', exact: true }).waitFor({ state: 'detached' });
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download notes.md' }).click()]);
  assert.equal(download.suggestedFilename(), 'notes.md');
});

spec('the terminal: a shell, its size, its end; the console with its history', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/terminal');
  const text = () => page.locator('.xterm-rows').innerText();
  await until(async () => (await text()).includes('user@studio'), 'a prompt');
  await page.keyboard.type('echo it works\r');
  await until(async () => (await text()).split('\n').some((l) => l.trim() === 'it works'), 'the echo');
  await page.keyboard.type('size\r');
  await until(async () => /\d{2,3}x\d{2}/.test(await text()), 'the size is known there');
  assert.doesNotMatch(await text(), /80x24/, 'known from the start');
  const color = await page.locator('.xterm-rows span', { hasText: 'user@studio' }).first().evaluate((e) => getComputedStyle(e).color);
  assert.equal(color, 'rgb(163, 235, 182)', 'colours come through the strict policy');
  await page.keyboard.type('exit 3\r');
  await page.getByText('The shell ended with exit code 3.').waitFor();
  await page.getByRole('button', { name: 'New shell' }).click();
  await until(async () => (await text()).includes('user@studio'), 'a new prompt');
  await page.keyboard.down('Control');
  await page.keyboard.down('Alt');
  await page.keyboard.press('Shift');
  await page.keyboard.up('Alt');
  await page.keyboard.up('Control');
  await until(() => page.evaluate(() => !!document.activeElement.closest('.tabs')), 'the way out by keyboard');
  await to(page, '#/computer/home/studio/console');
  await until(async () => (await text()).includes('studio login:'), 'the console’s history');
});

spec('a viewer sees, and is offered nothing that would be refused', { mock: true }, async (page) => {
  await page.goto(it.url);
  await page.getByLabel('User', { exact: true }).fill('carl');
  await page.getByLabel('Password', { exact: true }).fill('correct horse');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Code').fill('123 456');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.locator('.login').waitFor({ state: 'detached' });
  await to(page, '#/computer/class-7b/robotics');
  await page.getByText('The volume is full').waitFor();
  await gives(() => page.getByRole('button', { name: 'Start' }).count(), 0);
  await gives(() => page.getByRole('link', { name: 'Terminal' }).count(), 0);
  await to(page, '#/computer/class-7b/robotics/settings');
  await gives(() => page.getByLabel('Memory', { exact: true }).isDisabled(), true);
});

spec('a computer without limits is said to have the whole server', { mock: true }, async (page) => {
  await login(page);
  Object.assign(it.mock.world.instances.get('home/studio'), { cpu: 0, memory: 0 });
  await page.reload();
  await to(page, '#/computer/home/studio');
  await page.getByText('all of the server’s 16 cpus, memory without limit, 20 GiB disk').waitFor();
});

spec('on a phone the page one is at is in sight among the tabs', { mock: true, context: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } }, async (page) => {
  await login(page, '#/computer/home/studio/settings');
  await gives(async () => {
    const box = await page.locator('.tabs [aria-current]').boundingBox();
    return box.x >= 0 && box.x + box.width <= 390;
  }, true, 'all of its tab is in sight');
});
