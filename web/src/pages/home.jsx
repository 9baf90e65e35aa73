// SPDX-License-Identifier: Apache-2.0
// My computers: live pictures, one click to sit down at one.
import { useState } from 'preact/hooks';
import { instances, loaded, act, may, homeSpace, spaceNames, images, me, now } from '../lib/live.js';
import { href, go } from '../lib/route.js';
import { keyOf, stateWords } from '../lib/state.js';
import { bytes, cpuShare, count, duration } from '../lib/format.js';
import { Badges, Button, State, Menu } from '../ui/parts.jsx';
import { Icon } from '../ui/icon.jsx';
import { Thumbnail, ImagePicture } from '../ui/picture.jsx';
import { attempt } from '../ui/dialog.jsx';
import { Desktop } from './desktop.jsx';
import { instanceMenu } from '../ui/acts.jsx';
import { KINDS, isSealed } from '../lib/kinds.js';
import { choices, launchDesktop } from '../lib/launch.js';

const ORDER = { running: 0, starting: 0, paused: 1, hibernated: 1, stopping: 1, failed: 1, stopped: 2 };

export function Home() {
  const [find, setFind] = useState('');
  if (!loaded.value) return <p class="quiet" role="status">Reading your computers…</p>;
  const all = [...instances.value.values()].sort((a, b) => (ORDER[a.state] ?? 3) - (ORDER[b.state] ?? 3) || a.name.localeCompare(b.name));
  if (!all.length) return <FirstTime />;
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((i) => words.every((w) => `${i.name} ${i.space} ${i.image_name} ${i.state} ${KINDS[i.kind]?.word ?? ''} ${i.arch ?? ''} ${i.description ?? ''} ${i.address ?? ''}`.toLowerCase().includes(w)));
  const running = all.filter((i) => i.state === 'running').length;
  return (
    <>
      <header class="page-head">
        <div><h1 tabIndex="-1">Your computers</h1><p class="soft">{count(all.length, 'computer')}, {running} running</p></div>
        <div class="actions">
          <label class="search"><Icon name="search" /><span class="sr">Search computers</span>
            <input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)}
              onKeyDown={(e) => { if (e.key === 'Enter' && shown.length) open(shown[0]); if (e.key === 'Escape') e.currentTarget.blur(); }} /><kbd aria-hidden="true">/</kbd></label>
          {homeSpace.value && <Button kind="primary" icon="plus" href="#/new">New computer</Button>}
        </div>
      </header>
      <ul class={`grid ${all.length <= 2 ? 'few' : ''}`} aria-label="Computers">{shown.map((i) => <Card key={keyOf(i)} i={i} many={spaceNames.value.length > 1} />)}</ul>
      {!shown.length && <p class="quiet">No computer matches “{find}”. <button type="button" class="plain" onClick={() => setFind('')}>Show all</button></p>}
    </>
  );
}

/** Where a click on a computer leads: its desktop, else its terminal; one that is off is started on the way. */
export function open(i) {
  if (i.state === 'failed' || i.state === 'stopping') return go('computer', i.space, i.name);
  if (!may(i.space, 'member')) return go('computer', i.space, i.name);
  if (i.state === 'stopped') attempt(act(i, 'start'));
  if (i.state === 'paused' || i.state === 'hibernated') attempt(act(i, 'resume'));
  if (i.desktop) return go('desktop', i.space, i.name);
  return go('computer', i.space, i.name, i.init === 'app' || i.kind === 'process' || isSealed(i) ? 'console' : 'terminal');
}

function Card({ i, many }) {
  const { word, tone } = stateWords(i);
  const verb = { stopped: 'Start and open', paused: 'Resume and open', hibernated: 'Wake and open', failed: 'See what failed' }[i.state] ?? 'Open';
  const up = i.state === 'running' && i.started ? duration((now.value - Date.parse(i.started)) / 1000) : null;
  return (
    <li class={`card ${tone}`}>
      <a class="card-open" href={i.desktop ? href('desktop', i.space, i.name) : href('computer', i.space, i.name)} aria-label={`${verb} ${i.name}, ${word}`}
        onPointerMove={() => i.desktop && Desktop.ahead()} onFocus={() => i.desktop && Desktop.ahead()}
        onClick={(e) => { if (e.ctrlKey || e.metaKey || e.shiftKey) return; e.preventDefault(); open(i); }}>
        <Thumbnail of={i} />
        <span class="card-verb" aria-hidden="true"><Icon name={i.state === 'stopped' ? 'play' : i.desktop ? 'screen' : 'terminal'} />{verb}</span>
      </a>
      <div class="card-text">
        <div class="card-title">
          <a href={href('computer', i.space, i.name)}><h2>{i.name}</h2></a>
          <Menu label={`More for ${i.name}`} items={instanceMenu(i)} />
        </div>
        <p class="card-line"><State of={i} /><Badges of={i} />{many && <span class="soft">in {i.space}</span>}</p>
        {i.state === 'failed' && i.error
          ? <p class="card-line bad-text" title={i.error}>{i.error.split('\n')[0]}</p>
          : <p class="card-line soft num">{i.state === 'running' && i.usage ? <>{cpuShare(i.usage.cpu)} cpu · {bytes(i.usage.memory)}{up && <> · up {up}</>}</> : i.image_name}</p>}
      </div>
    </li>
  );
}

/** Nobody's first page is an empty table. */
function FirstTime() {
  const [busy, setBusy] = useState(false);
  const space = homeSpace.value;
  const known = images.value != null;
  const hasDesktop = known && choices().some((c) => c.desktop);
  const name = me.value.full_name?.split(' ')[0] || me.value.name;
  if (!space)
    return <div class="first"><h1 tabIndex="-1">Hello {name}</h1><p>There is no computer for you yet, and no space where you may make one. Ask the administrator of this server to add you to a space.</p></div>;
  return (
    <div class="first">
      <div class="first-picture"><ImagePicture name="desktop" desktop /></div>
      <h1 tabIndex="-1">Hello {name}</h1>
      <p>Your own computer is one click away. It lives on this server, goes on when you close the browser, and looks the same from anywhere.</p>
      {known && hasDesktop && <Button kind="primary huge" icon="play" busy={busy} onClick={() => { setBusy(true); launchDesktop(space); }}>Start my desktop</Button>}
      {known && !hasDesktop && <p class="soft">No desktop image is on this server yet. An administrator can build it under Images.</p>}
      <p><a href="#/new">Choose something else</a></p>
    </div>
  );
}
