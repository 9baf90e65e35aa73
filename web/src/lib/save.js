// SPDX-License-Identifier: Apache-2.0
/** Downloads what the server has at this address, under the name that the server gives it. */
export function download(path) {
  const a = document.createElement('a');
  a.href = path;
  a.download = '';
  a.click();
}

/** Hands a text to the browser's downloads. */
export function saveText(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
