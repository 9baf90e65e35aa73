// SPDX-License-Identifier: Apache-2.0
// How it does: what it is, and charts of the last hour that go on by themselves.
import { Fragment } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { get, instancePath } from '../lib/api.js';
import { onSample, may, serverArch, session } from '../lib/live.js';
import { keyOf } from '../lib/state.js';
import { KINDS, archWord, isForeign, machineFacts } from '../lib/kinds.js';
import { href } from '../lib/route.js';
import { bytes, cpuShare, cpus, rate, sizeOf } from '../lib/format.js';
import { Ago, Meter, Trouble, Empty } from '../ui/parts.jsx';
import { Thumbnail } from '../ui/picture.jsx';
import { lazy } from '../ui/lazy.jsx';

const Chart = lazy(() => import('./chart.jsx'));
const KEEP = 720; // an hour at 5 s

const CHARTS = [
  { id: 'cpu', title: 'Processor', lines: [{ key: 'cpu', name: 'in use' }], format: cpuShare, max: (i) => i.cpu || undefined },
  { id: 'memory', title: 'Memory', lines: [{ key: 'memory', name: 'in use' }], format: bytes, max: (i) => i.memory || undefined, binary: true },
  { id: 'network', title: 'Network', lines: [{ key: 'rx', name: 'in' }, { key: 'tx', name: 'out' }], format: rate, binary: true },
  { id: 'io', title: 'Disk traffic', lines: [{ key: 'io_read', name: 'read' }, { key: 'io_write', name: 'written' }], format: rate, binary: true },
  { id: 'disk', title: 'Disk space', lines: [{ key: 'disk_used', name: 'in use' }], format: bytes, max: (i) => i.disk || undefined, binary: true },
  { id: 'pressure', title: 'Waiting (pressure)', lines: [{ key: 'cpu_pressure', name: 'processor' }, { key: 'memory_pressure', name: 'memory' }, { key: 'io_pressure', name: 'disk' }], format: (n) => (n == null ? '–' : `${n.toFixed(1)} %`) },
];

/** The samples of the last hour, growing with each event; null until read. */
export function useSamples(i) {
  const [items, setItems] = useState(null);
  const [error, setError] = useState(null);
  const key = keyOf(i);
  const running = i.state === 'running';
  useEffect(() => {
    if (!running) return setItems(null);
    let gone = false;
    let list = [];
    const add = (s) => {
      if (gone) return;
      list = [...list.slice(-(KEEP - 1)), { ...s, time: s.time ?? new Date().toISOString() }];
      setItems(list);
    };
    get(`${instancePath(i)}/samples`).then((r) => {
      list = [...r.items.slice(-KEEP), ...list.filter((s) => !r.items.length || s.time > r.items.at(-1).time)];
      if (!gone) setItems(list);
    }, (e) => gone || setError(e));
    const stop = onSample(key, add);
    return () => {
      gone = true;
      stop();
    };
  }, [key, running]);
  return [items, error];
}

export function Overview({ i }) {
  const [items, error] = useSamples(i);
  const last = items?.at(-1);
  return (
    <>
      <div class="hero">
        {i.desktop && i.state === 'running' && may(i.space, 'member')
          ? <a class="hero-open" href={href('desktop', i.space, i.name)} aria-label={`Open the desktop of ${i.name}`}><Thumbnail of={i} /></a>
          : <Thumbnail of={i} />}
        <div class="panel">
          <dl class="facts">
            <dt>Size</dt><dd class="num">{sizeOf(i, session.value?.server?.cpus)}</dd>
            <dt>Kind</dt><dd>{(KINDS[i.kind] ?? { word: i.kind }).word}{isForeign(i.arch, serverArch.value) && <>, emulated {archWord(i.arch)}</>}</dd>
            {machineFacts(i, serverArch.value).map(([k, v]) => <Fragment key={k}><dt>{k}</dt><dd>{v}</dd></Fragment>)}
            {i.offline ? <><dt>Network</dt><dd>none</dd></> : <><dt>Address</dt><dd class="num">{i.address ?? '–'}{i.address6 && <> · {i.address6}</>}</dd>
              <dt>Name in the space</dt><dd>{i.name}.{i.space}.internal</dd></>}
            {i.state === 'hibernated' && i.freed > 0 && <><dt>Gave back</dt><dd class="num">{bytes(i.freed)} of memory{i.durable && '; outlives a restart of the server'}</dd></>}
            {i.ports?.length > 0 && <><dt>Published</dt><dd>{i.ports.map((p) => `${p.listen} → ${p.to}${p.protocol === 'udp' ? ' udp' : ''}`).join(', ')}</dd></>}
            {i.state !== 'hibernated' && <><dt>{i.state === 'running' ? 'Started' : 'Stopped'}</dt><dd><Ago time={i.state === 'running' ? i.started : i.stopped} />{i.restarts > 0 && `, restarted by itself ${i.restarts} ×`}</dd></>}
            {i.state !== 'running' && (i.exit_code >= 0 && i.exit_code != null || i.exit_signal > 0) && <><dt>Ended with</dt><dd>{i.exit_signal ? `signal ${i.exit_signal}` : `exit code ${i.exit_code}`}</dd></>}
            <dt>Created</dt><dd><Ago time={i.created} />{i.created_by && ` by ${i.created_by}`}</dd>
          </dl>
          {last?.disk_size > 0 && <><hr /><Meter label="Disk" value={last.disk_used} max={last.disk_size} text={`${bytes(last.disk_used)} of ${bytes(last.disk_size)}`} /></>}
        </div>
      </div>
      <Trouble error={error} />
      {i.state !== 'running' ? <Empty icon="chart" title="Nothing to measure"><p>Charts begin when it runs.</p></Empty>
        : items && <div class="charts">{CHARTS.map((c) => <ChartPanel key={c.id} chart={c} i={i} items={items} />)}</div>}
    </>
  );
}

function ChartPanel({ chart, i, items }) {
  const last = items.at(-1);
  const max = chart.max?.(i);
  const now = chart.lines.length === 1
    ? `${chart.format(last?.[chart.lines[0].key])}${max ? ` of ${chart.id === 'cpu' ? cpus(max) : bytes(max)}` : ''}`
    : chart.lines.map((l) => `${l.name} ${chart.format(last?.[l.key])}`).join(' · ');
  return (
    <section class="panel">
      <div class="chart-head"><h2>{chart.title}</h2><span class="chart-now">{now}</span></div>
      <Chart chart={chart} items={items} max={max} label={`${chart.title} over the last hour; now ${now}`} />
      {chart.lines.length > 1 && <div class="legend" aria-hidden="true">{chart.lines.map((l) => <span key={l.key}>{l.name}</span>)}</div>}
    </section>
  );
}
