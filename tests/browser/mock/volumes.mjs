// SPDX-License-Identifier: Apache-2.0
// Volumes: roots of computers, and data volumes. One called "busy" is in use inside, and goes by force alone.
export function volumeRoutes({ spaceOf, instanceOf, list, change, operation, refuse, notFound }) {
  const held = (c, v) => [...c.world.instances.values()].find((i) => i.space === v.space && i.disks.some((d) => d.volume === v.name));
  const view = (c, v) => ({ ...v, attached: held(c, v)?.name ?? null, path: held(c, v)?.disks.find((d) => d.volume === v.name).path ?? null });
  const roots = (c, s) => [...c.world.instances.values()].filter((i) => i.space === s.name).map((i) => ({ id: i.volume, name: i.name, space: i.space, pool: 'local', instance: i.name, attached: null, path: null, size: i.disk, actual: i.disk, used: 0.07 * i.disk, created: i.created }));
  const one = (c) => {
    const s = spaceOf(c, 'owner');
    const v = [...c.world.volumes.values()].find((x) => x.space === s.name && (x.id === c.args.V || x.name === c.args.V)) ?? roots(c, s).find((x) => x.id === c.args.V);
    if (!v) throw notFound(`space ${s.name} has no volume called ${c.args.V}`);
    return v;
  };
  const disk = (c, i, fails, then) => [202, { operation: operation(c, 'change', `spaces/${i.space}/instances/${i.name}`, i.space, [[500, 'disks']], 50, () => {
    if (fails) throw fails;
    then();
  }), ...i }];
  return [
    ['GET', '/v1/spaces/:S/volumes', (c) => { const s = spaceOf(c); return list([...roots(c, s), ...[...c.world.volumes.values()].filter((v) => v.space === s.name).map((v) => view(c, v))], c); }],
    ['POST', '/v1/spaces/:S/volumes', (c) => {
      const s = spaceOf(c, 'owner');
      if (c.world.volumes.has(c.body.name)) throw refuse(409, 'conflict', `space ${s.name} has a volume called ${c.body.name} already`, 'choose another name');
      const v = { id: `01DATA${c.world.revision()}`, space: s.name, pool: 'local', instance: null, actual: c.body.size, used: 4096, created: new Date().toISOString(), ...c.body };
      c.world.volumes.set(v.name, v);
      return [201, view(c, v)];
    }],
    ['PATCH', '/v1/spaces/:S/volumes/:V', (c) => {
      const v = one(c);
      if (c.body.size < v.size) throw refuse(400, 'invalid', `size: volume ${v.name} has ${v.size} bytes, and a volume only grows`, 'nothing was changed');
      if (v.instance) change(c, c.world.instances.get(`${v.space}/${v.instance}`), { disk: c.body.size });
      v.size = v.actual = c.body.size;
      return view(c, v);
    }],
    ['DELETE', '/v1/spaces/:S/volumes/:V', (c) => {
      const v = one(c);
      if (held(c, v)) throw refuse(409, 'conflict', `volume ${v.name}: ${held(c, v).name} has it`, 'nothing was removed; detach it first');
      c.world.volumes.delete(v.name);
      return [204];
    }],
    ['POST', '/v1/spaces/:S/instances/:I/disks', (c) => {
      const i = instanceOf(c, 'owner');
      const v = c.world.volumes.get(c.body.volume);
      if (!v) throw notFound(`space ${i.space} has no volume called ${c.body.volume}`);
      const d = { volume: v.name, id: v.id, path: c.body.path ?? `/mnt/${v.name}`, read_only: !!c.body.read_only, slot: i.disks.length, change: 'attach', force: false };
      change(c, i, { disks: [...i.disks, d] });
      return disk(c, i, null, () => change(c, i, { disks: i.disks.map((x) => ({ ...x, change: 'none' })) }));
    }],
    ['DELETE', '/v1/spaces/:S/instances/:I/disks/:V', (c) => {
      const i = instanceOf(c, 'owner');
      const busy = c.args.V === 'busy' && c.query.get('force') !== 'true';
      const fails = busy && refuse(409, 'conflict', `volume busy: in use in ${i.name} at /mnt/busy, by postgres (231)`, 'it stays attached');
      return disk(c, i, fails, () => change(c, i, { disks: i.disks.filter((d) => d.volume !== c.args.V) }));
    }],
  ];
}
