// SPDX-License-Identifier: Apache-2.0
// What is around every page but the desktop: the way to other pages, the notice of a lost connection, the keys.
import { useEffect } from 'preact/hooks';
import { Icon, Mark } from './icon.jsx';
import { Dialog, openDialog } from './dialog.jsx';
import { me, server, session, link, isAdmin, spaceNames, end } from '../lib/live.js';
import { del } from '../lib/api.js';
import { href, go } from '../lib/route.js';

const KEYS = [
  ['/', 'search'], ['n', 'new computer'], ['g then h', 'home'], ['g then s', 'spaces'], ['g then i', 'images'],
  ['g then a', 'activity'], ['g then m', 'my account'], ['?', 'these keys'],
];

function links() {
  const list = [{ page: 'home', to: '#/', icon: 'home', text: 'Home' }];
  const names = spaceNames.value;
  if (names.length === 1 && !isAdmin.value) list.push({ page: 'space', to: href('space', names[0]), icon: 'space', text: 'Space' });
  else list.push({ page: 'spaces', also: 'space', to: '#/spaces', icon: 'space', text: 'Spaces' });
  list.push({ page: 'images', to: '#/images', icon: 'image', text: 'Images' });
  if (isAdmin.value) {
    list.push({ page: 'users', to: '#/users', icon: 'users', text: 'Users' });
    list.push({ page: 'activity', to: '#/activity', icon: 'activity', text: 'Activity' });
    list.push({ page: 'server', to: '#/server', icon: 'server', text: 'Server' });
  }
  return list;
}

export async function logOut() {
  await del('/v1/session').catch(() => {}); // whatever it answered, this page forgets the session
  end();
  go();
}

export function Shell({ page, children }) {
  useEffect(() => watchKeys(), []);
  const all = links();
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main').focus(); }}>Skip to the page</a>
      <nav class="rail" aria-label="Main">
        <a class="brand" href="#/"><Mark /><span><b>Portena</b><small>{server.value?.name ?? session.value?.server?.name ?? ''}</small></span></a>
        <div class="rail-links">
          {all.map((l) => (
            <a key={l.page} href={l.to} class={l.page === 'home' || l.page === 'images' || l.page.startsWith('space') ? '' : 'wide-only'}
              aria-current={page === l.page || page === l.also ? 'page' : undefined}><Icon name={l.icon} size={20} /><span>{l.text}</span></a>
          ))}
          {all.length > 3 && <button type="button" class="narrow-only" onClick={() => openDialog((close) => <More close={close} all={all} />)}><Icon name="list" size={20} /><span>More</span></button>}
          <a href="#/account" class="rail-me" aria-current={page === 'account' ? 'page' : undefined}><Icon name="user" size={20} /><span>{me.value.name}</span></a>
        </div>
        <button type="button" class="rail-out wide-only" onClick={logOut}><Icon name="out" size={20} /><span>Sign out</span></button>
      </nav>
      <main id="main" tabIndex="-1">
        {link.value === 'lost' && <p class="offline" role="status"><Icon name="warn" size={16} />No connection to the server. What you see may be old; trying again by itself.</p>}
        {children}
      </main>
    </div>
  );
}

function More({ close, all }) {
  return (
    <Dialog title="More" onClose={close}>
      <div class="more-list">
        {all.filter((l) => ['users', 'activity', 'server'].includes(l.page)).map((l) => <a key={l.page} href={l.to} onClick={close}><Icon name={l.icon} size={20} />{l.text}</a>)}
        <button type="button" onClick={() => { close(); logOut(); }}><Icon name="out" size={20} />Sign out</button>
      </div>
    </Dialog>
  );
}

function Keys({ close }) {
  return (
    <Dialog title="Keys" onClose={close}>
      <dl class="keys">{KEYS.map(([k, what]) => <div key={k}><dt>{k.split(' then ').map((x, n) => <>{n > 0 && ' then '}<kbd>{x}</kbd></>)}</dt><dd>{what}</dd></div>)}</dl>
    </Dialog>
  );
}

const typing = (el) => el?.closest?.('input, textarea, select, [contenteditable], .xterm, dialog');

function watchKeys() {
  let g = 0;
  const onKey = (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
    if (g && Date.now() - g < 1200) {
      g = 0;
      const to = { h: [], s: ['spaces'], i: ['images'], a: ['activity'], m: ['account'], u: ['users'] }[e.key];
      if (to) {
        e.preventDefault();
        go(...to);
      }
      return;
    }
    if (e.key === 'g') g = Date.now();
    else if (e.key === 'n') go('new');
    else if (e.key === '?') openDialog((close) => <Keys close={close} />);
    else if (e.key === '/') {
      e.preventDefault();
      focusSearch();
    }
  };
  addEventListener('keydown', onKey);
  return () => removeEventListener('keydown', onKey);
}

function focusSearch() {
  const field = document.querySelector('[data-search]');
  if (field) return field.focus();
  go();
  setTimeout(() => document.querySelector('[data-search]')?.focus(), 50);
}
