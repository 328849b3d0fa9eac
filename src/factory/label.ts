import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { parseUid } from '#protocol/uid.ts';
import { type Arguments, type Command, usage } from './command.ts';
import { type LabelData, LabelFolder } from './label-data.ts';
import { layOutLabel, SMALLEST_LABEL } from './label-layout.ts';
import { labelSize, type Sheet, sheetPdf } from './label-sheet.ts';
import { labelSvg } from './label-svg.ts';
import { Ledger } from './ledger.ts';
import { lockFolders } from './lock.ts';

/** Setup codes are printed on it. */
const SECRET_MODE = 0o600;

/** `peercam-factory label OUT`: what is printed and stuck on. */
export const label: Command = {
  name: 'label',
  summary: 'make the labels: a PDF sheet, or one SVG each',
  description: [
    'Makes the labels of the boards in the output folder OUT, all of them or those whose UID is given, in the order of the ledger: the QR code ' +
      'that a phone’s camera reads, with model, UID and setup code readable beside it. The code opens the viewer at the address of --viewer.',
    'Setup codes are secret: who has one can own the camera before its buyer. Once the labels are printed and checked, delete the files made ' +
      'here and OUT/labels.',
  ],
  words: 'OUT [UID…]',
  count: { min: 1, max: Number.POSITIVE_INFINITY },
  options: {
    viewer: { hint: 'URL', doc: 'Address of the viewer, as a phone shall open it.', required: true },
    pdf: { hint: 'FILE', doc: 'Write a PDF of A4 sheets.' },
    svg: { hint: 'DIR', doc: 'Write an SVG file for each board into this folder.' },
    rows: { hint: 'N', doc: 'Labels below each other on a sheet.', default: '8' },
    columns: { hint: 'N', doc: 'Labels beside each other.', default: '3' },
    margin: { hint: 'MM', doc: 'White edge around the sheet.', default: '10' },
  },
  example: [
    'label monday --viewer https://view.example.com/ --pdf labels.pdf',
    'label monday 7KQ2M-0B9XT-4HNRC-W8E5Z --viewer https://view.example.com/ --svg .',
  ],
  async run(given) {
    const viewer = viewerOf(given.text('viewer'));
    const sheet = sheetOf(given);
    const pdf = given.optional('pdf');
    const svg = given.optional('svg');
    if (pdf === undefined && svg === undefined) throw usage(label, 'give --pdf FILE, --svg DIR, or both');
    const labels = await chosenLabels(given.words[0]!, given.words.slice(1));
    const layouts = labels.map((data) => layOutLabel(data, { viewer, ...labelSize(sheet) }));
    if (pdf !== undefined) {
      await save(pdf, await sheetPdf(layouts, sheet));
      process.stdout.write(
        `${pdf}: labels: ${labels.length}, A4 sheets: ${Math.ceil(labels.length / (sheet.rows * sheet.columns))}\n`,
      );
    }
    if (svg !== undefined) {
      await mkdir(svg, { mode: 0o700 }).catch(() => {});
      for (const [index, { uid }] of labels.entries()) await save(join(svg, `${uid}.svg`), labelSvg(layouts[index]!));
      process.stdout.write(`${svg}: SVG files: ${labels.length}\n`);
    }
    process.stdout.write(
      `Delete these and ${join(given.words[0]!, 'labels')} once they are printed: they hold the setup codes.\n`,
    );
  },
};

/** `https:` only: a page that came over plain HTTP can be anybody's, and reads the setup code. */
function viewerOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url?.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (!url || (url.protocol !== 'https:' && !isLocal)) {
    throw usage(label, `--viewer: expected an address that begins with https://, got "${text.slice(0, 80)}"`);
  }
  if (url.hash || url.search || url.username || url.password) {
    throw usage(label, '--viewer: expected an address without #, ? and user name: UID and code go behind its #');
  }
  if (url.href.length > 200)
    throw usage(label, '--viewer: the address is too long for a small QR code (200 characters at most)');
  return url.href;
}

function sheetOf(given: Arguments): Sheet {
  const sheet = {
    rows: given.number('rows', { min: 1, max: 20 }),
    columns: given.number('columns', { min: 1, max: 10 }),
    margin: given.number('margin', { min: 0, max: 50 }),
  };
  const { width, height } = labelSize(sheet);
  if (width >= SMALLEST_LABEL.width && height >= SMALLEST_LABEL.height) return sheet;
  throw usage(
    label,
    `labels of ${width.toFixed(0)} x ${height.toFixed(0)} mm are too small to be read: at least ${SMALLEST_LABEL.width} x ` +
      `${SMALLEST_LABEL.height} mm, so fewer rows, columns or margin`,
  );
}

async function chosenLabels(out: string, texts: readonly string[]): Promise<LabelData[]> {
  const folder = new LabelFolder(out);
  if (texts.length > 0) {
    return Promise.all(
      texts.map((text) => {
        const uid = parseUid(text);
        if (!uid) throw usage(label, `"${text.slice(0, 40)}" is not a UID: 20 letters and digits`);
        return folder.read(uid);
      }),
    );
  }
  const all = await folder.readAll();
  const order = all.length > 0 ? await ledgerOrder(out) : new Map<string, number>();
  const labels = all.filter(({ uid }) => order.has(uid));
  if (labels.length === 0) {
    throw new AppError(
      'factory.no-label',
      `${join(out, 'labels')} holds no labels: they are made by \`provision\` and \`batch\` with --out ${out}, and are gone once deleted`,
    );
  }
  return labels.sort((a, b) => order.get(a.uid)! - order.get(b.uid)!);
}

/** Boards that an interrupted run did not finish have no label yet. */
async function ledgerOrder(out: string): Promise<Map<string, number>> {
  const unlock = await lockFolders([out]);
  try {
    const ledger = await Ledger.open(out);
    await ledger.close();
    return new Map(ledger.entries.map(({ uid }, index) => [uid, index]));
  } finally {
    await unlock();
  }
}

async function save(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeAtomically(path, content, { mode: SECRET_MODE });
  } catch (error) {
    throw new AppError(
      'factory.not-written',
      `${path} cannot be written (${errorText(error)}): give a place that exists`,
      {
        cause: error,
      },
    );
  }
}
