// SPDX-License-Identifier: Apache-2.0
// The console's beginning: who is there, and which page.
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { link, session, start } from './lib/live.js';
import { route, watchRoute } from './lib/route.js';
import { Shell } from './ui/shell.jsx';
import { DialogHost, Toasts } from './ui/dialog.jsx';
import { Login, MustChange, NoAnswer } from './pages/login.jsx';
import { Home } from './pages/home.jsx';
import { NewComputer } from './pages/new.jsx';
import { Desktop } from './pages/desktop.jsx';
import { lazy } from './ui/lazy.jsx';

const PAGES = {
  home: Home,
  new: NewComputer,
  computer: lazy(() => import('./computer/computer.jsx')),
  space: lazy(() => import('./pages/space.jsx')),
  spaces: lazy(() => import('./pages/spaces.jsx')),
  images: lazy(() => import('./pages/images.jsx')),
  users: lazy(() => import('./pages/users.jsx')),
  account: lazy(() => import('./pages/account.jsx')),
  activity: lazy(() => import('./pages/activity.jsx')),
  server: lazy(() => import('./pages/server.jsx')),
};

function App() {
  const s = session.value;
  const { page, args, query } = route.value;
  if (s === undefined) return link.value === 'lost' ? <NoAnswer /> : null; // mostly known within milliseconds: nothing is better than a flash
  if (s === null) return <Login />;
  if (s.user.must_change) return <MustChange />;
  if (page === 'desktop' && args.length === 2) return <Desktop space={args[0]} name={args[1]} />;
  const Page = PAGES[page];
  return <Shell page={page}>{Page ? <Page key={`${page}/${args.slice(0, 2).join('/')}`} args={args} query={query} /> : <NotHere />}</Shell>;
}

function NotHere() {
  return <div class="empty"><h1>There is no page here</h1><p>The address may be old or mistyped. <a href="#/">Go to your computers</a>.</p></div>;
}

function Root() {
  const { page, args } = route.value;
  // After a change of page the heading takes the focus, so that a screen reader says where one is.
  useEffect(() => {
    scrollTo(0, 0);
    if (!document.activeElement || document.activeElement === document.body) document.querySelector('h1')?.focus({ preventScroll: true });
  }, [page, args.join('/')]);
  return <><App /><DialogHost /><Toasts /></>;
}

watchRoute();
start();
render(<Root />, document.getElementById('app'));
