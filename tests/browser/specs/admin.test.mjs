// SPDX-License-Identifier: Apache-2.0
// Users, tokens, spaces, images, activity. Against the mock.
import { readFileSync } from 'node:fs';
import { spec, login, to, it, assert, shot, until, gives, passed, PASSWORD } from './helper.mjs';

async function signIn(page, user, password = 'correct horse') {
  await page.goto(it.url);
  await page.getByLabel('User', { exact: true }).fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

spec('a first password must be changed, and is not asked for again', { mock: true }, async (page) => {
  await signIn(page, 'dora');
  await page.getByRole('heading', { name: 'Choose your password' }).waitFor();
  await gives(() => page.getByLabel('The password you were given').count(), 0);
  await gives(() => page.locator('input[autocomplete=username]').inputValue(), 'dora', 'for password managers');
  await until(() => page.evaluate(() => document.activeElement.name === 'new'), 'the first field has the focus');
  await page.getByLabel('New password', { exact: true }).fill('a short sentence');
  await page.getByLabel('New password again').fill('a short sentense');
  await page.getByText('The two are not the same').waitFor();
  await page.getByLabel('New password again').fill('a short sentence');
  await page.getByRole('button', { name: 'Save and go on' }).click();
  await page.getByRole('heading', { name: 'Your computers' }).waitFor();
});

spec('a first password is asked for again where the page was loaded anew', { mock: true }, async (page) => {
  await signIn(page, 'dora');
  await page.getByRole('heading', { name: 'Choose your password' }).waitFor();
  await page.reload();
  await page.getByLabel('The password you were given').fill('correct horse');
  await page.getByLabel('New password', { exact: true }).fill('a short sentence');
  await page.getByLabel('New password again').fill('a short');
  await page.getByRole('button', { name: 'Save and go on' }).click();
  await page.getByText('The two new passwords are not the same.').waitFor();
  await page.getByLabel('New password again').fill('a short sentence');
  await page.getByRole('button', { name: 'Save and go on' }).click();
  await page.getByRole('heading', { name: 'Your computers' }).waitFor();
});

spec('a wrong code is refused; the code is asked for only after the password', { mock: true }, async (page) => {
  await signIn(page, 'carl');
  await page.getByRole('textbox', { name: 'Code' }).fill('000000');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('alert').waitFor();
});

spec('a user is added with a first password to hand over', { mock: true }, async (page) => {
  await login(page, '#/users');
  await page.getByRole('button', { name: 'New user' }).click();
  await page.getByLabel('User name').fill('finn');
  await page.getByRole('button', { name: 'Add' }).click();
  const code = page.getByRole('dialog', { name: 'finn is added' }).locator('code');
  assert.match(await code.textContent(), /^([a-z2-9]{5}-){3}[a-z2-9]{5}$/);
  await gives(() => it.mock.world.users.get('finn').password, await code.textContent());
  await gives(() => it.mock.world.users.get('finn').must_change, true);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('cell', { name: 'finn', exact: true }).waitFor();
  await page.getByLabel('Choose ben').check();
  await page.getByLabel('Choose finn').check();
  await page.getByRole('button', { name: 'Lock', exact: true }).click();
  await until(() => it.mock.world.users.get('ben').disabled && it.mock.world.users.get('finn').disabled, 'both are locked');
});

spec('second factor with a QR code, tokens shown once', { mock: true }, async (page) => {
  await login(page, '#/account');
  await page.getByRole('button', { name: 'Set it up' }).click();
  await page.getByRole('img', { name: 'QR code' }).waitFor();
  await shot(page, 'totp');
  await page.getByRole('textbox', { name: 'Code' }).fill('111111');
  await page.getByRole('button', { name: 'Turn it on' }).click();
  await page.getByText('that code is not right').waitFor();
  await page.getByRole('textbox', { name: 'Code' }).fill('123456');
  await page.getByRole('button', { name: 'Turn it on' }).click();
  await page.getByText('On: signing in asks').waitFor();
  await page.getByRole('button', { name: 'Take it off' }).click();
  const ask = page.getByRole('dialog');
  await ask.getByLabel('Your password').fill('a guess');
  await ask.getByRole('button', { name: 'Take it off' }).click();
  await ask.getByText('that is not your password').waitFor();
  await ask.getByLabel('Your password').fill(PASSWORD);
  await ask.getByRole('button', { name: 'Take it off' }).click();
  await page.getByRole('button', { name: 'Set it up' }).waitFor();
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('backup');
  await page.getByRole('button', { name: 'Make the token' }).click();
  await page.getByText(/^pt_/).waitFor();
  await page.getByRole('button', { name: 'Revoke backup' }).click();
  await until(() => it.mock.world.tokens.length === 0, 'it is revoked');
});

spec('a space: quota, people', { mock: true }, async (page) => {
  await login(page, '#/space/home');
  await page.getByRole('button', { name: 'Change' }).click();
  await page.getByRole('dialog').getByLabel('Memory').fill('48 GiB');
  await page.getByRole('button', { name: 'Save' }).click();
  await until(() => it.mock.world.spaces.get('home').quota.memory === 48 * 1024 ** 3, 'the quota is changed');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('dialog').getByLabel('User').fill('nobody');
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await page.getByText('there is no user called nobody').waitFor();
  await page.getByRole('dialog').getByLabel('User').fill('ben');
  await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await page.getByRole('cell', { name: 'ben', exact: true }).waitFor();
  await page.getByLabel('Role of ben').selectOption('viewer');
  await until(() => it.mock.world.spaces.get('home').members.ben === 'viewer', 'the role is changed');
});

spec('images: build and import with progress, refusals in place', { mock: true }, async (page) => {
  await login(page, '#/images');
  await page.getByRole('button', { name: 'Build' }).click();
  await passed(page, 'a progress bar');
  await passed(page, 'Configuring');
  await passed(page, 'alpine is ready.');
  await page.getByRole('button', { name: 'Import' }).click();
  await page.getByLabel('From').fill('nowhere.example/x:1');
  await page.getByRole('dialog').getByRole('button', { name: 'Import' }).click();
  await page.getByText(/does not answer/).waitFor();
  await gives(() => page.getByLabel('From').inputValue(), 'nowhere.example/x:1');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'More for desktop' }).click();
  await page.getByRole('menuitem', { name: 'Delete…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('alert').getByText(/is used by home\/studio/).waitFor();
});

spec('activity: search, filter, export', { mock: true }, async (page) => {
  await login(page, '#/activity');
  await page.getByRole('cell', { name: 'studio in home' }).first().waitFor();
  await page.getByLabel('Outcome').selectOption('no');
  await page.getByRole('searchbox').fill('quota');
  await until(async () => await page.locator('tbody tr').count() >= 5, 'what was refused for a quota');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export CSV' }).click()]);
  const text = readFileSync(await download.path(), 'utf8');
  assert.match(text, /^time,user,from,/);
  assert.ok(!text.includes(',ok,'));
  await to(page, '#/server');
  await page.getByText('the certificate ends in 3 days').waitFor();
});
