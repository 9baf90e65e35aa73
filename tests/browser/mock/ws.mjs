// SPDX-License-Identifier: Apache-2.0
// A WebSocket server's side (RFC 6455), just enough for tests: no fragments from us, no extensions.
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';

/** Answers an upgrade; emits 'binary' (Buffer), 'text' (string) and 'close'. */
export function acceptWebSocket(req, socket) {
  const key = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const binary = (req.headers['sec-websocket-protocol'] ?? '').split(/,\s*/).includes('binary');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n${binary ? 'Sec-WebSocket-Protocol: binary\r\n' : ''}\r\n`);
  const ws = new EventEmitter();
  let data = Buffer.alloc(0);
  let parts = [];
  let kind = 0;
  let closed = false;
  const send = (op, body) => {
    if (closed) return;
    const n = body.length;
    const head = n < 126 ? Buffer.from([0x80 | op, n]) : n < 65536 ? Buffer.from([0x80 | op, 126, n >> 8, n & 255]) : Buffer.alloc(10);
    if (n >= 65536) {
      head.set([0x80 | op, 127]);
      head.writeBigUInt64BE(BigInt(n), 2);
    }
    socket.write(head);
    socket.write(body);
  };
  ws.binary = (b) => send(2, b);
  ws.text = (t) => send(1, Buffer.from(t));
  ws.close = () => {
    send(8, Buffer.from([0x03, 0xe8]));
    socket.end();
  };
  ws.drop = () => socket.destroy();
  const over = () => {
    if (!closed) ws.emit('close');
    closed = true;
  };
  socket.on('close', over).on('error', over);
  const frame = () => {
    if (data.length < 2) return false;
    let n = data[1] & 127;
    let at = 2;
    if (n === 126) {
      if (data.length < 4) return false;
      n = data.readUInt16BE(2);
      at = 4;
    } else if (n === 127) {
      if (data.length < 10) return false;
      n = Number(data.readBigUInt64BE(2));
      at = 10;
    }
    if (data.length < at + 4 + n) return false;
    const mask = data.subarray(at, at + 4);
    const body = Buffer.from(data.subarray(at + 4, at + 4 + n));
    for (let i = 0; i < n; i++) body[i] ^= mask[i & 3];
    const op = data[0] & 15;
    const fin = data[0] & 128;
    data = data.subarray(at + 4 + n);
    if (op === 8) ws.close();
    else if (op === 9) send(10, body);
    else if (op < 3) {
      if (op) kind = op;
      parts.push(body);
      if (fin) {
        const whole = Buffer.concat(parts);
        parts = [];
        ws.emit(kind === 1 ? 'text' : 'binary', kind === 1 ? whole.toString() : whole);
      }
    }
    return true;
  };
  socket.on('data', (d) => {
    data = Buffer.concat([data, d]);
    while (frame());
  });
  return ws;
}
