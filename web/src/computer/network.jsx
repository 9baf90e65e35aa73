// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { may, opEnd, putInstance } from '../lib/live.js';
import { instancePath, patch } from '../lib/api.js';
import { href } from '../lib/route.js';
import { formatPort, parsePorts } from '../lib/format.js';
import { Button, Empty, Field } from '../ui/parts.jsx';
import { FormDialog, openDialog, attempt, toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';
import { Cards } from './cards.jsx';

export function InstanceNetwork({ i }) {
  const owner = may(i.space, 'owner');
  const ports = i.ports ?? [];
  const remove = (p) => attempt(savePorts(i, ports.filter((x) => x !== p)).then(() => toast(`Port ${p.listen} is closed.`)));
  if (i.offline)
    return <Empty icon="network" title={`${i.name} has no network`}><p>Nothing reaches it and it reaches nothing. {owner && <a href={href('computer', i.space, i.name, 'settings')}>Allow it in the settings</a>}</p></Empty>;
  return (
    <div class="panels">
      <section class="panel">
        <h2>Addresses</h2>
        <dl class="facts">
          <dt>IPv4</dt><dd class="num">{i.address ?? '–'}</dd>
          <dt>IPv6</dt><dd class="num">{i.address6 ?? '–'}</dd>
          <dt>MAC</dt><dd class="mono">{i.mac ?? '–'}</dd>
          <dt>Name</dt><dd>{i.name}.{i.space}.internal</dd>
        </dl>
        <p class="hint">They stay the same for as long as {i.name} exists. Other computers of the space reach it by them; nobody else does.</p>
      </section>
      <section class="panel">
        <div class="section-head"><h2>Published ports</h2>{owner && <Button icon="plus" onClick={() => openDialog((close) => <AddPort i={i} close={close} />)}>Publish a port</Button>}</div>
        {ports.length ? <Table label="Published ports" keyOf={formatPort} rows={ports} columns={[
          { id: 'listen', text: 'On the server', cell: (p) => <span class="num">{p.address ? `${p.address}:` : ''}{p.listen}</span> },
          { id: 'to', text: 'In the computer', cell: (p) => <span class="num">{p.to}</span> },
          { id: 'protocol', text: 'Protocol', cell: (p) => p.protocol.toUpperCase() },
          { id: 'acts', text: '', className: 'acts', cell: (p) => owner && <Button kind="ghost" icon="trash" aria-label={`Close port ${p.listen}`} title="Close" onClick={() => remove(p)} /> },
        ]} /> : <Empty icon="network" title="No port is published"><p>Publish one to reach a service in {i.name} from outside, at the server’s address.</p></Empty>}
      </section>
      <Cards i={i} />
    </div>
  );
}

async function savePorts(i, ports) {
  const { applies: _, operation, ...view } = await patch(instancePath(i), { ports });
  putInstance({ ...view, space: i.space });
  await opEnd(operation);
}

function AddPort({ i, close }) {
  const [form, setForm] = useState({ listen: '', to: '', protocol: 'tcp' });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = () => savePorts(i, [...(i.ports ?? []), ...parsePorts(`${form.listen}:${form.to || form.listen}/${form.protocol}`)]);
  return (
    <FormDialog title="Publish a port" submit={submit} submitText="Publish" onClose={close}>
      <div class="two">
        <Field label="Port on the server" inputMode="numeric" pattern="[0-9]{1,5}" required autoFocus value={form.listen} onInput={set('listen')} />
        <Field label="Port in the computer" inputMode="numeric" pattern="[0-9]{1,5}" placeholder={form.listen || 'the same'} value={form.to} onInput={set('to')} />
      </div>
      <Field label="Protocol">{(ids) => <select {...ids} value={form.protocol} onChange={set('protocol')}><option value="tcp">TCP</option><option value="udp">UDP</option></select>}</Field>
      <p class="hint">Everybody who reaches the server reaches this port. Applies at once.</p>
    </FormDialog>
  );
}
