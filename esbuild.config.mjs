/**
 * One file per program in dist/, native addons and the demo's clip beside them, the viewer as static files.
 * `node esbuild.config.mjs`; sizes are printed.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildViewer } from './src/viewer/build.mjs';

const root = dirname(fileURLToPath(import.meta.url));
const outDir = join(root, 'dist');
const require = createRequire(import.meta.url);

/** The WebRTC addon's own loader searches node_modules; in dist/ it lies beside the program. */
const nativeBeside = {
  name: 'native-beside',
  setup(build) {
    build.onResolve({ filter: /^node-datachannel$/ }, () => ({ path: 'node-datachannel', namespace: 'native' }));
    build.onLoad({ filter: /.*/, namespace: 'native' }, () => ({
      contents: `import { createRequire } from 'node:module';
        const native = createRequire(import.meta.url)('./node_datachannel.node');
        export const { PeerConnection, Video, initLogger } = native;`,
    }));
  },
};

const programs = {
  peercamd: 'src/camera/main.ts',
  peercamctl: 'src/ctl/main.ts',
  'peercam-server': 'src/server/main.ts',
};

rmSync(outDir, { recursive: true, force: true });
mkdirSync(outDir, { recursive: true });

const builtIn = {
  'process.env.PEERCAM_VERSION': JSON.stringify(require('./package.json').version),
  // The earliest time it can be on a board without a clock; given from outside, a build can be made again bit by bit.
  'process.env.PEERCAM_BUILD_TIME': JSON.stringify(String(buildTime())),
};

/** What the programs have in common. CommonJS packages inside an ESM bundle ask for require, __filename and __dirname. */
const common = {
  absWorkingDir: root,
  outdir: outDir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minify: true,
  keepNames: false,
  legalComments: 'linked',
  define: builtIn,
  banner: {
    js: `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module';
import { fileURLToPath as __fileURLToPath } from 'node:url';
import { dirname as __pathDirname } from 'node:path';
const require = __createRequire(import.meta.url);
const __filename = __fileURLToPath(import.meta.url);
const __dirname = __pathDirname(__filename);`,
  },
};
await build({ ...common, entryPoints: programs, plugins: [nativeBeside] });
// The production line's computer has node_modules: fonts and serial ports are not worth a single file.
await build({
  ...common,
  entryPoints: { 'peercam-factory': 'src/factory/main.ts' },
  external: ['pdfkit', 'serialport'],
});
await buildViewer({ outDir: join(outDir, 'viewer'), dev: false });

copyFileSync(join(root, 'src/device/sim/pattern.h264'), join(outDir, 'pattern.h264'));
copyFileSync(webRtcAddon(), join(outDir, 'node_datachannel.node'));
const v4l2 = join(root, 'src/v4l2camera/build/v4l2camera.node');
if (existsSync(v4l2)) copyFileSync(v4l2, join(outDir, 'v4l2camera.node'));
else console.error('v4l2camera was not compiled (no C compiler): v4l2: sources will say so, the rest works');

for (const file of readdirSync(outDir)) {
  const { size } = statSync(join(outDir, file));
  console.error(`dist/${file}  ${Math.ceil(size / 1024)} kB`);
}

/** ms since 1970; https://reproducible-builds.org/docs/source-date-epoch/ */
function buildTime() {
  const { SOURCE_DATE_EPOCH } = process.env;
  return SOURCE_DATE_EPOCH ? Number(SOURCE_DATE_EPOCH) * 1000 : Date.now();
}

/** The prebuilt addon of this platform, an optional dependency of node-datachannel. */
function webRtcAddon() {
  const report = process.report.getReport();
  const libc = report.header.glibcVersionRuntime ? 'gnu' : 'musl';
  const name = `@node-datachannel/${process.platform}-${process.arch}-${libc}`;
  const inPackage = createRequire(require.resolve('node-datachannel'));
  const folder = dirname(inPackage.resolve(`${name}/package.json`));
  const { main } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, main);
}
