// SPDX-License-Identifier: Apache-2.0
// A pretended desktop that speaks RFB 3.8 (RFC 6143): raw pixels, keys echoed into its terminal as bars, Return
// copies the line to the client's clipboard, ExtendedDesktopSize follows the window.
import { drawDesktop } from './png.mjs';

export function serveRfb(ws, { name, tint, screen }) {
  let data = Buffer.alloc(0);
  let step = 'version';
  let want = null; // the area asked for, incremental
  let sizes = false;
  const desk = screen; // { width, height, lines, keys, cut, pointer, blank: nothing is drawn yet, draw(): now it is }
  const u16 = (...v) => { const b = Buffer.alloc(v.length * 2); v.forEach((x, n) => b.writeUInt16BE(x, n * 2)); return b; };
  const u32 = (...v) => { const b = Buffer.alloc(v.length * 4); v.forEach((x, n) => b.writeInt32BE(x, n * 4)); return b; };

  const pixels = () => {
    if (desk.blank) return Buffer.alloc(desk.width * desk.height * 4);
    const p = drawDesktop(desk.width, desk.height, { tint, lines: desk.lines });
    const out = Buffer.alloc(desk.width * desk.height * 4, 255);
    for (let i = 0, o = 0; i < p.rgb.length; i += 3, o += 4) p.rgb.copy(out, o, i, i + 3);
    return out;
  };
  const update = () => {
    want = null;
    ws.binary(Buffer.concat([Buffer.from([0, 0]), u16(1), u16(0, 0, desk.width, desk.height), u32(0), pixels()]));
  };
  const size = (reason, status) => ws.binary(Buffer.concat([
    Buffer.from([0, 0]), u16(1), u16(reason, status, desk.width, desk.height), u32(-308),
    Buffer.from([1, 0, 0, 0]), u32(1), u16(0, 0, desk.width, desk.height), u32(0)]));
  desk.draw = () => {
    desk.blank = false;
    update();
  };
  const cut = (text) => ws.binary(Buffer.concat([Buffer.from([3, 0, 0, 0]), u32(text.length), Buffer.from(text, 'latin1')]));
  const key = (sym, down) => {
    desk.keys.push([sym, down]);
    if (!down) return;
    const line = desk.lines.length - 1;
    if (sym === 0xff0d) {
      cut(desk.lines[line].slice(2));
      desk.lines.push('$ ');
    } else if (sym === 0xff08) desk.lines[line] = desk.lines[line].slice(0, Math.max(2, desk.lines[line].length - 1));
    else if (sym < 0xff || sym > 0x01000000) desk.lines[line] += String.fromCodePoint(sym & 0xffffff);
    else return;
    if (want) update();
  };

  // Each state: how many bytes it needs, and what it does with them.
  const messages = {
    0: () => 20,
    2: (d) => d.length >= 4 && 4 + d.readUInt16BE(2) * 4,
    3: () => 10, 4: () => 8, 5: () => 6,
    6: (d) => d.length >= 8 && 8 + Math.abs(d.readInt32BE(4)),
    251: (d) => d.length >= 8 && 8 + d[6] * 16,
  };
  const take = (n) => {
    const b = data.subarray(0, n);
    data = data.subarray(n);
    return b;
  };
  const run = () => {
    if (step === 'version' && data.length >= 12) { take(12); ws.binary(Buffer.from([1, 1])); step = 'security'; return true; }
    if (step === 'security' && data.length >= 1) { take(1); ws.binary(u32(0)); step = 'init'; return true; }
    if (step === 'init' && data.length >= 1) {
      take(1);
      ws.binary(Buffer.concat([u16(desk.width, desk.height), Buffer.from([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0]), u32(Buffer.byteLength(name)), Buffer.from(name)]));
      step = 'run';
      return true;
    }
    if (step !== 'run' || !data.length) return false;
    const need = messages[data[0]]?.(data);
    if (need === undefined) { ws.drop(); return false; }
    if (!need || data.length < need) return false;
    const m = take(need);
    if (m[0] === 2) {
      for (let n = 4; n < m.length; n += 4) if (m.readInt32BE(n) === -308) sizes = true;
    } else if (m[0] === 3) {
      if (!m[1]) { if (sizes) size(0, 0); update(); } else want = true;
    } else if (m[0] === 4) key(m.readUInt32BE(4), m[1] === 1);
    else if (m[0] === 5) {
      desk.pointer = [m[1], m.readUInt16BE(2), m.readUInt16BE(4)];
      desk.pointers.push(desk.pointer);
    }
    else if (m[0] === 6) desk.cut = m.subarray(8).toString('latin1');
    else if (m[0] === 251) {
      desk.width = m.readUInt16BE(2);
      desk.height = m.readUInt16BE(4);
      size(1, 0);
      update();
    }
    return true;
  };
  ws.on('binary', (d) => {
    data = Buffer.concat([data, d]);
    while (run());
  });
  ws.binary(Buffer.from('RFB 003.008\n'));
}
