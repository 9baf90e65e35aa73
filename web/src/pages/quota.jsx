// SPDX-License-Identifier: Apache-2.0
// The four numbers of a quota in a form. Empty is no limit.
import { bytes, parseSize } from '../lib/format.js';
import { Field } from '../ui/parts.jsx';

export const QUOTA = [
  { id: 'instances', label: 'Computers', mode: 'numeric' },
  { id: 'cpu', label: 'Cpus', mode: 'decimal' },
  { id: 'memory', label: 'Memory', size: true, placeholder: 'like 16 GiB' },
  { id: 'disk', label: 'Disk', size: true, placeholder: 'like 200 GiB' },
];

export const quotaText = (quota) => Object.fromEntries(QUOTA.map((q) => [q.id, quota?.[q.id] ? (q.size ? bytes(quota[q.id]) : String(quota[q.id])) : '']));

/** The form's texts as numbers (0: no limit); a fault says what to change. Untouched sizes keep their exact value. */
export function quotaOf(texts, before) {
  const values = {};
  const was = quotaText(before);
  for (const q of QUOTA) {
    const t = texts[q.id]?.trim();
    if (t == null || (before && t === was[q.id])) continue;
    const n = t === '' ? 0 : q.size ? parseSize(t) : Number(t);
    if (n == null || !Number.isFinite(n) || n < 0) return { values, fault: `“${t}” is no ${q.size ? 'size; write it like 16 GiB' : 'number'} (${q.label}).` };
    if (before || n) values[q.id] = n;
  }
  return { values, fault: null };
}

export function QuotaFields({ quota, setQuota }) {
  return (
    <fieldset class="plain-set"><legend>At most (empty: no limit)</legend>
      <div class="two">{QUOTA.map((q) => <Field key={q.id} label={q.label} inputMode={q.mode} placeholder={q.placeholder ?? 'no limit'} value={quota[q.id] ?? ''} onInput={(e) => setQuota({ ...quota, [q.id]: e.currentTarget.value })} />)}</div>
    </fieldset>
  );
}
