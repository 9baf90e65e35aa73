// SPDX-License-Identifier: Apache-2.0
// What can be done to a computer, by its state and by what the person may do.
import { act, may, instances } from '../lib/live.js';
import { del, instancePath } from '../lib/api.js';
import { opEnd } from '../lib/live.js';
import { attempt, confirm, toast } from './dialog.jsx';
import { askExport } from './export.jsx';
import { go, route } from '../lib/route.js';
import { bytes } from '../lib/format.js';
import { keyOf, without } from '../lib/state.js';
import { isSealed, offers } from '../lib/kinds.js';

export function askDelete(i) {
  const lost = [`everything on its disk${i.usage?.disk ? ` (${bytes(i.usage.disk)})` : i.disk ? ` (up to ${bytes(i.disk)})` : ''}: files, programs, settings`];
  if (['running', 'paused', 'hibernated'].includes(i.state)) lost.push('what is open and unsaved in it now');
  if (i.ports?.length) lost.push(`its published ports (${i.ports.map((p) => p.listen).join(', ')})`);
  const kept = i.disks?.length ? `What is on its data volumes is kept: ${i.disks.map((d) => d.volume).join(', ')}.` : undefined;
  confirm({
    title: `Delete ${i.name}?`, text: kept, lost, name: i.name, submitText: 'Delete',
    act: async () => {
      const answer = await del(`${instancePath(i)}${i.state === 'stopped' ? '' : '?force=true'}`);
      instances.value = without(instances.value, keyOf(i));
      if (route.value.page === 'computer') go();
      if (answer?.operation) attempt(opEnd(answer.operation).then(() => toast(`${i.name} is deleted.`)));
    },
  });
}

function askForce(i) {
  confirm({
    title: `Switch ${i.name} off?`, text: 'It gets no time to save anything, as if the power were cut. Use it when a normal stop does not work.',
    submitText: 'Switch off', act: () => act(i, 'stop', { force: true }),
  });
}

export function instanceActs(i) {
  const run = (action) => () => attempt(act(i, action));
  const can = may(i.space, 'member');
  const s = i.state;
  if (!can) return [];
  return [
    (s === 'stopped' || s === 'failed') && { text: 'Start', icon: 'play', act: run('start') },
    (s === 'paused' || s === 'hibernated') && { text: 'Resume', icon: 'play', act: run('resume') },
    s === 'running' && { text: 'Stop', icon: 'stop', act: run('stop') },
    s === 'running' && { text: 'Restart', icon: 'restart', act: run('restart') },
    s === 'running' && offers(i, 'pause', true) && { text: 'Pause', icon: 'pause', act: run('pause') },
    (s === 'running' || s === 'paused') && offers(i, 'hibernate', true) && { text: 'Hibernate', icon: 'moon', act: run('hibernate') },
    // A machine's memory goes to the disk either way; a container's only where that is asked for, because it takes longer.
    s === 'running' && i.kind === 'container' && offers(i, 'hibernate', true) && { text: 'Hibernate on disk', icon: 'disk', act: () => attempt(act(i, 'hibernate', { durable: true })) },
    !['stopped', 'failed'].includes(s) && { text: 'Switch off…', icon: 'close', act: () => askForce(i) },
  ].filter(Boolean);
}

/** A PC's disk is a whole system, and may leave; while it runs it would be torn. */
export const exportAct = (i) => isSealed(i) && may(i.space, 'owner') && { text: 'Export…', icon: 'download', disabled: !['stopped', 'failed'].includes(i.state) && !(i.state === 'running' && i.agent), act: () => askExport(i.name, instancePath(i), false) };

export function instanceMenu(i) {
  const running = i.state === 'running' && may(i.space, 'member');
  return [
    running && i.desktop && { text: 'Open the desktop', icon: 'screen', act: () => go('desktop', i.space, i.name) },
    running && !isSealed(i) && { text: 'Terminal', icon: 'terminal', act: () => go('computer', i.space, i.name, 'terminal') },
    { text: 'Details', icon: 'chart', act: () => go('computer', i.space, i.name) },
    ...instanceActs(i),
    exportAct(i),
    may(i.space, 'owner') && { text: 'Settings', icon: 'gear', act: () => go('computer', i.space, i.name, 'settings') },
    may(i.space, 'owner') && { text: 'Delete…', icon: 'trash', danger: true, act: () => askDelete(i) },
  ];
}
