// SPDX-License-Identifier: Apache-2.0
// Keys as X11 keysyms (X11/keysymdef.h), for combinations and for the soft keyboard of a phone. Pure: tested.

export const KEY = {
  BackSpace: 0xff08, Tab: 0xff09, Return: 0xff0d, Escape: 0xff1b, Delete: 0xffff, Home: 0xff50, Left: 0xff51, Up: 0xff52, Right: 0xff53,
  Down: 0xff54, PageUp: 0xff55, PageDown: 0xff56, End: 0xff57, Insert: 0xff63, Print: 0xff61, F1: 0xffbe, F2: 0xffbf, F4: 0xffc1, F11: 0xffc8,
  Shift: 0xffe1, Control: 0xffe3, Alt: 0xffe9, Super: 0xffeb,
};

/** Combinations that the browser or the host's window manager would keep for itself. */
export const COMBOS = [
  { text: 'Ctrl + Alt + Del', keys: ['Control', 'Alt', 'Delete'] },
  { text: 'Alt + Tab', keys: ['Alt', 'Tab'] },
  { text: 'Alt + F4', keys: ['Alt', 'F4'] },
  { text: 'Ctrl + W', keys: ['Control', 119] },
  { text: 'Ctrl + T', keys: ['Control', 116] },
  { text: 'Ctrl + Shift + Esc', keys: ['Control', 'Shift', 'Escape'] },
  { text: 'Super', keys: ['Super'] },
  { text: 'Escape', keys: ['Escape'] },
  { text: 'Tab', keys: ['Tab'] },
  { text: 'F11', keys: ['F11'] },
  { text: 'Print Screen', keys: ['Print'] },
];

export const symOf = (k) => (typeof k === 'number' ? k : KEY[k]);

/** A character's keysym: Latin-1 is itself, the rest of Unicode has 0x01000000 added; line feeds are Return. */
export function symOfChar(c) {
  const p = c.codePointAt(0);
  if (p === 10 || p === 13) return KEY.Return;
  if (p === 9) return KEY.Tab;
  return p < 0x20 ? null : p < 0x100 ? p : 0x01000000 + p;
}

/** Presses `keys` in order and releases them the other way round. */
export function sendCombo(rfb, keys) {
  const syms = keys.map(symOf);
  for (const s of syms) rfb.sendKey(s, null, true);
  for (const s of [...syms].reverse()) rfb.sendKey(s, null, false);
}

/**
 * What was typed between two contents of a text field: how many characters to take back, and the new ones. Soft
 * keyboards send no usable key events, but they change the field, also when they correct a word.
 */
export function typedDiff(before, after) {
  const a = [...before];
  const b = [...after];
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return { back: a.length - same, text: b.slice(same).join('') };
}
