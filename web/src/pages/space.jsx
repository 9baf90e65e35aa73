// SPDX-License-Identifier: Apache-2.0
// A household, class or team: who is in it, what it may use and uses, its network, and everything that runs in it.
import { useEffect, useState } from 'preact/hooks';
import { spaces, instances, isAdmin, loaded, may, me, opEnd, readSpaces, roleIn } from '../lib/live.js';
import { del, get, patch, put, spacePath } from '../lib/api.js';
import { go, href } from '../lib/route.js';
import { bytes, count, cpus } from '../lib/format.js';
import { Ago, Button, Empty, Field, Meter, PageHead, State, Tabs, Trouble } from '../ui/parts.jsx';
import { FormDialog, attempt, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';
import { Grow, NewVolume, askDeleteVolume, useVolumes } from '../computer/disks.jsx';
import { SpaceProcesses } from '../computer/processes.jsx';
import { QuotaFields, quotaOf, quotaText } from './quota.jsx';

const ROLES = [['owner', 'Owner', 'creates, changes and deletes, and manages people'], ['member', 'Member', 'uses what is there: desktops, terminals, files'], ['viewer', 'Viewer', 'looks, changes nothing']];
const TABS = [
  { id: 'overview', text: 'Overview', Page: Overview }, { id: 'network', text: 'Network', Page: SpaceNetwork },
  { id: 'processes', text: 'Processes', Page: ({ s }) => <SpaceProcesses space={s.name} /> }, { id: 'disks', text: 'Disks', Page: Disks },
];

export default function Space({ args }) {
  const [name, id = 'overview'] = args;
  const s = spaces.value.get(name);
  if (!s) return loaded.value ? <Empty icon="space" title={`There is no space called ${name}`}><p>Or you are not in it. <a href="#/spaces">Your spaces</a></p></Empty> : null;
  const tab = TABS.find((t) => t.id === id) ?? TABS[0];
  const mine = [...instances.value.values()].filter((i) => i.space === name);
  return (
    <>
      <PageHead title={name} sub={s.description || `Space with ${count(mine.length, 'computer')}`}>
        {may(name, 'owner') && <><Button icon="edit" onClick={() => openDialog((close) => <EditSpace s={s} close={close} />)}>Change</Button><Button kind="primary" icon="plus" href={href('new', { space: name })}>New computer</Button></>}
      </PageHead>
      <Tabs label={`Pages of space ${name}`} current={tab.id} items={TABS.map((t) => ({ ...t, href: href('space', name, t.id === 'overview' ? null : t.id) }))} />
      <tab.Page s={s} mine={mine} />
    </>
  );
}

function Overview({ s, mine }) {
  const q = s.quota ?? {};
  const u = s.used ?? {};
  const text = (k, show) => `${show(u[k] ?? 0)}${q[k] ? ` of ${show(q[k])}` : ', no limit'}`;
  return (
    <div class="panels">
      <section class="panel stack">
        <h2>In use</h2>
        <Meter label="Computers" value={u.instances} max={q.instances} text={text('instances', String)} />
        <Meter label="Processors" value={u.cpu} max={q.cpu} text={text('cpu', (n) => (n ? cpus(n) : '0 cpus'))} />
        <Meter label="Memory" value={u.memory} max={q.memory} text={text('memory', bytes)} />
        <Meter label="Disk" value={u.disk} max={q.disk} text={text('disk', bytes)} />
        <p class="hint">What its computers may use together, whether they run or not.</p>
      </section>
      <Members s={s} />
      <section class="panel">
        <h2>Computers</h2>
        {mine.length ? <Table label="Computers" rows={mine} keyOf={(i) => i.name} initial={{ id: 'name', down: false }} columns={[
          { id: 'name', text: 'Name', sort: (i) => i.name, cell: (i) => <a href={href('computer', i.space, i.name)}>{i.name}</a> },
          { id: 'state', text: 'State', sort: (i) => i.state, cell: (i) => <State of={i} /> },
          { id: 'memory', text: 'Memory', num: true, sort: (i) => i.usage?.memory, cell: (i) => bytes(i.usage?.memory) },
        ]} /> : <Empty icon="screen" title="No computer yet"><p><a href={href('new', { space: s.name })}>Make the first one</a></p></Empty>}
      </section>
    </div>
  );
}

function Members({ s }) {
  const owner = may(s.name, 'owner');
  const rows = Object.entries(s.members ?? {}).map(([name, role]) => ({ name, role }));
  const owners = rows.filter((r) => r.role === 'owner').length;
  const setRole = (name, role) => attempt(put(`${spacePath(s.name)}/members/${encodeURIComponent(name)}`, { role }).then(readSpaces));
  const remove = (r) => confirm({
    title: `Take ${r.name} out of ${s.name}?`, text: `${r.name} can no longer see or use what is in this space. Nothing is deleted.`, submitText: 'Take out',
    act: () => del(`${spacePath(s.name)}/members/${encodeURIComponent(r.name)}`).then(readSpaces),
  });
  return (
    <section class="panel">
      <div class="section-head"><h2>People</h2>{owner && <Button icon="plus" onClick={() => openDialog((close) => <AddMember s={s} close={close} />)}>Add</Button>}</div>
      <Table label="People" rows={rows} keyOf={(r) => r.name} empty="Nobody but the administrators." columns={[
        { id: 'name', text: 'Name', sort: (r) => r.name, cell: (r) => <>{r.name}{r.name === me.value?.name && <span class="soft"> (you)</span>}</> },
        { id: 'role', text: 'May', cell: (r) => (owner && !(r.role === 'owner' && owners === 1)
          ? <select aria-label={`Role of ${r.name}`} value={r.role} onChange={(e) => setRole(r.name, e.currentTarget.value)}>{ROLES.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>
          : ROLES.find(([v]) => v === r.role)?.[1] ?? r.role) },
        { id: 'acts', text: '', className: 'acts', cell: (r) => owner && !(r.role === 'owner' && owners === 1) && <Button kind="ghost" icon="trash" aria-label={`Take ${r.name} out`} title="Take out" onClick={() => remove(r)} /> },
      ]} />
      <p class="hint">You are {roleIn(s.name) === 'admin' ? 'administrator of the server' : `${roleIn(s.name)} here`}. {ROLES.map(([, t, d]) => `${t}: ${d}.`).join(' ')}</p>
    </section>
  );
}

function AddMember({ s, close }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState('member');
  const submit = () => put(`${spacePath(s.name)}/members/${encodeURIComponent(name.trim())}`, { role }).then(readSpaces);
  return (
    <FormDialog title={`Add somebody to ${s.name}`} submit={submit} submitText="Add" onClose={close}>
      <Field label="User" required autoFocus autoCapitalize="none" spellcheck={false} value={name} onInput={(e) => setName(e.currentTarget.value)} />
      <fieldset class="plain-set"><legend>May</legend>{ROLES.map(([v, t, d]) => <label class="pick" key={v}><input type="radio" name="role" checked={role === v} onChange={() => setRole(v)} /><span><b>{t}</b><small>{d}</small></span></label>)}</fieldset>
    </FormDialog>
  );
}

function EditSpace({ s, close }) {
  const [description, setDescription] = useState(s.description ?? '');
  const [quota, setQuota] = useState(quotaText(s.quota));
  const submit = async () => {
    const { values, fault } = quotaOf(quota, s.quota ?? {});
    if (fault) throw new Error(fault);
    await patch(spacePath(s.name), { ...(description !== (s.description ?? '') ? { description } : {}), ...(Object.keys(values).length ? { quota: values } : {}) });
    await readSpaces();
    toast('Saved.');
  };
  const remove = () => confirm({
    title: `Delete space ${s.name}?`, lost: ['its network and its list of people', 'its quota'], name: s.name, submitText: 'Delete',
    act: async () => {
      const answer = await del(spacePath(s.name));
      await opEnd(answer?.operation);
      await readSpaces();
      go('spaces');
    },
  });
  return (
    <FormDialog title={`Change ${s.name}`} submit={submit} submitText="Save" onClose={close}>
      <Field label="What it is for" value={description} onInput={(e) => setDescription(e.currentTarget.value)} />
      {isAdmin.value && <QuotaFields quota={quota} setQuota={setQuota} />}
      {isAdmin.value && <p><button type="button" class="plain bad-text" onClick={remove}>Delete this space…</button></p>}
    </FormDialog>
  );
}

/** Reads once per visit and whenever the space's computers change. */
function useRead(path, dep) {
  const [data, setData] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    get(path).then((d) => { setData(d); setError(null); }, setError);
  }, [path, dep]);
  return [data, error];
}

function SpaceNetwork({ s, mine }) {
  const [net, error] = useRead(`${spacePath(s.name)}/network`, mine.map((i) => `${i.name}${i.state}${i.ports?.length}`).join());
  if (error) return <Trouble error={error} />;
  if (!net) return null;
  return (
    <>
      <div class="panels">
        <section class="panel"><h2>Network</h2><dl class="facts">
          <dt>IPv4</dt><dd class="num">{net.subnet}</dd><dt>IPv6</dt><dd class="num">{net.prefix6 ?? '–'}</dd>
          <dt>To the outside</dt><dd>{net.uplink && net.uplink !== 'none' ? `through ${net.uplink}` : 'none: nothing leaves this server'}</dd></dl>
          <p class="hint">It is this space’s alone: other spaces cannot reach it.</p></section>
        <section class="panel"><h2>Published ports</h2><Table label="Published ports" rows={net.ports} keyOf={(p) => `${p.instance}${p.listen}${p.protocol}`} empty="None." columns={[
          { id: 'listen', text: 'On the server', cell: (p) => <span class="num">{p.listen}/{p.protocol}</span> }, { id: 'to', text: 'Goes to', cell: (p) => <><a href={href('computer', s.name, p.instance, 'network')}>{p.instance}</a> <span class="num">:{p.to}</span></> },
        ]} /></section>
      </div>
      <section class="section"><h2>Addresses</h2><Table label="Addresses" rows={net.leases} keyOf={(l) => l.name} initial={{ id: 'name', down: false }} empty="No computer yet." columns={[
        { id: 'name', text: 'Computer', sort: (l) => l.name, cell: (l) => <a href={href('computer', s.name, l.name, 'network')}>{l.name}</a> }, { id: 'state', text: 'State', cell: (l) => <State of={l} /> },
        { id: 'address', text: 'Address', sort: (l) => l.address, cell: (l) => <span class="num">{l.address}</span> }, { id: 'mac', text: 'MAC', className: 'hide-narrow', cell: (l) => <span class="mono">{l.mac}</span> },
        { id: 'dns', text: 'Name', className: 'hide-narrow', cell: (l) => `${l.name}.${s.name}.internal` },
      ]} /></section>
    </>
  );
}

function Disks({ s, mine }) {
  const owner = may(s.name, 'owner');
  const [items, error, reread] = useVolumes(s.name, mine.map((i) => `${i.name}${i.disk}${i.revision}`).join());
  if (error) return <Trouble error={error} />;
  const holder = (v) => v.instance ?? v.attached;
  return items && <>
    <div class="section-head"><p class="soft">Each computer has a disk that it starts from. Volumes for data stand on their own, and go from one computer to another.</p>{owner && <Button icon="plus" onClick={() => openDialog((close) => <NewVolume space={s.name} close={close} then={reread} />)}>New volume</Button>}</div>
    <Table label="Disks" rows={items} keyOf={(v) => v.id} empty="No disk yet." columns={[
      { id: 'name', text: 'Disk', sort: (v) => v.name, cell: (v) => (v.instance ? <span class="soft">its own</span> : v.name) },
      { id: 'instance', text: 'Of', sort: holder, cell: (v) => (holder(v) ? <a href={href('computer', s.name, holder(v), 'disks')}>{holder(v)}</a> : <span class="soft">nobody</span>) },
      { id: 'size', text: 'Size', num: true, sort: (v) => v.size, cell: (v) => bytes(v.size) }, { id: 'used', text: 'In use', num: true, sort: (v) => v.used, cell: (v) => bytes(v.used) },
      { id: 'pool', text: 'Pool', className: 'hide-narrow', cell: (v) => v.pool }, { id: 'created', text: 'Created', className: 'hide-narrow', cell: (v) => <Ago time={v.created} /> },
      { id: 'acts', text: '', className: 'acts', cell: (v) => owner && !v.instance && <>
        {!v.attached && <Button kind="ghost" icon="plus" aria-label={`Make ${v.name} larger`} title="Make it larger" onClick={() => openDialog((close) => <Grow v={v} what={v.name} close={close} then={reread} />)} />}
        <Button kind="ghost" icon="trash" aria-label={`Delete ${v.name}`} title={v.attached ? `${v.attached} has it` : 'Delete'} disabled={!!v.attached} onClick={() => askDeleteVolume(v, reread)} />
      </> },
    ]} />
  </>;
}
