import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';

/** Who may import whom: the table of the house. A star means every folder but the programs. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  protocol: [],
  lib: [],
  config: ['protocol', 'lib'],
  identity: ['protocol', 'lib'],
  ptz: ['protocol', 'lib'],
  media: ['lib'],
  update: ['lib'],
  network: ['lib'],
  session: ['media', 'protocol', 'lib', 'identity'],
  storage: ['media', 'protocol', 'lib', 'identity'],
  // The sources cut the encoder's bytes into access units themselves.
  device: ['lib', 'media'],
  camera: [
    'protocol',
    'lib',
    'config',
    'identity',
    'ptz',
    'media',
    'update',
    'network',
    'session',
    'storage',
    'device',
  ],
  server: ['protocol', 'lib', 'identity', 'config'],
  factory: ['protocol', 'lib', 'identity', 'config'],
  ctl: ['protocol', 'lib', 'identity', 'config'],
  viewer: ['protocol', 'identity'],
};
/** Folders that run in browsers. */
const NO_NODE = ['protocol', 'viewer'];
/** Files of identity/ that the viewer uses, and that therefore use nothing of Node. */
const BROWSER_SAFE_IDENTITY = ['keys.ts', 'seal.ts', 'pairing-proof.ts', 'fingerprint.ts', 'viewer-parley.ts'];
const OWNERS_OF_TYPES_FOR_DEVICE = ['session', 'ptz', 'storage', 'network', 'update'];

interface Import {
  readonly file: string;
  readonly folder: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const src = join(dirname(fileURLToPath(import.meta.url)), '../../src');
const imports = sourceFiles(src).flatMap(importsOf);
const test = suite('import table');

test('there is something to check', () => {
  assert.ok(imports.length > 50, `only ${imports.length} imports found`);
});

test('every folder of src/ stands in the table and opens with its README', () => {
  for (const folder of readdirSync(src).filter((name) => statSync(join(src, name)).isDirectory())) {
    assert.ok(folder in MAY_IMPORT || folder === 'v4l2camera', `src/${folder} is not in the table`);
    assert.ok(existsSync(join(src, folder, 'README.md')), `src/${folder} has no README.md`);
  }
});

test('folders import what the table allows', () => {
  const violations = imports.filter((entry) => !allowed(entry));
  assert.deepEqual(violations.map(describe), []);
});

test('other folders are named by #, the own one by ./', () => {
  const violations = imports.filter(({ file, folder, specifier }) => {
    if (specifier.startsWith('#')) return specifier.startsWith(`#${folder}/`);
    return specifier.startsWith('.') && folderOf(resolve(dirname(file), specifier)) !== folder;
  });
  assert.deepEqual(violations.map(describe), []);
});

test('what runs in browsers uses nothing of Node', () => {
  const violations = imports.filter(
    ({ file, folder, specifier }) =>
      specifier.startsWith('node:') &&
      file.endsWith('.mjs') === false &&
      (NO_NODE.includes(folder) ||
        (folder === 'identity' && BROWSER_SAFE_IDENTITY.some((name) => file.endsWith(name)))),
  );
  assert.deepEqual(violations.map(describe), []);
});

test("only device/ and the production line's links to boards use native packages and child processes", () => {
  const native = ['node-datachannel', 'v4l2camera', 'serialport', 'node:child_process'];
  const links = ['factory/ssh-link.ts', 'factory/serial-link.ts'];
  const violations = imports.filter(
    ({ file, folder, specifier }) =>
      native.includes(specifier) && folder !== 'device' && !links.includes(relative(src, file)),
  );
  assert.deepEqual(violations.map(describe), []);
});

test.run();

function allowed({ folder, specifier, typeOnly, file }: Import): boolean {
  const target = /^#([^/]+)\//.exec(specifier)?.[1];
  if (target === undefined) return true;
  if (folder === 'device' && typeOnly && OWNERS_OF_TYPES_FOR_DEVICE.includes(target)) return true;
  if (folder === 'viewer' && target === 'identity') {
    return BROWSER_SAFE_IDENTITY.some((name) => specifier.endsWith(`/${name}`));
  }
  // The viewer's build script is a part of the build, not of the page.
  return MAY_IMPORT[folder]!.includes(target) || file.endsWith('.mjs');
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'v4l2camera' ? [] : sourceFiles(path);
    return /\.(ts|tsx|mjs)$/.test(entry.name) ? [path] : [];
  });
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  const found = text.matchAll(
    /^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm,
  );
  return [...found].map((match) => ({
    file,
    folder: folderOf(file),
    specifier: (match[2] ?? match[3])!,
    typeOnly: match[1] !== undefined,
  }));
}

function folderOf(file: string): string {
  return relative(src, file).split('/')[0]!;
}

function describe({ file, specifier }: Import): string {
  return `${relative(src, file)} imports ${specifier}`;
}
