// SPDX-License-Identifier: Apache-2.0
// Containers, machines, programs, foreign architectures: what a person sees of them. Against the mock.
import { spec, login, to, it, assert, shot, until, gives, drawn, flaws, passed, calm } from './helper.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const made = (name) => until(() => it.mock.world.instances.get(`home/${name}`), `${name} is made`);

spec('the form offers the kinds that the image can run as, and a container unless one chooses', { mock: true }, async (page) => {
  await login(page, '#/new?image=debian');
  const as = page.getByRole('group', { name: 'Runs as' });
  await as.getByRole('button', { name: /^Container.*Fast and dense/, pressed: true }).waitFor();
  await gives(() => page.getByText('Machine: processors').count(), 0);
  await as.getByRole('button', { name: /^Machine.*kernel of its own/ }).click();
  await page.getByText('Machine: processors, memory, accelerator').click();
  await page.getByLabel('Processors', { exact: true }).fill('1.5');
  await page.getByLabel('Memory', { exact: true }).fill('3 GiB');
  await page.getByLabel('Accelerator').selectOption('tcg');
  await gives(() => page.getByLabel('Firmware').count(), 0, 'a lean machine has no firmware to choose');
  await shot(page, 'new-machine');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const i = await made('debian');
  assert.deepEqual([i.kind, i.model, i.cpu, i.memory, i.accel], ['machine', 'micro', 1.5, 3 * 1024 ** 3, 'tcg']);
  await until(() => /#\/computer\/home\/debian\/terminal$/.test(page.url()), 'its terminal opens');
  await page.locator('.page-head').getByText('machine', { exact: true }).waitFor();
});

spec('the kernel of lean machines is built before the first of them; who may not build it is told whom to ask', { mock: true }, async (page) => {
  await login(page, '#/new?image=debian');
  for (const [digest, m] of it.mock.world.images) if (m.format === 'kernel') it.mock.world.images.delete(digest);
  await page.reload();
  it.mock.world.delay = 3;
  await page.getByRole('button', { name: /^Machine/ }).click();
  await page.getByText('It is built now, once, before this one starts').waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await passed(page, 'Building the image kernel');
  assert.equal((await until(() => it.mock.world.instances.get('home/debian'), 'it is made when the kernel is there')).kind, 'machine');
});

spec('a machine that boots is said to be starting up, not to be lost', { mock: true }, async (page) => {
  const i = Object.assign(it.mock.world.instances.get('home/studio'), { kind: 'machine', ready: false, desktop_late: true });
  await login(page, '#/desktop/home/studio');
  await page.getByRole('heading', { name: 'studio is starting up' }).waitFor();
  await page.waitForTimeout(1500);
  await page.getByText('Its own kernel boots').waitFor();
  Object.assign(i, { ready: true, desktop_late: false, revision: it.mock.world.revision() });
  it.mock.event('status', 'home', 'spaces/home/status/studio', 'changed');
  await drawn(page);
});

spec('a disc: an empty disk, started from the disc; a TPM and secure boot where one asks', { mock: true }, async (page) => {
  await login(page, '#/new');
  await page.getByRole('radio', { name: /fedora-42/ }).check();
  await page.getByText('A disc installs a system on a machine’s empty disk').waitFor();
  await gives(() => page.getByRole('group', { name: 'Runs as' }).count(), 0, 'there is no choice to make');
  await page.getByText('Machine: processors, memory, firmware, disc').click();
  await gives(() => page.getByLabel('Start from the disc').isChecked(), false, 'an empty disk lets the disc start');
  await page.getByLabel('TPM 2.0').check();
  await page.getByLabel('Secure boot').check();
  await page.getByLabel('Firmware').selectOption('bios');
  await gives(() => page.getByLabel('Secure boot').isDisabled(), true, 'secure boot is UEFI’s');
  await page.getByLabel('Firmware').selectOption('uefi');
  await page.getByLabel('Disk and network card').selectOption('emulated');
  await page.getByText('More: name').click();
  await gives(() => flaws(page), [], 'all of the form is for everyone');
  await shot(page, 'new-disc');
  await page.getByRole('button', { name: 'Start and open' }).click();
  const i = await made('fedora-42');
  assert.deepEqual([i.kind, i.model, i.boot_iso, i.tpm, i.secure_boot, i.hardware, i.firmware], ['machine', 'pc', false, true, true, 'emulated', 'uefi']);
  await until(() => /#\/desktop\/home\/fedora-42$/.test(page.url()), 'its screen opens');
});

spec('a disk keeps its size and may have a disc in the drive', { mock: true }, async (page) => {
  await login(page, '#/new?image=freebsd');
  await page.getByRole('button', { name: /^Light/ }).click();
  await page.getByText('1 cpu · 1 GiB memory · 32 GiB disk').waitFor();
  await page.getByText('Machine: processors, memory, firmware, disc').click();
  await gives(() => page.getByLabel('Firmware').inputValue(), 'bios', 'as the image was made');
  await page.getByLabel('Disc in the drive').selectOption('fedora-42');
  await page.getByLabel('SSH keys').fill('ssh-ed25519 AAAA anna\nssh-rsa BBBB ben');
  await page.getByLabel('For cloud-init').fill('#cloud-config\n{}');
  await gives(() => flaws(page), [], 'all of the form is for everyone');
  await page.getByRole('button', { name: 'Start and open' }).click();
  const i = await made('freebsd');
  assert.deepEqual([i.disk, i.iso_name, i.boot_iso], [32 * 1024 ** 3, 'fedora-42', false]);
  assert.deepEqual([i.ssh_keys, i.user_data], [['ssh-ed25519 AAAA anna', 'ssh-rsa BBBB ben'], '#cloud-config\n{}']);
});

spec('a program has no network unless it is allowed', { mock: true }, async (page) => {
  await login(page, '#/new?image=converter');
  await page.getByText('More: name').click();
  await gives(() => page.getByLabel('Network').isChecked(), false);
  await gives(() => page.getByLabel('Published ports').count(), 0);
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const i = await made('converter');
  assert.deepEqual([i.kind, i.offline], ['process', true]);
  await until(() => /#\/computer\/home\/converter\/console$/.test(page.url()), 'what it says is shown');
  await to(page, '#/computer/home/charts/network');
  await page.getByRole('heading', { name: 'charts has no network' }).waitFor();
  await to(page, '#/computer/home/charts/settings');
  await page.getByLabel('Network', { exact: true }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await until(() => it.mock.world.instances.get('home/charts').offline === false, 'it is allowed');
});

spec('what a program wrote is there after it has ended, with how it ended', { mock: true }, async (page) => {
  Object.assign(it.mock.world.instances.get('home/charts'), { state: 'stopped', ready: false, exit_code: 3, usage: null });
  await login(page, '#/computer/home/charts/console');
  await page.getByText('It ended with exit code 3. This is what it wrote last.').waitFor();
  await page.getByRole('region', { name: 'Last output of charts' }).getByText('Started Portena desktop.').waitFor();
  await gives(() => flaws(page), []);
  await shot(page, 'last-words');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.locator('.page-head .state').getByText('running').waitFor();
});

spec('another architecture is said to be emulated and slower, before it is chosen and after', { mock: true }, async (page) => {
  await login(page, '#/new');
  await page.getByRole('radio', { name: /arm-lab.*ARM 64/ }).check();
  await page.getByText('For ARM 64 processors. This server’s are x86-64, so it is emulated and several times slower.').waitFor();
  await to(page, '#/computer/class-7b/board');
  await page.getByText('Container, emulated ARM 64').waitFor();
});

spec('an image is built for other processors', { mock: true }, async (page) => {
  await login(page, '#/images');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Build for other processors…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Build for other processors' });
  await gives(() => dialog.getByRole('option', { name: 'x86-64' }).count(), 0, 'not for the server’s own');
  await dialog.getByLabel('Processors').selectOption('riscv64');
  await dialog.getByRole('button', { name: 'Build', exact: true }).click();
  await passed(page, 'debian-riscv64 is ready.');
  await page.getByRole('row', { name: /debian-riscv64 RISC-V 64/ }).waitFor();
});

spec('a stopped computer changes its kind, and is told what becomes different; a running one is told why not', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/settings');
  await page.getByRole('heading', { name: 'Runs as' }).waitFor();
  await gives(() => page.getByRole('radio', { name: /^Machine/ }).isDisabled(), true);
  await page.locator('.setting').filter({ hasText: 'Runs as' }).getByText('Can change while it is off.').waitFor();
  await to(page, '#/computer/home/attic/settings');
  await page.getByRole('radio', { name: /^Machine/ }).check();
  await page.getByText('All files, its name, its address and who may use it stay.').waitFor();
  await shot(page, 'kind-switch');
  await gives(() => flaws(page), []);
  await page.getByRole('button', { name: 'Save' }).click();
  await until(() => it.mock.world.instances.get('home/attic').kind === 'machine', 'it is a machine');
  await page.getByRole('heading', { name: 'Machine', exact: true }).waitFor();
  await page.locator('.page-head').getByText('machine', { exact: true }).waitFor();
});

spec('a PC’s settings: the disc goes out, the hardware changes, nothing of its inside is asked', { mock: true }, async (page) => {
  await login(page, '#/computer/home/old-office/settings');
  await gives(() => page.getByLabel('Disc in the drive').inputValue(), 'fedora-42');
  await gives(() => page.getByRole('link', { name: 'Terminal', exact: true }).count(), 0, 'nobody looks into it from outside');
  await gives(() => page.getByLabel('Command').count(), 0);
  await page.getByLabel('Disc in the drive').selectOption('');
  await page.getByLabel('TPM 2.0', { exact: true }).check();
  await shot(page, 'settings-pc');
  await page.getByRole('button', { name: 'Save' }).click();
  const i = it.mock.world.instances.get('home/old-office');
  await until(() => i.iso_name === null && i.tpm === true, 'both are saved');
  await to(page, '#/computer/home/old-office');
  await page.getByText('BIOS, TPM 2.0').waitFor();
});

spec('files of all formats go up, with the format declared and progress', { mock: true }, async (page) => {
  await login(page, '#/images');
  await page.getByRole('button', { name: 'Upload' }).click();
  const dialog = page.getByRole('dialog', { name: 'Upload an image' });
  await dialog.getByLabel('File').setInputFiles({ name: 'Rescue Disc.ISO', mimeType: 'application/octet-stream', buffer: Buffer.alloc(3_000_000) });
  await gives(() => dialog.getByLabel('Name').inputValue(), 'rescue-disc');
  await gives(() => dialog.getByLabel('What it is').inputValue(), 'iso');
  await dialog.getByText('start with an empty disk and this disc in the drive').waitFor();
  await shot(page, 'upload-iso');
  await gives(() => flaws(page), []);
  await dialog.getByRole('button', { name: 'Upload' }).click();
  await passed(page, 'a progress bar');
  await passed(page, 'rescue-disc is ready.');
  await page.getByRole('row', { name: /rescue-disc.*installation disc/ }).waitFor();
  await page.getByRole('button', { name: 'Upload' }).click();
  await dialog.getByLabel('File').setInputFiles({ name: 'table.wasm', mimeType: 'application/wasm', buffer: Buffer.from('\0asm') });
  await gives(() => dialog.getByLabel('What it is').inputValue(), 'program');
  await gives(() => dialog.getByLabel('Which file of it is run').count(), 0);
  await dialog.getByLabel('File').setInputFiles({ name: 'tools.tar.gz', mimeType: 'application/gzip', buffer: Buffer.from('x') });
  await dialog.getByLabel('What it is').selectOption('program');
  await dialog.getByLabel('Which file of it is run').fill('bin/tool');
  await dialog.getByLabel('What it is').selectOption('raw');
  await dialog.getByText('machines; each gets a copy').waitFor();
});

spec('a PC’s disk leaves as a file in the chosen format, with progress; not while it runs', { mock: true }, async (page) => {
  await login(page, '#/computer/home/old-office');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Export…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Export old-office' });
  await dialog.getByText('VirtualBox and VMware import it whole').waitFor();
  await dialog.getByLabel('As').selectOption('vhdx');
  const coming = page.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Export' }).click();
  await passed(page, 'a progress bar');
  await passed(page, 'writing the file');
  assert.equal((await coming).suggestedFilename(), 'old-office.vhdx');
  await dialog.getByText('The download has begun.').waitFor();
  await gives(() => flaws(page), []);
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  it.mock.world.instances.get('home/old-office').state = 'running';
  await page.reload();
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await gives(() => page.getByRole('menuitem', { name: 'Export…' }).isDisabled(), true);
  await page.keyboard.press('Escape');
  await to(page, '#/images');
  await page.getByRole('button', { name: 'More for fedora-42' }).click();
  await page.getByRole('menuitem', { name: 'Export…' }).click();
  await page.getByRole('dialog', { name: 'Export fedora-42' }).getByText('The same bytes that came in.').waitFor();
});

spec('parts of the system are no images to use, and are shown to administrators alone', { mock: true }, async (page) => {
  await login(page, '#/images');
  const row = page.getByRole('row', { name: /kernel/ });
  await row.getByText('system part').waitFor();
  await gives(() => row.getByRole('link', { name: 'Use' }).count(), 0);
  await to(page, '#/new');
  await page.getByRole('radio', { name: /desktop/ }).waitFor();
  await gives(() => page.getByRole('radio', { name: /kernel/ }).count(), 0);
});

spec('hibernated on disk: asked for, and said that it outlives a restart', { mock: true }, async (page) => {
  const i = () => it.mock.world.instances.get('home/studio');
  await login(page, '#/computer/home/studio');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Hibernate on disk' }).click();
  await page.getByText('outlives a restart of the server').waitFor();
  await gives(() => i().durable, true);
  await to(page, '#/computer/home/ledger');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Hibernate', exact: true }).waitFor();
  await gives(() => page.getByRole('menuitem', { name: 'Hibernate on disk' }).count(), 0, 'a machine has no other form');
});

spec('hibernated: said so, woken by opening its desktop or its terminal', { mock: true }, async (page) => {
  const i = () => it.mock.world.instances.get('home/studio');
  i().actions = ['stop', 'restart'];
  await login(page, '#/computer/home/studio');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Restart' }).waitFor();
  await gives(() => page.getByRole('menuitem', { name: /Hibernate|Pause/ }).count(), 0, 'not among what can be done');
  delete i().actions;
  await page.reload();
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Hibernate', exact: true }).click();
  await page.locator('.page-head .state').getByText('hibernated').waitFor();
  await until(() => i().state === 'hibernated', 'it is');
  await to(page, '#/');
  await page.getByRole('link', { name: 'Wake and open studio, hibernated' }).waitFor();
  await to(page, '#/desktop/home/studio');
  await until(() => i().state === 'running', 'opening its desktop woke it');
  await to(page, '#/computer/home/studio');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Hibernate', exact: true }).click();
  await until(() => i().state === 'hibernated', 'it is again');
  await page.locator('.page-head .state').getByText('hibernated').waitFor(); // the page has heard of it, too,
  await calm(page); // and of all that led to it: one that is open already wakes nothing
  await to(page, '#/computer/home/studio/terminal');
  await until(() => i().state === 'running', 'opening its terminal woke it');
});

spec('on a phone the form, the images and a PC’s settings fit and their targets are big', { mock: true, context: PHONE }, async (page) => {
  await login(page, '#/new?image=fedora-42');
  await page.getByText('Machine: processors').click();
  await shot(page, 'new-phone');
  for (const hash of ['#/new?image=fedora-42', '#/images', '#/computer/home/old-office/settings', '#/computer/home/attic/settings', '#/']) {
    await to(page, hash);
    await calm(page, 350);
    await gives(() => page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth)), 0, `${hash} is not too wide`);
  }
});
