// SPDX-License-Identifier: Apache-2.0
// A table that sorts by a click on a head. Columns: { id, text, cell(row), sort?(row), num?, className? }.
import { useState } from 'preact/hooks';

export function Table({ label, columns, rows, keyOf, initial, empty }) {
  const [by, setBy] = useState(initial ?? null); // { id, down }
  const column = by && columns.find((c) => c.id === by.id);
  const sorted = column?.sort ? [...rows].sort((a, b) => compare(column.sort(a), column.sort(b)) * (by.down ? -1 : 1)) : rows;
  if (!rows.length && empty) return <p class="quiet">{empty}</p>;
  return (
    <div class="table-box" tabIndex="0" role="region" aria-label={label}>
      <table>
        <thead><tr>{columns.map((c) => {
          const on = by?.id === c.id;
          return (
            <th key={c.id} scope="col" class={`${c.num ? 'num' : ''} ${c.className ?? ''}`} aria-sort={on ? (by.down ? 'descending' : 'ascending') : undefined}>
              {c.sort ? <button type="button" onClick={() => setBy({ id: c.id, down: on ? !by.down : !!c.num })}>{c.text}<span aria-hidden="true">{on ? (by.down ? '↓' : '↑') : ''}</span></button> : c.text || <span class="sr">Actions</span>}
            </th>
          );
        })}</tr></thead>
        <tbody>{sorted.map((r) => <tr key={keyOf(r)}>{columns.map((c) => <td key={c.id} class={`${c.num ? 'num' : ''} ${c.className ?? ''}`}>{c.cell(r)}</td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function compare(a, b) {
  if (a == null || b == null) return a == null ? (b == null ? 0 : 1) : -1;
  return typeof a === 'string' ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
}
