// SPDX-License-Identifier: Apache-2.0
import test from 'node:test';
import assert from 'node:assert/strict';
import * as f from '../src/lib/format.js';

const table = (name, fn, cases) => test(name, () => {
  for (const [input, want] of cases) assert.deepEqual(fn(...[].concat(input)), want, `${name}(${JSON.stringify(input)})`);
});
const GiB = 1024 ** 3;

table('bytes', f.bytes, [[0, '0 B'], [1023, '1023 B'], [1024, '1 KiB'], [1.5 * GiB, '1.5 GiB'], [2 * GiB, '2 GiB'], [20 * GiB, '20 GiB'], [1023.9 * 1024, '1 MiB'], [null, '–'], [NaN, '–'], [-2048, '-2 KiB']]);
table('cpuShare', f.cpuShare, [[0, '0 %'], [0.034, '3.4 %'], [0.5, '50 %'], [1.5, '150 %'], [null, '–']]);
table('cpus', f.cpus, [[1, '1 cpu'], [2, '2 cpus'], [0.5, '0.5 cpus'], [0, 'all cpus']]);
table('sizeOf', f.sizeOf, [
  [[{ cpu: 2, memory: 2 * GiB, disk: 20 * GiB }, 16], '2 cpus, 2 GiB memory, 20 GiB disk'],
  [[{ cpu: 0, memory: 0, disk: 20 * GiB }, 2], 'all of the server’s 2 cpus, memory without limit, 20 GiB disk'],
  [[{ cpu: 0, memory: GiB, disk: 0 }], 'all of the server’s cpus, 1 GiB memory, disk without limit'],
]);
table('duration', f.duration, [[5, '5 s'], [61, '1 min'], [3600, '1 h'], [3720, '1 h 2 min'], [90000, '1 d']]);
table('ago', f.ago, [[['2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:02:10Z')], '2 min ago'], [['2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:00:03Z')], 'just now'], [['2026-01-04T00:00:00Z', Date.parse('2026-01-01T00:00:00Z')], 'in 3 d'], [[null, 0], 'never']]);
table('parseSize', f.parseSize, [['64G', 64 * GiB], ['1.5 GiB', 1.5 * GiB], ['512m', 512 * 1024 ** 2], ['100', 100], ['12 MB', 12 * 1024 ** 2], ['', null], ['-1G', null], ['1e9', null], ['9999999P', null]]);
table('parseCommand', f.parseCommand, [['nginx -g "daemon off;"', ['nginx', '-g', 'daemon off;']], ["sh -c 'a  b'", ['sh', '-c', 'a  b']], ['a\\ b', ['a b']], ['', []], ['x ""', ['x', '']], ["it's", null]]);
table('formatCommand', f.formatCommand, [[[['nginx', '-g', 'daemon off;']], "nginx -g 'daemon off;'"]]);
table('parseEnv', f.parseEnv, [['A=1\n\nB=x=y', { A: '1', B: 'x=y' }], ['=1', null], ['A', null]]);
table('modeText', f.modeText, [['0755', 'rwxr-xr-x'], [0o640, 'rw-r-----'], ['x', '–']]);
table('csvField', f.csvField, [['a', 'a'], ['a,b', '"a,b"'], ['say "x"', '"say ""x"""'], ['=1+1', "'=1+1"], [null, '']]);
table('freeName', f.freeName, [[['a', []], 'a'], [['a', ['a', 'a-2']], 'a-3']].map(([i, w]) => [i, w]));

test('commands survive the way there and back', () => {
  for (const words of [['a'], ["it's", 'b c'], ['', '$x', 'ü']]) assert.deepEqual(f.parseCommand(f.formatCommand(words)), words);
});

test('parsePorts', () => {
  assert.deepEqual(f.parsePorts('8080:80\nudp 53:53\n127.0.0.1:2222:22/tcp'), [
    { protocol: 'tcp', listen: 8080, to: 80, address: null }, { protocol: 'udp', listen: 53, to: 53, address: null }, { protocol: 'tcp', listen: 2222, to: 22, address: '127.0.0.1' }]);
  assert.throws(() => f.parsePorts('80'), /“80” is no port/);
  assert.throws(() => f.parsePorts('0:80'), /no port/);
  assert.throws(() => f.parsePorts('70000:80'), /no port/);
});

test('a terminal’s output as text', () => {
  const cases = [
    ['\x1b[32mok\x1b[0m started\r\n\x1b]0;title\x07\x1b[2Jx\n', 'ok started\nx\n'], ['10 %\r50 %\rdone\n', 'done\n'], ['last\r', 'last'], ['a\tb\x00\x08c', 'a\tbc'],
    ['\x1b(Bplain \x1bP1$r\x1b\\text', 'plain text'], ['grüße 漢字 😀', 'grüße 漢字 😀'], ['\x9b31mred', '31mred'], ['\x1b]8;;http://x\x1b\\link', 'link'], ['', ''],
  ];
  for (const [raw, want] of cases) assert.equal(f.plainText(raw), want, JSON.stringify(raw));
});
