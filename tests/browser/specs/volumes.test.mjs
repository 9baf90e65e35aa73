// SPDX-License-Identifier: Apache-2.0
// Data volumes: made, attached to a computer, grown, detached, deleted, on its page and on its space's. Against the mock.
import { spec, login, it, assert, until, gives, calm, shot } from './helper.mjs';

const GiB = 1024 ** 3;
const studio = () => it.mock.world.instances.get('home/studio');

spec('a volume is made and attached in one go, grows, and is detached with what is on it', { mock: true }, async (page) => {
  await login(page, '#/computer/home/studio/disks');
  await page.getByText('No volume for data').waitFor();
  await calm(page);
  await page.getByRole('button', { name: 'Attach a volume' }).click();
  const dialog = page.getByRole('dialog', { name: 'Attach a volume' });
  await dialog.getByLabel('Name', { exact: true }).fill('photos');
  await dialog.getByLabel('Size in GiB').fill('4');
  await dialog.getByLabel('Seen at').fill('/home/user/Photos');
  await dialog.getByLabel('Read only').check();
  await dialog.getByRole('button', { name: 'Attach', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  const row = page.getByRole('row', { name: /photos/ });
  await row.getByText('/home/user/Photos').waitFor();
  await gives(() => it.mock.world.volumes.get('photos').size, 4 * GiB);
  await gives(() => studio().disks.map((d) => [d.volume, d.path, d.read_only, d.change]), [['photos', '/home/user/Photos', true, 'none']]);
  await calm(page);
  await shot(page, 'computer-disks');

  await row.getByRole('button', { name: 'Make photos larger' }).click();
  const grow = page.getByRole('dialog', { name: 'Make photos larger' });
  await grow.getByLabel('Size in GiB').fill('1');
  await grow.getByRole('button', { name: 'Make it larger' }).click();
  await grow.getByRole('alert').getByText('only grows', { exact: false }).waitFor();
  await grow.getByLabel('Size in GiB').fill('6');
  await grow.getByRole('button', { name: 'Make it larger' }).click();
  await grow.waitFor({ state: 'detached' });
  await row.getByText('6 GiB').waitFor();

  await row.getByRole('button', { name: 'Detach photos' }).click();
  await page.getByText('No volume for data').waitFor();
  await gives(() => studio().disks.length, 0);
  assert.ok(it.mock.world.volumes.has('photos'), 'and is kept');
});

spec('one that is in use says by whom, and goes by force alone', { mock: true }, async (page) => {
  const w = it.mock.world;
  w.volumes.set('busy', { id: '01DATABUSY', name: 'busy', space: 'home', pool: 'local', instance: null, size: GiB, actual: GiB, used: 4096, created: null });
  studio().disks = [{ volume: 'busy', id: '01DATABUSY', path: '/mnt/busy', read_only: false, slot: 0, change: 'none', force: false }];
  await login(page, '#/computer/home/studio/disks');
  await page.getByRole('button', { name: 'Detach busy' }).click();
  const dialog = page.getByRole('dialog', { name: 'Detach busy all the same?' });
  await dialog.getByText('by postgres (231)', { exact: false }).waitFor();
  await gives(() => studio().disks.length, 1);
  await dialog.getByRole('button', { name: 'Detach all the same' }).click();
  await dialog.waitFor({ state: 'detached' });
  await until(() => studio().disks.length === 0, 'it is gone');
});

spec('a space shows all of them, makes one and deletes one; one that is attached stays', { mock: true }, async (page) => {
  await login(page, '#/space/home/disks');
  await page.getByRole('button', { name: 'New volume' }).click();
  const dialog = page.getByRole('dialog', { name: 'New volume' });
  await dialog.getByLabel('Name', { exact: true }).fill('archive');
  await dialog.getByRole('button', { name: 'Make it' }).click();
  await dialog.waitFor({ state: 'detached' });
  const row = page.getByRole('row', { name: /archive/ });
  await row.getByText('nobody').waitFor();
  studio().disks = [{ volume: 'archive', id: it.mock.world.volumes.get('archive').id, path: '/mnt/archive', read_only: false, slot: 0, change: 'none', force: false }];
  await page.reload();
  await row.getByRole('link', { name: 'studio' }).waitFor();
  await gives(() => row.getByRole('button', { name: 'Delete archive' }).isDisabled(), true);
  studio().disks = [];
  await page.reload();
  await row.getByText('nobody').waitFor();
  await row.getByRole('button', { name: 'Delete archive' }).click();
  const ask = page.getByRole('dialog', { name: 'Delete archive?' });
  await ask.getByLabel(/Type archive/).fill('archive');
  await ask.getByRole('button', { name: 'Delete', exact: true }).click();
  await row.waitFor({ state: 'detached' });
  await gives(() => it.mock.world.volumes.has('archive'), false);
});
