// SPDX-License-Identifier: Apache-2.0
import test from 'node:test';
import assert from 'node:assert/strict';
import * as s from '../src/lib/state.js';
import { parseRoute, href } from '../src/lib/route.js';
import { typedDiff, symOfChar, sendCombo, KEY } from '../src/desktop/keys.js';

test('an event asks for the right thing', () => {
  const whole = { name: 'a', space: 'h', state: 'running', image: 'x' };
  const cases = [
    [{ type: 'instance', object: 'spaces/h/instances/a', action: 'deleted' }, { remove: 'h/a' }],
    [{ type: 'instance', object: 'spaces/h/instances/a', action: 'created', data: null }, { read: 'h/a' }],
    [{ type: 'status', object: 'spaces/h/status/a', action: 'deleted' }, { read: 'h/a' }],
    [{ type: 'instance', object: 'spaces/h/instances/a', data: JSON.stringify(whole) }, { set: whole }],
    [{ type: 'progress', object: 'ops/1', data: { progress: 5 } }, { op: { id: '1', progress: 5 } }],
    [{ type: 'operation', object: 'operations/1', action: 'changed', data: null }, { readOp: '1' }],
    [{ type: 'operation', object: 'ops/1', action: 'deleted' }, { removeOp: '1' }],
    [{ type: 'sample', object: 'spaces/h/instances/a', data: { cpu: 1 } }, { sample: 'h/a', data: { cpu: 1 } }],
    [{ type: 'image' }, { reload: 'images' }], [{ type: 'lost' }, { reload: 'all' }], [{ type: 'new-kind' }, {}], [{ type: 'instance', object: 'x' }, {}],
  ];
  for (const [event, want] of cases) assert.deepEqual(s.interpret(event), want, JSON.stringify(event));
});

test('an older answer does not overwrite a newer object', () => {
  const map = s.merge(new Map(), 'k', { id: '1', revision: 5, state: 'running', usage: { cpu: 1 } });
  assert.equal(s.merge(map, 'k', { id: '1', revision: 4, state: 'stopped' }), map);
  assert.deepEqual(s.merge(map, 'k', { id: '1', revision: 6, state: 'running', usage: null }).get('k').usage, { cpu: 1 });
  assert.equal(s.merge(map, 'k', { id: '1', revision: 6, state: 'stopped', usage: null }).get('k').usage, null);
  assert.equal(s.merge(map, 'k', { id: '2', revision: 1, state: 'stopped' }).get('k').id, '2');
});

test('operations: late progress does not revive one that has ended; no more than 200 are kept', () => {
  let map = s.mergeOp(new Map(), { id: 'a', state: 'running' });
  map = s.mergeOp(map, { id: 'a', progress: 300 });
  assert.deepEqual(map.get('a'), { id: 'a', state: 'running', progress: 300 });
  map = s.mergeOp(map, { id: 'a', state: 'done' });
  assert.equal(s.mergeOp(map, { id: 'a', progress: 900 }), map);
  for (let n = 0; n < 300; n++) map = s.mergeOp(map, { id: `x${n}`, state: 'done' });
  assert.equal(map.size, 200);
});

test('pauses grow and end at 15 s', () => {
  assert.equal(s.backoff(0, 0.5), 0.5);
  assert.equal(s.backoff(2, 0.5), 2);
  assert.equal(s.backoff(50, 0.5), 15);
});

test('roles and quotas', () => {
  assert.ok(s.atLeast('admin', 'owner') && s.atLeast('member', 'viewer') && !s.atLeast('viewer', 'member') && !s.atLeast(undefined, 'viewer'));
  const space = { quota: { memory: 8, cpu: 0, disk: null, instances: 2 }, used: { memory: 6, cpu: 99, disk: 1, instances: 1 } };
  assert.deepEqual(s.overQuota({ cpu: 1, memory: 2, disk: 9 }, space), []);
  assert.deepEqual(s.overQuota({ cpu: 1, memory: 3, disk: 9 }, space), ['memory']);
  assert.deepEqual(s.overQuota({ cpu: 1, memory: 3, disk: 9 }, null), []);
});

test('addresses there and back', () => {
  assert.deepEqual(parseRoute('#/computer/home/a%20b/files?path=%2Fetc'), { page: 'computer', args: ['home', 'a b', 'files'], query: { path: '/etc' } });
  assert.deepEqual(parseRoute(''), { page: 'home', args: [], query: {} });
  assert.equal(href('computer', 'home', 'a/b', { path: '/x y' }), '#/computer/home/a%2Fb?path=%2Fx+y');
  assert.equal(href(), '#/');
  assert.deepEqual(parseRoute('#/a/%zz').args, ['%zz']);
});

test('what a soft keyboard typed', () => {
  assert.deepEqual(typedDiff('abc', 'abcd'), { back: 0, text: 'd' });
  assert.deepEqual(typedDiff('teh ', 'the '), { back: 3, text: 'he ' });
  assert.deepEqual(typedDiff('ab', 'a'), { back: 1, text: '' });
  assert.deepEqual(typedDiff('a😀', 'a'), { back: 1, text: '' });
  assert.deepEqual([symOfChar('a'), symOfChar('ü'), symOfChar('€'), symOfChar('\n'), symOfChar('\x01')], [97, 0xfc, 0x010020ac, KEY.Return, null]);
});

test('a combination is released the other way round', () => {
  const sent = [];
  sendCombo({ sendKey: (sym, _, down) => sent.push([sym, down]) }, ['Control', 'Alt', 'Delete']);
  assert.deepEqual(sent, [[0xffe3, true], [0xffe9, true], [0xffff, true], [0xffff, false], [0xffe9, false], [0xffe3, false]]);
});
