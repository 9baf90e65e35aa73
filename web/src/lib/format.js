// SPDX-License-Identifier: Apache-2.0
// Numbers, sizes and times as people read them. Pure functions: tested in test/format.test.mjs.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 1610612736 → "1.5 GiB"; null and NaN are unknown and shown as "–". */
export function bytes(n) {
  if (n == null || !Number.isFinite(n)) return '–';
  let i = 0;
  let v = Math.abs(n);
  while (v >= 1023.5 && i < UNITS.length - 1) {
    v /= 1024;
    i++;
  }
  const digits = i === 0 || v >= 9.95 ? 0 : 1;
  return `${n < 0 ? '-' : ''}${trimZero(v.toFixed(digits))} ${UNITS[i]}`;
}

const trimZero = (s) => s.replace(/\.0$/, '');

/** Bytes a second. */
export const rate = (n) => (n == null || !Number.isFinite(n) ? '–' : `${bytes(n)}/s`);

/** A share of cpus in use: 0.034 → "3.4 %", 1.5 → "150 %". */
export function cpuShare(n) {
  if (n == null || !Number.isFinite(n)) return '–';
  const p = n * 100;
  return `${p >= 9.95 ? Math.round(p) : trimZero(p.toFixed(1))} %`;
}

/** A number of cpus: 1 → "1 cpu", 0 → "all cpus" (no limit). */
export const cpus = (n) => (n == null ? '–' : n === 0 ? 'all cpus' : `${trimZero(String(Math.round(n * 100) / 100))} ${n === 1 ? 'cpu' : 'cpus'}`);

/** What a computer may use, where 0 is no limit: "2 cpus, 4 GiB memory", "all of the server's 16 cpus, memory without limit". */
export const sizeOf = (i, serverCpus) => [
  i.cpu === 0 ? `all of the server’s ${serverCpus > 1 ? cpus(serverCpus) : 'cpus'}` : cpus(i.cpu),
  i.memory === 0 ? 'memory without limit' : `${bytes(i.memory)} memory`,
  i.disk === 0 ? 'disk without limit' : `${bytes(i.disk)} disk`,
].join(', ');

/** Length of time in seconds → "4 min". */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return '–';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : ''}`;
  return `${Math.floor(s / 86400)} d`;
}

/** "2 min ago", "just now", "in 3 d"; `now` in ms. */
export function ago(iso, now = Date.now()) {
  const t = Date.parse(iso ?? '');
  if (!Number.isFinite(t)) return 'never';
  const s = Math.round((now - t) / 1000);
  if (Math.abs(s) < 10) return 'just now';
  const text = duration(Math.abs(s)).replace(/ h .*/, ' h');
  return s > 0 ? `${text} ago` : `in ${text}`;
}

/** Local date and time with seconds, for hover and logs. */
export function dateTime(iso) {
  const d = new Date(iso ?? NaN);
  if (Number.isNaN(d.getTime())) return '–';
  const two = (n) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** count(1, 'computer') → "1 computer". */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** "64G", "1.5 GiB", "512m", "100" → bytes, or null where it is no size. */
export function parseSize(text) {
  const m = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(String(text));
  if (!m) return null;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf(m[2].toLowerCase());
  const n = Math.round(Number(m[1]) * 1024 ** power);
  return Number.isSafeInteger(n) ? n : null;
}

/** "KEY=value" lines → object; null where a line is none. Blank lines are skipped. */
export function parseEnv(text) {
  const env = {};
  for (const line of String(text).split('\n')) {
    if (!line.trim()) continue;
    const at = line.indexOf('=');
    if (at < 1) return null;
    env[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return env;
}

export const formatEnv = (env) => Object.entries(env ?? {}).map(([k, v]) => `${k}=${v}`).join('\n');

/** A command line → its words: quotes group, a backslash escapes; null where a quote is left open. */
export function parseCommand(text) {
  const words = [];
  let word = null;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote) {
      if (c === quote) quote = '';
      else if (c === '\\' && quote === '"' && i + 1 < text.length) word += text[++i];
      else word += c;
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (/\s/.test(c)) {
      if (word != null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + (c === '\\' && i + 1 < text.length ? text[++i] : c);
    }
  }
  if (quote) return null;
  if (word != null) words.push(word);
  return words;
}

export const formatCommand = (words) => (words ?? []).map((w) => (/^[\w@%+=:,./-]+$/.test(w) ? w : `'${w.replace(/'/g, `'\\''`)}'`)).join(' ');

/** "8080:80", "udp 53:53", "127.0.0.1:8080:80/tcp" a line → ports; throws a sentence that says which line is wrong. */
export function parsePorts(text) {
  return String(text).split('\n').map((l) => l.trim()).filter(Boolean).map((line) => {
    const m = /^(?:(tcp|udp)\s+)?(?:(\d+(?:\.\d+){3}):)?(\d+):(\d+)(?:\/(tcp|udp))?$/.exec(line);
    if (!m || [m[3], m[4]].some((p) => Number(p) < 1 || Number(p) > 65535))
      throw new Error(`“${line}” is no port: write the server's port, a colon and the computer's port, like 8080:80 or 5353:53/udp`);
    return { protocol: m[1] ?? m[5] ?? 'tcp', listen: Number(m[3]), to: Number(m[4]), address: m[2] ?? null };
  });
}

export const formatPort = (p) => `${p.address ? `${p.address}:` : ''}${p.listen}:${p.to}${p.protocol === 'udp' ? '/udp' : ''}`;

/** File mode bits (number or octal text) → "rwxr-xr-x". */
export function modeText(mode) {
  const m = typeof mode === 'string' ? parseInt(mode, 8) : mode;
  if (!Number.isFinite(m)) return '–';
  return [6, 3, 0].map((s) => `${m >> s & 4 ? 'r' : '-'}${m >> s & 2 ? 'w' : '-'}${m >> s & 1 ? 'x' : '-'}`).join('');
}

/** One CSV field; a leading = + - @ is quoted so that a spreadsheet does not run it. */
export function csvField(v) {
  let s = v == null ? '' : String(v);
  if (/^[=+\-@\t\r]/.test(s)) s = `'${s}`;
  return /[",\n\r]/.test(s) ? `"${s.replace(/"/g, '""')}"` : s;
}

export const csv = (rows) => rows.map((r) => r.map(csvField).join(',')).join('\r\n') + '\r\n';

/** A free name: base, base-2, base-3 … */
export function freeName(base, taken) {
  const used = new Set(taken);
  if (!used.has(base)) return base;
  let n = 2;
  while (used.has(`${base}-${n}`)) n++;
  return `${base}-${n}`;
}

/** A terminal's output as text: without what moves the cursor or colours, and of a line drawn over and over the last. */
export const plainText = (s) => String(s)
  .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])/g, '')
  .replace(/\r+\n/g, '\n').replace(/[^\n]*\r(?=[^\n])/g, '').replace(/[^\t\n\x20-\x7e\xa0-\u{10ffff}]/gu, '');
