// SPDX-License-Identifier: Apache-2.0
// Further network cards: which there are, one more, one less. While the computer runs, too.
import { useState } from 'preact/hooks';
import { may, opEnd, putInstance, spaces } from '../lib/live.js';
import { del, instancePath, post } from '../lib/api.js';
import { Button, Empty, Field } from '../ui/parts.jsx';
import { FormDialog, openDialog, attempt, toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';

const NAMES = ['eth1', 'eth2', 'eth3', 'eth4', 'eth5', 'eth6', 'eth7'];

export function Cards({ i }) {
  const owner = may(i.space, 'owner');
  const cards = i.nics ?? [];
  const sleeps = ['paused', 'hibernated'].includes(i.state);
  const remove = (c) => attempt(taken(i, del(`${instancePath(i)}/nics/${c.name}`)).then(() => toast(`${i.name} has ${c.name} no more.`)));
  return (
    <section class="panel">
      <div class="section-head"><h2>Further network cards</h2>{owner && !sleeps && cards.length < NAMES.length && <Button icon="plus" onClick={() => openDialog((close) => <AddCard i={i} close={close} />)}>Add a network card</Button>}</div>
      {cards.length ? <Table label="Further network cards" keyOf={(c) => c.name} rows={cards} columns={[
        { id: 'name', text: 'Name', cell: (c) => c.name },
        { id: 'space', text: 'In space', cell: (c) => c.space },
        { id: 'address', text: 'Addresses', cell: (c) => <span class="num">{c.address}{c.address6 && <><br />{c.address6}</>}<br />{c.mac}</span> },
        { id: 'acts', text: '', className: 'acts', cell: (c) => owner && !sleeps && <Button kind="ghost" icon="trash" aria-label={`Remove ${c.name}`} title="Remove" onClick={() => remove(c)} /> },
      ]} /> : <Empty icon="network" title="It has one network card"><p>One more brings it into the network of another space, or gives it a second address in its own.</p></Empty>}
      {owner && sleeps && <p class="hint">They can change when {i.name} is awake.</p>}
    </section>
  );
}

/** The answer's instance is shown at once; then its operation is waited for. */
async function taken(i, answer) {
  const { operation, ...view } = await answer;
  putInstance({ ...view, space: i.space });
  await opEnd(operation);
}

function AddCard({ i, close }) {
  const [form, setForm] = useState({ space: i.space, name: '', address: '' });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const has = new Set((i.nics ?? []).map((c) => c.name));
  const where = [...spaces.value.keys()].filter((s) => s === i.space || may(s, 'member'));
  const submit = () => taken(i, post(`${instancePath(i)}/nics`, Object.fromEntries(Object.entries({ ...form, address: form.address.trim() }).filter(([, v]) => v))));
  return (
    <FormDialog title="Add a network card" submit={submit} submitText="Add" onClose={close}>
      <Field label="In the network of space">{(ids) => <select {...ids} value={form.space} onChange={set('space')}>{where.map((s) => <option key={s} value={s}>{s}{spaces.value.get(s)?.subnet ? ` · ${spaces.value.get(s).subnet}` : ''}</option>)}</select>}</Field>
      <div class="two">
        <Field label="Address" placeholder="the next free one" spellcheck={false} value={form.address} onInput={set('address')} />
        <Field label="Name">{(ids) => <select {...ids} value={form.name} onChange={set('name')}><option value="">the next free one</option>{NAMES.filter((n) => !has.has(n)).map((n) => <option key={n} value={n}>{n}</option>)}</select>}</Field>
      </div>
      <p class="hint">Applies at once. {i.name} is then in both networks, and leads nobody from one to the other.</p>
    </FormDialog>
  );
}
