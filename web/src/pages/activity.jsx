// SPDX-License-Identifier: Apache-2.0
// Who, what, when, from where, with what outcome.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../lib/api.js';
import { csv, dateTime } from '../lib/format.js';
import { Ago, Button, Field, PageHead, Trouble } from '../ui/parts.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';
import { saveText } from '../lib/save.js';

export function Outcome({ of: a }) {
  return a.outcome === 'ok' ? <span class="state good"><i aria-hidden="true" />done</span>
    : <span class="state bad" title={a.detail ?? ''}><i aria-hidden="true" />{a.outcome === 'unauthenticated' ? 'not let in' : a.outcome === 'forbidden' ? 'not allowed' : `refused (${a.outcome})`}</span>;
}

const PAGE = 100;
const COLUMNS = [
  { id: 'time', text: 'When', cell: (a) => <span class="nowrap"><Ago time={a.time} /></span> },
  { id: 'user', text: 'Who', cell: (a) => a.user || '–' },
  { id: 'action', text: 'What', cell: (a) => <span title={`${a.method} ${a.path}`}>{deed(a)}</span> },
  { id: 'object', text: 'On', className: 'wrap', cell: (a) => objectText(a.object) },
  { id: 'from', text: 'From', cell: (a) => <span class="num">{a.from || '–'}</span> },
  { id: 'outcome', text: 'Outcome', cell: (a) => <Outcome of={a} /> },
  { id: 'detail', text: 'Details', className: 'wrap', cell: (a) => <span class="soft">{a.detail ?? ''}</span> },
];

const DEEDS = { POST: 'create', PUT: 'set', PATCH: 'change', DELETE: 'delete' };
/** The act in a word; the whole request is shown on hover. */
export const deed = (a) => a.action || DEEDS[a.method] || a.method || '–';

/** "spaces/home/instances/studio" → "studio in home". */
function objectText(object) {
  const m = /^spaces\/([^/]+)(?:\/instances\/([^/]+))?$/.exec(object ?? '');
  if (m) return m[2] ? `${m[2]} in ${m[1]}` : `space ${m[1]}`;
  return (object ?? '').replace(/^(user|image|operation)s\//, '$1 ').replace(/sha256:([0-9a-f]{12})[0-9a-f]{52}/, '$1…') || '–';
}

export default function Activity() {
  const [items, setItems] = useState(null);
  const [end, setEnd] = useState(false);
  const [error, setError] = useState(null);
  const [user, setUser] = useState('');
  const [outcome, setOutcome] = useState('');
  const [find, setFind] = useState('');
  const read = async (before) => {
    try {
      const query = new URLSearchParams({ limit: PAGE, ...(user ? { user } : {}), ...(before ? { before } : {}) });
      const list = (await get(`/v1/audit?${query}`)).items;
      setEnd(list.length < PAGE);
      setItems((old) => (before ? [...old, ...list] : list));
      setError(null);
    } catch (e) {
      setError(e);
    }
  };
  useEffect(() => {
    const t = setTimeout(read, user ? 250 : 0); // while a name is typed, not at each letter
    return () => clearTimeout(t);
  }, [user]);
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = (items ?? []).filter((a) => (!outcome || (outcome === 'ok') === (a.outcome === 'ok')) && words.every((w) => `${a.user} ${a.from} ${a.action} ${a.object} ${a.path} ${a.outcome} ${a.detail ?? ''}`.toLowerCase().includes(w)));
  const save = () => saveText('activity.csv', 'text/csv', csv([['time', 'user', 'from', 'method', 'path', 'action', 'object', 'outcome', 'detail'], ...rows.map((a) => [a.time, a.user, a.from, a.method, a.path, a.action, a.object, a.outcome, a.detail])]));
  return (
    <>
      <PageHead title="Activity" sub="Every change on this server, newest first."><Button icon="download" onClick={save} disabled={!rows.length}>Export CSV</Button></PageHead>
      <div class="filters">
        <label class="search"><Icon name="search" /><span class="sr">Search activity</span><input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)} /><kbd aria-hidden="true">/</kbd></label>
        <Field label="User" value={user} autoCapitalize="none" spellcheck={false} onInput={(e) => setUser(e.currentTarget.value.trim())} />
        <Field label="Outcome">{(ids) => <select {...ids} value={outcome} onChange={(e) => setOutcome(e.currentTarget.value)}><option value="">all</option><option value="ok">done</option><option value="no">refused</option></select>}</Field>
      </div>
      <Trouble error={error} />
      {items && <><Table label="Activity" columns={COLUMNS} rows={rows} keyOf={(a) => a.id} empty="Nothing matches." />
        <p class="quiet">{end ? `That is all: ${items.length} entries, the oldest from ${dateTime(items.at(-1)?.time)}.` : <Button onClick={() => read(items.at(-1).id)}>Show older</Button>}</p></>}
    </>
  );
}
