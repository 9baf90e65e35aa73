// SPDX-License-Identifier: Apache-2.0
// xterm.js writes its colours and cell sizes into <style> elements, which the strict content security policy
// (style-src 'self') refuses. Styles set through the object model are allowed, so while a terminal is there its
// <style> elements are stand-ins whose text goes into a constructed style sheet. Nothing in the policy is loosened.
let users = 0;
let original = null;

function standIn(create) {
  const el = create('template');
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(el, 'textContent', { get: () => '', set: (css) => sheet.replaceSync(css) });
  Object.defineProperty(el, 'sheet', { get: () => sheet });
  el.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
    Element.prototype.remove.call(el);
  };
  return el;
}

/** From here to releaseStyles(), document.createElement('style') makes stand-ins. Counted. */
export function adoptStyles() {
  if (users++) return;
  original = document.createElement;
  const create = original.bind(document);
  document.createElement = (name, options) => (String(name).toLowerCase() === 'style' ? standIn(create) : create(name, options));
}

export function releaseStyles() {
  if (--users) return;
  delete document.createElement;
  original = null;
}
