// SPDX-License-Identifier: Apache-2.0
/** Hands a text to the browser's downloads. */
export function saveText(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
