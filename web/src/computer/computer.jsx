// SPDX-License-Identifier: Apache-2.0
// One computer, to look after it: a head with what can be done, and a page for each matter.
import { instance, loaded, may, isAdmin } from '../lib/live.js';
import { isSealed } from '../lib/kinds.js';
import { href } from '../lib/route.js';
import { Badges, Button, Empty, Menu, State, Tabs, Note } from '../ui/parts.jsx';
import { attempt } from '../ui/dialog.jsx';
import { instanceActs, askDelete, exportAct } from '../ui/acts.jsx';
import { lazy } from '../ui/lazy.jsx';
import { act } from '../lib/live.js';
import { Overview } from './overview.jsx';
import { Files } from './files.jsx';
import { Processes } from './processes.jsx';
import { Disks } from './disks.jsx';
import { InstanceNetwork } from './network.jsx';
import { Settings } from './settings.jsx';
import { History } from './history.jsx';

const Terminal = lazy(() => import('../terminal/terminal.jsx'));
const TABS = [
  { id: 'overview', text: 'Overview', Page: Overview },
  { id: 'terminal', text: 'Terminal', Page: (p) => <Terminal {...p} what="exec" key="exec" />, role: 'member', inside: true },
  { id: 'console', text: 'Console', Page: (p) => <Terminal {...p} what="console" key="console" />, role: 'member' },
  { id: 'files', text: 'Files', Page: Files, role: 'member', inside: true },
  { id: 'processes', text: 'Processes', Page: Processes, inside: true },
  { id: 'disks', text: 'Disks', Page: Disks },
  { id: 'network', text: 'Network', Page: InstanceNetwork },
  { id: 'settings', text: 'Settings', Page: Settings },
  { id: 'history', text: 'History', Page: History },
];

export default function Computer({ args, query }) {
  const [space, name, id = 'overview'] = args;
  const i = instance(space, name);
  if (!i) {
    if (!loaded.value) return null;
    return <Empty icon="screen" title={`There is no ${name} in ${space}`}><p>It may have been deleted or renamed, or you may not see it. <a href="#/">Your computers</a></p></Empty>;
  }
  const tabs = TABS.filter((t) => (!t.role || may(space, t.role)) && !(t.inside && isSealed(i) && !(t.id === 'files' && i.agent)));
  const tab = tabs.find((t) => t.id === id) ?? tabs[0];
  return (
    <>
      <header class="page-head">
        <div>
          <h1 tabIndex="-1">{name}</h1>
          <p class="soft"><State of={i} /> <Badges of={i} /> · {i.image_name} · in <a href={href('space', space)}>{space}</a>{isAdmin.value && i.node && <> · on {i.node}</>}</p>
        </div>
        <div class="actions"><Acts i={i} /></div>
      </header>
      {i.state === 'failed' && <div class="stack"><Note tone="bad" icon="warn"><p>{(i.error ?? 'It failed, and the reason is not known.').split('\n')[0]}</p><p class="soft">{(i.error ?? '').split('\n').slice(1).join(' ')}</p></Note><span /></div>}
      <Tabs label={`Pages of ${name}`} current={tab.id} items={tabs.map((t) => ({ ...t, href: href('computer', space, name, t.id === 'overview' ? null : t.id) }))} />
      <tab.Page i={i} query={query} />
    </>
  );
}

function Acts({ i }) {
  const acts = instanceActs(i);
  const member = may(i.space, 'member');
  const first = acts[0];
  return (
    <>
      {member && i.desktop && i.state === 'running' && <Button kind="primary" icon="screen" href={href('desktop', i.space, i.name)}>Open the desktop</Button>}
      {member && i.state !== 'running' && first && ['Start', 'Resume'].includes(first.text) && <Button kind="primary" icon="play" onClick={first.act}>{first.text}</Button>}
      {member && i.state === 'running' && <Button icon="stop" onClick={() => attempt(act(i, 'stop'))}>Stop</Button>}
      <Menu label="More" kind="" items={[
        ...acts.filter((a) => !['Start', 'Resume', 'Stop'].includes(a.text)),
        exportAct(i),
        may(i.space, 'owner') && { text: 'Delete…', icon: 'trash', danger: true, act: () => askDelete(i) },
      ]} />
    </>
  );
}
