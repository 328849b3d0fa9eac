import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));

/** Everything a viewer downloads, QR reader included, gzipped: bytes. */
const BUDGET = 250_000;

/**
 * Bundles the viewer into static files: index.html and, under names that change with their content, scripts and
 * style. Text files lie beside their gzipped form (`.gz`) for servers that hand it out. Throws over the size budget.
 * @param {{ outDir: string, dev?: boolean, plugins?: import('esbuild').Plugin[] }} options
 *   `dev`: readable, with source maps, whatever the size
 * @returns {Promise<{ gzipBytes: number }>} of all files together
 */
export async function buildViewer({ outDir, dev = false, plugins = [] }) {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const { metafile, outputFiles } = await build({
    entryPoints: { main: join(here, 'main.tsx'), style: join(here, 'style.css') },
    outdir: outDir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: ['es2022', 'chrome100', 'firefox115', 'safari16'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: !dev,
    sourcemap: dev,
    legalComments: 'none',
    entryNames: '[name]-[hash]',
    chunkNames: 'chunk-[hash]',
    metafile: true,
    write: false,
    plugins,
    logLevel: 'warning',
  });
  const page = (await readFile(join(here, 'index.html'), 'utf8')).replace('<!-- assets -->', headOf(metafile, outDir));
  const files = [
    { path: join(outDir, 'index.html'), contents: Buffer.from(page) },
    ...outputFiles.map(({ path, contents }) => ({ path, contents })),
  ];
  let gzipBytes = 0;
  for (const { path, contents } of files) {
    await writeFile(path, contents);
    if (path.endsWith('.map')) continue;
    const gzipped = gzipSync(contents, { level: 9 });
    gzipBytes += gzipped.length;
    await writeFile(`${path}.gz`, gzipped);
  }
  if (!dev && gzipBytes > BUDGET) {
    throw new Error(`the viewer is ${gzipBytes} bytes gzipped, ${BUDGET} are allowed: see what grew`);
  }
  console.error(`viewer  ${Math.ceil(gzipBytes / 1000)} kB gzipped`);
  return { gzipBytes };
}

/** The tags that load the bundle: what every visit needs is asked for at once, not when the script gets to it. */
function headOf(metafile, outDir) {
  const outputs = Object.entries(metafile.outputs).map(([path, output]) => ({
    ...output,
    href: `./${path.slice(path.lastIndexOf('/') + 1)}`,
    path,
  }));
  const entry = (name) => outputs.find(({ entryPoint }) => entryPoint?.endsWith(name));
  const main = entry('viewer/main.tsx');
  const style = entry('viewer/style.css');
  if (!main || !style) throw new Error(`the bundle in ${outDir} has no main script or no style`);
  const preloaded = new Set();
  const follow = ({ imports }) => {
    for (const { path, kind } of imports) {
      const output = outputs.find((one) => one.path === path);
      // The QR reader is for those who scan.
      if (!output || preloaded.has(output) || output.entryPoint?.includes('/qr/')) continue;
      if (kind === 'import-statement' || kind === 'dynamic-import') {
        preloaded.add(output);
        follow(output);
      }
    }
  };
  follow(main);
  return [
    `<link rel="stylesheet" href="${style.href}">`,
    `<script type="module" src="${main.href}"></script>`,
    ...[...preloaded].map(({ href }) => `<link rel="modulepreload" href="${href}">`),
    '<link rel="preload" href="./config.json" as="fetch" crossorigin>',
  ].join('\n    ');
}
