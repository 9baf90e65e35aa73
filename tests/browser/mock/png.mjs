// SPDX-License-Identifier: Apache-2.0
// A pretended desktop's picture, drawn with rectangles, and PNG to carry it.
import * as zlib from 'node:zlib';

/** A picture of RGB triples. */
export class Picture {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.rgb = Buffer.alloc(width * height * 3);
  }

  dot(x, y, [r, g, b]) {
    const at = (y * this.width + x) * 3;
    this.rgb[at] = r;
    this.rgb[at + 1] = g;
    this.rgb[at + 2] = b;
  }

  rect(x, y, w, h, color) {
    for (let j = Math.max(0, Math.round(y)); j < Math.min(this.height, Math.round(y + h)); j++)
      for (let i = Math.max(0, Math.round(x)); i < Math.min(this.width, Math.round(x + w)); i++) this.dot(i, j, color);
  }
}

const mix = (a, b, t) => a.map((v, n) => Math.round(v + (b[n] - v) * t));

/** Wallpaper, panel, a document window and a terminal with `lines` of text (as bars). */
export function drawDesktop(width, height, { tint = 0, lines = [] } = {}) {
  const p = new Picture(width, height);
  const sky = [[20, 92, 98], [64, 52, 110], [24, 70, 120], [110, 64, 52]][tint % 4];
  const low = [[122, 196, 178], [196, 150, 190], [150, 196, 220], [236, 190, 140]][tint % 4];
  const hill = mix(sky, [6, 22, 26], 0.55);
  for (let y = 0; y < height; y++) {
    const c = mix(sky, low, y / height);
    for (let x = 0; x < width; x++) {
      const edge = height * (0.72 + 0.06 * Math.sin(x / width * 5 + 1) + 0.03 * Math.sin(x / width * 13));
      const far = height * (0.6 + 0.05 * Math.sin(x / width * 7));
      p.dot(x, y, y > edge ? hill : y > far ? mix(hill, c, 0.45) : c);
    }
  }
  const u = height / 100;
  p.rect(0, 0, width, 4 * u, [28, 34, 38]);
  p.rect(1.5 * u, 1 * u, 12 * u, 2 * u, [120, 200, 190]);
  for (let n = 0; n < 4; n++) p.rect((17 + n * 9) * u, 1.2 * u, 7 * u, 1.6 * u, [74, 84, 88]);
  p.rect(width - 12 * u, 1.2 * u, 10 * u, 1.6 * u, [150, 160, 162]);
  windowAt(p, 8 * u, 12 * u, 74 * u, 60 * u, u, [250, 250, 249], [226, 230, 229]);
  p.rect(13 * u, 23 * u, 30 * u, 2.6 * u, [30, 90, 90]);
  for (let n = 0; n < 9; n++) p.rect(13 * u, (29 + n * 4) * u, (44 + 18 * Math.abs(Math.sin(n * 2.1))) * u, 1.4 * u, [188, 196, 194]);
  windowAt(p, width - 92 * u, 38 * u, 84 * u, 54 * u, u, [18, 26, 27], [52, 62, 64]);
  lines.slice(-10).forEach((line, n) => {
    [...line].slice(0, 44).forEach((ch, at) => {
      if (ch !== ' ') p.rect(width - (88 - at * 1.7) * u, (47 + n * 4) * u, 1.2 * u, 2.2 * u, at < 2 ? [98, 214, 190] : [214, 224, 222]);
    });
  });
  return p;
}

function windowAt(p, x, y, w, h, u, body, head) {
  p.rect(x - u * 0.4, y - u * 0.4, w + u * 0.8, h + u * 1.2, [14, 30, 32]);
  p.rect(x, y, w, h, body);
  p.rect(x, y, w, 5 * u, head);
  for (let n = 0; n < 3; n++) p.rect(x + w - (3.5 + n * 3.4) * u, y + 1.7 * u, 1.7 * u, 1.7 * u, n ? [140, 150, 150] : [214, 96, 84]);
}

const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
const crc32 = zlib.crc32 ?? ((buf) => {
  let c = 0xffffffff;
  for (const b of buf) c = table[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
});

function chunk(type, data) {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length);
  head.write(type, 4, 'latin1');
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(Buffer.concat([head.subarray(4), data])));
  return Buffer.concat([head, data, tail]);
}

/** RGB, 8 bits (PNG specification, ISO/IEC 15948). */
export function encodePng(p) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(p.width);
  head.writeUInt32BE(p.height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const rows = Buffer.alloc((p.width * 3 + 1) * p.height);
  for (let y = 0; y < p.height; y++) p.rgb.copy(rows, y * (p.width * 3 + 1) + 1, y * p.width * 3, (y + 1) * p.width * 3);
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), chunk('IHDR', head), chunk('IDAT', zlib.deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}
