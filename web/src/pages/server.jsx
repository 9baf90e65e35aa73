// SPDX-License-Identifier: Apache-2.0
// The server: what it has, how it does, and what the doctor says.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../lib/api.js';
import { instances, operations } from '../lib/live.js';
import { ended } from '../lib/state.js';
import { bytes, count } from '../lib/format.js';
import { Ago, Button, Meter, PageHead, Progress, Trouble } from '../ui/parts.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';
import { OpState } from '../computer/history.jsx';

const SIGNS = { ok: ['check', 'good'], warn: ['warn', 'needs a look'], bad: ['close', 'must be mended'] };
const RANK = { bad: 0, warn: 1, ok: 2 };

export default function Server() {
  const [node, setNode] = useState(null);
  const [doctor, setDoctor] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const read = async () => {
    setBusy(true);
    try {
      const [n, d] = await Promise.all([get('/v1/node'), get('/v1/doctor')]);
      setNode(n);
      setDoctor([...d.items].sort((a, b) => RANK[a.state] - RANK[b.state]));
      setError(null);
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  useEffect(() => { read(); }, []);
  const given = (k) => [...instances.value.values()].filter((i) => i.state === 'running').reduce((n, i) => n + (i[k] ?? 0), 0);
  const inUse = [...instances.value.values()].reduce((n, i) => n + (i.usage?.memory ?? 0), 0);
  const ops = [...operations.value.values()].sort((a, b) => String(b.created).localeCompare(String(a.created))).slice(0, 15);
  const bad = doctor?.filter((d) => d.state !== 'ok').length;
  return (
    <>
      <PageHead title={node?.name ?? 'Server'} sub={node ? `Portena ${node.version}, ${count(node.cpus, 'cpu')}, ${bytes(node.memory)} memory` : ''}><Button icon="restart" busy={busy} onClick={read}>Look again</Button></PageHead>
      <Trouble error={error} />
      {node && <div class="panels">
        <section class="panel stack"><h2>In use</h2>
          <Meter label="Storage pool" value={node.pool?.used} max={node.pool?.size} text={`${bytes(node.pool?.used)} of ${bytes(node.pool?.size)}`} />
          <Meter label="Memory of computers" value={inUse} max={node.memory} text={`${bytes(inUse)} of ${bytes(node.memory)}`} />
          <Meter label="Cpus given to running computers" value={given('cpu')} max={node.cpus} text={`${given('cpu')} of ${node.cpus}`} />
          <dl class="facts">
            <dt>Computers</dt><dd>{node.instances}</dd>
            <dt>Load</dt><dd class="num">{loadText(node.load)}</dd>
            <dt>Waiting (pressure)</dt><dd class="num">{pressureText(node.pressure)}</dd>
            <dt>To the outside</dt><dd>{node.uplink && node.uplink !== 'none' ? `through ${node.uplink}` : 'none'}</dd>
          </dl>
        </section>
        <section class="panel"><h2>Doctor</h2>
          {doctor && <><p class="soft">{bad ? `${count(bad, 'thing')} to look at.` : 'All is well.'}</p><ul class="doctor">{doctor.map((d) => (
            <li key={d.check}><Icon name={SIGNS[d.state]?.[0] ?? 'info'} className={d.state} /><div><b>{d.check}</b> <span class="sr">{SIGNS[d.state]?.[1]}</span><div>{d.detail}</div>{d.hint && <div class="soft">{d.hint}</div>}</div></li>))}</ul></>}
        </section>
      </div>}
      <section class="section"><h2>Lately</h2><Table label="Work" rows={ops} keyOf={(o) => o.id} empty="Nothing was done lately." columns={[
        { id: 'kind', text: 'What', cell: (o) => o.kind }, { id: 'target', text: 'On', className: 'wrap', cell: (o) => (o.target ?? '–').replace(/^spaces\/([^/]+)\/instances\//, '$1/') },
        { id: 'state', text: 'Outcome', cell: (o) => (ended(o) ? <OpState op={o} /> : <Progress permille={o.progress} label={o.kind} />) }, { id: 'user', text: 'Who', cell: (o) => o.user ?? '–' }, { id: 'when', text: 'When', cell: (o) => <Ago time={o.created} /> },
      ]} /></section>
    </>
  );
}

const loadText = (l) => (Array.isArray(l) ? l.map((n) => n.toFixed(2)).join('  ') : typeof l === 'number' ? l.toFixed(2) : '–');
const pressureText = (p) => (p && typeof p === 'object' ? Object.entries(p).map(([k, v]) => `${k} ${Number(v).toFixed(1)} %`).join(', ') : typeof p === 'number' ? `${p.toFixed(1)} %` : '–');
