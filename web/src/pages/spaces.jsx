// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { spaces, isAdmin, loaded, readSpaces } from '../lib/live.js';
import { post, put, spacePath } from '../lib/api.js';
import { href } from '../lib/route.js';
import { bytes, count } from '../lib/format.js';
import { Button, Empty, Field, PageHead } from '../ui/parts.jsx';
import { FormDialog, openDialog } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';
import { QuotaFields, quotaOf } from './quota.jsx';

const of = (used, quota, show = String) => (quota ? `${show(used ?? 0)} of ${show(quota)}` : show(used ?? 0));
const COLUMNS = [
  { id: 'name', text: 'Name', sort: (s) => s.name, cell: (s) => <a href={href('space', s.name)}><b>{s.name}</b></a> },
  { id: 'description', text: 'For', className: 'wrap hide-narrow', cell: (s) => <span class="soft">{s.description || '–'}</span> },
  { id: 'members', text: 'People', num: true, className: 'hide-narrow', sort: (s) => Object.keys(s.members ?? {}).length, cell: (s) => Object.keys(s.members ?? {}).length },
  { id: 'instances', text: 'Computers', num: true, sort: (s) => s.used?.instances ?? 0, cell: (s) => of(s.used?.instances, s.quota?.instances) },
  { id: 'cpu', text: 'Cpus', num: true, className: 'hide-narrow', sort: (s) => s.used?.cpu ?? 0, cell: (s) => of(s.used?.cpu, s.quota?.cpu) },
  { id: 'memory', text: 'Memory', num: true, sort: (s) => s.used?.memory ?? 0, cell: (s) => of(s.used?.memory, s.quota?.memory, bytes) },
  { id: 'disk', text: 'Disk', num: true, className: 'hide-narrow', sort: (s) => s.used?.disk ?? 0, cell: (s) => of(s.used?.disk, s.quota?.disk, bytes) },
];

export default function Spaces() {
  const list = [...spaces.value.values()];
  if (!loaded.value) return null;
  return (
    <>
      <PageHead title="Spaces" sub={`A space belongs to a person, a family or a team: its own network, people and share of the server. ${count(list.length, 'space')}.`}>
        {isAdmin.value && <Button kind="primary" icon="plus" onClick={() => openDialog((close) => <NewSpace close={close} />)}>New space</Button>}
      </PageHead>
      {list.length ? <Table label="Spaces" columns={COLUMNS} rows={list} keyOf={(s) => s.name} initial={{ id: 'name', down: false }} />
        : <Empty icon="space" title="You are in no space yet"><p>An administrator or an owner of a space can add you.</p></Empty>}
    </>
  );
}

function NewSpace({ close }) {
  const [form, setForm] = useState({ name: '', description: '', owner: '' });
  const [quota, setQuota] = useState({});
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async () => {
    const { values, fault } = quotaOf(quota);
    if (fault) throw new Error(fault);
    const owner = form.owner.trim();
    await post('/v1/spaces', { name: form.name.trim(), ...(form.description ? { description: form.description } : {}), ...(Object.keys(values).length ? { quota: values } : {}) });
    if (owner) await put(`${spacePath(form.name.trim())}/members/${encodeURIComponent(owner)}`, { role: 'owner' });
    await readSpaces();
  };
  return (
    <FormDialog title="New space" submit={submit} submitText="Create" onClose={close}>
      <Field label="Name" required value={form.name} onInput={set('name')} pattern="[a-z]([a-z0-9\-]{0,61}[a-z0-9])?" title="small letters, digits and dashes, beginning with a letter" autoCapitalize="none" spellcheck={false} autoFocus />
      <Field label="What it is for" value={form.description} onInput={set('description')} />
      <Field label="Owner" value={form.owner} onInput={set('owner')} autoCapitalize="none" spellcheck={false} hint="A user’s name; you can add people later, too." />
      <QuotaFields quota={quota} setQuota={setQuota} />
    </FormDialog>
  );
}
