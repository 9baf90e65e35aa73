// SPDX-License-Identifier: Apache-2.0
// From an image to a running computer. What goes on is one signal, so that any page can show it; leaving the page
// does not stop it.
import { signal } from '@preact/signals';
import { post, spacePath } from './api.js';
import { images, isAdmin, recipes, instances, opEnd, putInstance, readImages, serverArch } from './live.js';
import { freeName } from './format.js';
import { isForeign, isPart, lacksKernel } from './kinds.js';
import { go } from './route.js';

/** null, or { phase: 'image' | 'computer', op: id, name, space, image } or with `error`. */
export const launching = signal(null);

/** Desktops to sit down at come first, then systems, applications, programs, and whole disks and discs. */
const rank = (c) => ({ program: 3, disk: 4, iso: 5 }[c.format] ?? (c.desktop ? 0 : c.init === 'app' ? 2 : 1));

/** What one can launch: each image once, and for who may build them the recipes that are not built yet. */
export function choices() {
  const list = [];
  const built = new Set();
  for (const m of images.value ?? []) {
    const name = m.names?.[0] ?? m.digest.slice(7, 19);
    built.add(m.digest);
    if (isPart(m)) continue;
    list.push({ ref: m.names?.[0] ?? m.digest, name, description: m.description || describe(m), desktop: m.desktop, init: m.init, kinds: m.kinds, size: m.size, recipe: null,
      screen: m.desktop || ['disk', 'iso'].includes(m.format), format: m.format, runtime: m.runtime, arch: m.arch, firmware: m.firmware, hardware: m.hardware, disk: m.disk });
  }
  for (const r of isAdmin.value ? recipes.value : []) {
    if (r.image && built.has(r.image) || /^kernel\b/.test(r.name)) continue;
    list.push({ ref: r.name, name: r.name, description: r.description ?? '', desktop: r.name === 'desktop', init: 'system', kinds: ['container'], size: null, recipe: r.name, arch: r.arch, screen: r.name === 'desktop' });
  }
  return list.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

const describe = (m) => ({
  disk: 'A whole disk with a system of its own on it.', iso: 'A disc that installs a system on an empty disk.',
  program: { wasm: 'One WebAssembly program in a sandbox.', java: 'One Java program in a sandbox.' }[m.runtime] ?? 'One program in a sandbox.',
}[m.format] ?? (m.desktop ? 'A desktop to work at.' : m.init === 'app' ? 'An application, started by itself.' : 'A whole system with a terminal.'));

/** Names may hold letters, digits and dashes; an image's name may hold more. */
export const suggestName = (image, space) => {
  const base = image.split('/').pop().split(/[:@]/)[0].toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^[-0-9]+|-+$/g, '').slice(0, 50) || 'computer';
  return freeName(base, [...instances.value.values()].filter((i) => i.space === space).map((i) => i.name));
};

/** Builds an image in front of everybody's eyes; it stays known where this page is left. */
async function build(body, space, spec, image) {
  const made = await post('/v1/images', body);
  launching.value = { phase: 'image', op: made.operation.id, space, name: spec.name, image };
  await opEnd(made.operation);
  await readImages();
}

/** Builds the image (and a machine's kernel) where it is not there yet, creates the instance, waits until it runs. Throws what the server says. */
export async function launch(space, choice, spec) {
  try {
    if (choice.recipe) await build({ source: `recipe:${choice.recipe}` }, space, spec, choice.name);
    if (isAdmin.value && lacksKernel(images.value, choice, spec.kind))
      await build({ source: 'recipe:kernel', ...(isForeign(choice.arch, serverArch.value) ? { arch: choice.arch } : {}) }, space, spec, 'kernel');
    launching.value = { ...launching.value, phase: 'computer', op: null, space, name: spec.name, image: choice.name };
    const { operation, ...i } = await post(`${spacePath(space)}/instances`, { image: choice.ref, ...spec });
    if (i.name) putInstance({ ...i, space });
    launching.value = { ...launching.value, op: operation?.id };
    await opEnd(operation);
    return instances.value.get(`${space}/${spec.name}`) ?? { ...i, space, name: spec.name };
  } finally {
    launching.value = null;
  }
}

/** The big button of a first day: a desktop with the everyday size, shown on the page for new computers. */
export const launchDesktop = (space) => {
  go('new', { image: choices().find((c) => c.desktop).ref, space, go: '1' });
};
