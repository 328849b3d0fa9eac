import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';

/** One file, and its compressed forms where the build made them (`x.js.br`, `x.js.gz`). */
interface Page {
  readonly type: string;
  readonly etag: string;
  readonly cache: string;
  readonly forms: ReadonlyMap<Coding, Buffer>;
}

type Coding = 'identity' | 'br' | 'gzip';

const SUFFIXES: readonly (readonly [string, Coding])[] = [
  ['.br', 'br'],
  ['.gz', 'gzip'],
];

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

/** The build's content hash in a name: whatever this file holds, it holds for ever. */
const HASHED = /[.-][A-Z0-9]{8}\.[a-z0-9.]+$/;

/**
 * The viewer's files, read into memory once: a request is a look-up in a table, so no path of a request ever
 * reaches the file system, and one run serves one consistent build.
 */
export class Site {
  private readonly folder: string;
  private pages = new Map<string, Page>();

  constructor(options: { folder: string }) {
    this.folder = options.folder;
  }

  /** Reads the folder; answers how many files there are, 0 when there is no such folder. */
  async load(): Promise<number> {
    const contents = new Map<string, Buffer>();
    for (const file of await this.list()) {
      const path = `/${relative(this.folder, file).split(sep).join('/')}`;
      contents.set(path, await readFile(file));
    }
    this.pages = new Map();
    for (const [path, content] of contents) {
      const isForm = SUFFIXES.some(([suffix]) => path.endsWith(suffix) && contents.has(path.slice(0, -suffix.length)));
      if (!isForm) this.pages.set(path, pageOf(path, content, contents));
    }
    return this.pages.size;
  }

  /** Answers a GET or HEAD for one of the files; false when `path` is none of them. */
  respond(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const page = this.pages.get(path.endsWith('/') ? `${path}index.html` : path);
    if (!page) return false;
    const coding = choose(page, request.headers['accept-encoding']);
    const body = page.forms.get(coding)!;
    const etag = `"${page.etag}${coding === 'identity' ? '' : `-${coding}`}"`;
    const headers: OutgoingHttpHeaders = { 'Cache-Control': page.cache, ETag: etag, Vary: 'Accept-Encoding' };
    if (matches(request.headers['if-none-match'], etag)) {
      response.writeHead(304, headers).end();
      return true;
    }
    headers['Content-Type'] = page.type;
    headers['Content-Length'] = body.length;
    if (coding !== 'identity') headers['Content-Encoding'] = coding;
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : body);
    return true;
  }

  private async list(): Promise<string[]> {
    try {
      const entries = await readdir(this.folder, { recursive: true, withFileTypes: true });
      // Links are left out: a folder of web files must not lead anywhere else.
      return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }
}

function pageOf(path: string, content: Buffer, contents: ReadonlyMap<string, Buffer>): Page {
  const forms = new Map<Coding, Buffer>([['identity', content]]);
  for (const [suffix, coding] of SUFFIXES) {
    const form = contents.get(path + suffix);
    if (form) forms.set(coding, form);
  }
  return {
    type: TYPES[extname(path)] ?? 'application/octet-stream',
    etag: createHash('sha256').update(content).digest('base64url').slice(0, 22),
    cache: HASHED.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
    forms,
  };
}

/** The best form the browser takes: Brotli, then gzip (RFC 9110 section 12.5.3, quality values of zero honoured). */
function choose(page: Page, accepted: string | undefined): Coding {
  const codings = (accepted ?? '').split(',').map((item) => item.trim().toLowerCase());
  for (const coding of ['br', 'gzip'] as const) {
    if (!page.forms.has(coding)) continue;
    if (codings.some((item) => item.split(';')[0]!.trim() === coding && !/;\s*q=0(\.0*)?$/.test(item))) return coding;
  }
  return 'identity';
}

function matches(header: string | undefined, etag: string): boolean {
  if (!header) return false;
  return header.split(',').some((item) => item.trim() === '*' || item.trim().replace(/^W\//, '') === etag);
}
