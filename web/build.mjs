// SPDX-License-Identifier: Apache-2.0
// Makes dist/ from src/: bundled, split, hashed, and beside each text a .gz, so that the gateway compresses nothing.
// dist/ itself stays the same directory, and what is old goes last: a gateway that serves it may be sandboxed to it,
// and never sees a page whose scripts are not there.
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, 'dist');
const started = Date.now() - 1000; // some file systems round
mkdirSync(join(dist, 'assets'), { recursive: true });

const result = await build({
  absWorkingDir: root,
  entryPoints: { main: 'src/main.jsx', style: 'src/styles/all.css' },
  outdir: 'dist/assets',
  bundle: true, splitting: true, format: 'esm', minify: true, target: ['es2022'],
  jsx: 'automatic', jsxImportSource: 'preact',
  entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]', assetNames: '[name]-[hash]',
  legalComments: 'none', metafile: true, logLevel: 'warning',
});

// index.html names the hashed files, and what the entry needs at once, so that nothing waits for a second round trip.
const outputs = Object.entries(result.metafile.outputs);
const out = (entry) => outputs.find(([, o]) => o.entryPoint === entry)[0];
const first = [];
const follow = (name) => {
  if (first.includes(name)) return;
  first.push(name);
  for (const i of result.metafile.outputs[name].imports) if (i.kind === 'import-statement') follow(i.path);
};
follow(out('src/main.jsx'));
const url = (file) => relative('dist', file);
const html = readFileSync(join(root, 'index.html'), 'utf8')
  .replace('<!-- style -->', `<link rel="stylesheet" href="${url(out('src/styles/all.css'))}">`)
  .replace('<!-- script -->', [
    ...first.slice(1).map((f) => `<link rel="modulepreload" href="${url(f)}">`),
    `<script type="module" src="${url(first[0])}"></script>`,
  ].join('\n  '));
cpSync(join(root, 'public'), dist, { recursive: true });

const firstBytes = first.reduce((n, f) => n + result.metafile.outputs[f].bytes, 0);
writeFileSync(join(dist, 'budget.json'), JSON.stringify({ first: first.map(url), bytes: firstBytes }) + '\n');

const files = () => readdirSync(dist, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath ?? f.path, f.name));
for (const path of files()) {
  if (statSync(path).mtimeMs < started) continue;
  if (/\.(js|css|svg|json|webmanifest)$/.test(path) && statSync(path).size > 512) writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
}
writeFileSync(join(dist, '.index.html'), html);
writeFileSync(join(dist, 'index.html.gz'), gzipSync(html, { level: 9 }));
renameSync(join(dist, '.index.html'), join(dist, 'index.html'));
for (const path of files()) if (statSync(path).mtimeMs < started) rmSync(path);
console.log(`web: dist/ made, ${(firstBytes / 1000).toFixed(0)} kB of script before the first page`);
if (firstBytes > 150_000) {
  console.error('web: more than 150 kB of script before the first page; load something later');
  process.exit(1);
}
