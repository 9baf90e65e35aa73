// SPDX-License-Identifier: Apache-2.0
// What runs in one computer, or (space.jsx) over everything in a space. Read when the page opens, with each new
// sample of a computer in it, and at a click.
import { useEffect, useState } from 'preact/hooks';
import { get, instancePath, spacePath } from '../lib/api.js';
import { instances, onSample } from '../lib/live.js';
import { keyOf, stateWords } from '../lib/state.js';
import { bytes, duration } from '../lib/format.js';
import { href } from '../lib/route.js';
import { Ago, Empty, Trouble, Button } from '../ui/parts.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';

export function Processes({ i }) {
  if (i.state !== 'running') return <Empty icon="list" title="Nothing runs"><p>{i.name} is {stateWords(i).word}.</p></Empty>;
  return <ProcessTable path={`${instancePath(i)}/processes`} watch={[keyOf(i)]} />;
}

export function SpaceProcesses({ space }) {
  const running = [...instances.value.values()].filter((i) => i.space === space && i.state === 'running');
  if (!running.length) return <Empty icon="list" title="Nothing runs in this space"><p>Start a computer, and its processes show here together with all others.</p></Empty>;
  return <ProcessTable path={`${spacePath(space)}/processes`} watch={running.map(keyOf)} space={space} />;
}

function ProcessTable({ path, watch, space }) {
  const [items, setItems] = useState(null);
  const [error, setError] = useState(null);
  const [find, setFind] = useState('');
  useEffect(() => {
    let gone = false;
    let busy = false;
    let before = null;
    const read = async () => {
      if (busy || document.hidden) return;
      busy = true;
      try {
        const at = performance.now();
        const list = (await get(path)).items;
        const share = sharesSince(before, list, at);
        before = { at, cpu: new Map(list.map((p) => [`${p.instance}/${p.pid}`, p.cpu_usec])) };
        if (!gone) {
          setItems(list.map((p) => ({ ...p, share: share(p) })));
          setError(null);
        }
      } catch (e) {
        if (!gone) setError(e);
      }
      busy = false;
    };
    read();
    const stops = watch.map((k) => onSample(k, read));
    return () => {
      gone = true;
      stops.forEach((s) => s());
    };
  }, [path, watch.join()]);
  const words = find.toLowerCase();
  const rows = (items ?? []).filter((p) => `${p.pid} ${p.user} ${p.command} ${p.instance}`.toLowerCase().includes(words));
  const columns = [
    space && { id: 'instance', text: 'Computer', cell: (p) => <a href={href('computer', space, p.instance)}>{p.instance}</a>, sort: (p) => p.instance },
    { id: 'pid', text: 'PID', num: true, cell: (p) => p.pid, sort: (p) => p.pid },
    { id: 'command', text: 'Command', cell: (p) => <div class="ellipsis mono" title={p.command}>{p.command}</div>, sort: (p) => p.command },
    { id: 'user', text: 'User', cell: (p) => p.user, sort: (p) => p.user },
    { id: 'share', text: 'CPU', num: true, cell: (p) => (p.share == null ? '–' : `${p.share.toFixed(1)} %`), sort: (p) => p.share ?? -1 },
    { id: 'memory', text: 'Memory', num: true, cell: (p) => bytes(p.memory), sort: (p) => p.memory },
    { id: 'time', text: 'CPU time', num: true, cell: (p) => duration(p.cpu_usec / 1e6), sort: (p) => p.cpu_usec },
    { id: 'started', text: 'Started', cell: (p) => <Ago time={p.started} />, sort: (p) => p.started },
  ].filter(Boolean);
  return (
    <>
      <div class="section-head">
        <label class="search"><Icon name="search" /><span class="sr">Search processes</span><input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)} /><kbd aria-hidden="true">/</kbd></label>
        <span class="soft num">{items ? `${rows.length} of ${items.length}` : ''}</span>
      </div>
      <Trouble error={error}><Button onClick={() => setError(null)}>Dismiss</Button></Trouble>
      {items && <Table label="Processes" columns={columns} rows={rows} keyOf={(p) => `${p.instance}/${p.pid}`} initial={{ id: 'memory', down: true }} empty="No process matches." />}
    </>
  );
}

/** The share of one cpu between two readings; unknown for what was not there before. */
function sharesSince(before, list, at) {
  return (p) => {
    const was = before?.cpu.get(`${p.instance}/${p.pid}`);
    const us = (at - (before?.at ?? at)) * 1000;
    return was == null || us <= 0 ? null : Math.max(0, (p.cpu_usec - was) / us * 100);
  };
}
