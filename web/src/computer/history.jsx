// SPDX-License-Identifier: Apache-2.0
// What happened to a computer: its operations, and for administrators who did what from where.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../lib/api.js';
import { isAdmin, operations } from '../lib/live.js';
import { Ago, Empty, Progress, Trouble } from '../ui/parts.jsx';
import { Table } from '../ui/table.jsx';
import { Outcome, deed } from '../pages/activity.jsx';

const STATES = { pending: ['waiting', 'calm'], running: ['going on', 'busy'], done: ['done', 'good'], failed: ['failed', 'bad'], cancelled: ['cancelled', 'calm'] };
export const OpState = ({ op }) => {
  const [word, tone] = STATES[op.state] ?? ['unknown', 'calm'];
  return <span class={`state ${tone}`}><i aria-hidden="true" />{word}</span>;
};

export function History({ i }) {
  const object = `spaces/${i.space}/instances/${i.name}`;
  const ops = [...operations.value.values()].filter((o) => o.target === object || (o.target === i.name && o.space === i.space)).sort((a, b) => String(b.created).localeCompare(String(a.created)));
  return (
    <>
      <h2 class="sr">Work</h2>
      {ops.length ? <Table label="Work on this computer" rows={ops} keyOf={(o) => o.id} columns={[
        { id: 'kind', text: 'What', cell: (o) => o.kind },
        { id: 'state', text: 'Outcome', cell: (o) => (o.state === 'running' ? <Progress permille={o.progress} label={o.kind} /> : <OpState op={o} />) },
        { id: 'text', text: 'Details', className: 'wrap', cell: (o) => o.error?.detail ?? (o.state === 'running' ? o.step : '') },
        { id: 'user', text: 'Who', cell: (o) => o.user ?? '–' },
        { id: 'when', text: 'When', cell: (o) => <Ago time={o.created} /> },
      ]} /> : <Empty icon="clock" title="Nothing of late"><p>Starts, stops and changes of the last day show here.</p></Empty>}
      {isAdmin.value && <Audit object={object} />}
    </>
  );
}

function Audit({ object }) {
  const [items, setItems] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    get(`/v1/audit?limit=50&object=${encodeURIComponent(object)}`).then((r) => setItems(r.items), setError);
  }, [object]);
  return (
    <section class="section">
      <h2>Who did what</h2>
      <Trouble error={error} />
      {items && <Table label="Activity" rows={items} keyOf={(a) => a.id} empty="Nothing is recorded." columns={[
        { id: 'time', text: 'When', cell: (a) => <Ago time={a.time} /> }, { id: 'user', text: 'Who', cell: (a) => a.user || '–' }, { id: 'from', text: 'From', className: 'hide-narrow', cell: (a) => <span class="num">{a.from || '–'}</span> },
        { id: 'action', text: 'What', cell: (a) => <span title={`${a.method} ${a.path}`}>{deed(a)}</span> }, { id: 'outcome', text: 'Outcome', cell: (a) => <Outcome of={a} /> },
      ]} />}
    </section>
  );
}
