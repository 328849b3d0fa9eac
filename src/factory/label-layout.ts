import encodeQR from 'qr';
import { labelAddress } from '#protocol/label.ts';
import { formatSetupCode } from '#protocol/setup-code.ts';
import { formatUid } from '#protocol/uid.ts';
import type { LabelData } from './label-data.ts';

/** Everything on a label and where, mm from its upper left corner: drawn alike on paper and as SVG. */
export interface LabelLayout {
  readonly width: number;
  readonly height: number;
  readonly qr: QrPlace;
  readonly texts: readonly Text[];
}

export interface QrPlace {
  /** Upper left corner of the first module; the quiet zone lies around. */
  readonly x: number;
  readonly y: number;
  /** Edge of one module. */
  readonly module: number;
  /** Runs of dark modules, in modules. */
  readonly runs: readonly { readonly column: number; readonly row: number; readonly length: number }[];
}

export interface Text {
  readonly x: number;
  /** Of the baseline. */
  readonly y: number;
  /** Height of the font. */
  readonly size: number;
  readonly style: 'name' | 'caption' | 'code';
  readonly text: string;
  /** Of the whole text, where every character is equally wide. */
  readonly width?: number;
}

export const SMALLEST_LABEL = { width: 35, height: 18 };

/** Modules that must stay white around a QR code (ISO/IEC 18004, 5.3.8). */
const QUIET = 4;
const EDGE = 1.5;
/** Width of a character of Courier over its height; of Helvetica bold, on average and generously. */
const MONO = 0.6;
const BOLD = 0.62;
const MM_PER_POINT = 25.4 / 72;

/** @param size of the label, mm, at least `SMALLEST_LABEL` */
export function layOutLabel(label: LabelData, options: { viewer: string; width: number; height: number }): LabelLayout {
  const { width, height } = options;
  const modules = modulesOf(labelAddress(options.viewer, label.uid, label.setupCode));
  const box = Math.min(height - 2 * EDGE, width * 0.48);
  const module = box / (modules.length + 2 * QUIET);
  const quiet = QUIET * module;
  const left = EDGE + box;
  return {
    width,
    height,
    qr: { x: EDGE + quiet, y: (height - box) / 2 + quiet, module, runs: darkRuns(modules) },
    texts: layOutTexts(label, { left, width: width - left - 2 * EDGE, height, box }),
  };
}

/** Without the border that the encoder insists on. */
function modulesOf(text: string): boolean[][] {
  const bordered = encodeQR(text, 'raw', { ecc: 'medium', border: 1 });
  return bordered.slice(1, -1).map((row) => row.slice(1, -1));
}

function layOutTexts(
  label: LabelData,
  { left, width, height, box }: { left: number; width: number; height: number; box: number },
): Text[] {
  const codeSize = Math.min(width / (12 * MONO), box / 8.8);
  const captionSize = Math.min(Math.max(codeSize * 0.55, 4.5 * MM_PER_POINT), codeSize);
  const name = fitName(label.model, width, codeSize);
  const lines: Omit<Text, 'x' | 'y'>[] = [
    ...name.lines.map((text) => ({ text, size: name.size, style: 'name' as const })),
    { text: 'UID', size: captionSize, style: 'caption' },
    ...halves(formatUid(label.uid)).map((text) => codeLine(text, codeSize)),
    { text: 'Setup code', size: captionSize, style: 'caption' },
    ...halves(formatSetupCode(label.setupCode)).map((text) => codeLine(text, codeSize)),
  ];
  const leading = ({ size, style }: Omit<Text, 'x' | 'y'>) => size * (style === 'caption' ? 1.8 : 1.15);
  const total = lines.reduce((sum, line) => sum + leading(line), 0);
  const fit = Math.min(1, (height - 2 * EDGE) / total);
  let y = (height - total * fit) / 2;
  return lines.map((line) => {
    y += leading(line) * fit;
    const size = line.size * fit;
    return { ...line, size, ...(line.width && { width: line.width * fit }), x: left, y: y - size * 0.2 };
  });
}

function codeLine(text: string, size: number): Omit<Text, 'x' | 'y'> {
  return { text, size, style: 'code', width: text.length * MONO * size };
}

/** In groups, two lines: `7KQ2M-0B9XT-` and `4HNRC-W8E5Z`. */
function halves(grouped: string): string[] {
  const groups = grouped.split('-');
  const half = groups.length / 2;
  return [`${groups.slice(0, half).join('-')}-`, groups.slice(half).join('-')];
}

/** As few lines as a readable size allows, three at most. */
function fitName(name: string, width: number, codeSize: number): { lines: string[]; size: number } {
  const largest = codeSize * 0.95;
  for (let count = 1; ; count++) {
    const lines = wrap(name, Math.ceil(name.length / count));
    const size = Math.min(largest, width / (Math.max(...lines.map(({ length }) => length)) * BOLD));
    if (size >= 5.5 * MM_PER_POINT || count === 3) return { lines, size };
  }
}

/** Lines of about so many characters, between words where there are any. */
function wrap(text: string, length: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= length + 3) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(...(word.match(new RegExp(`.{1,${length + 3}}`, 'g')) ?? []));
  }
  return lines;
}

function darkRuns(modules: readonly boolean[][]): QrPlace['runs'] {
  return modules.flatMap((line, row) =>
    line.flatMap((dark, column) => {
      if (!dark || line[column - 1]) return [];
      const end = line.indexOf(false, column);
      return [{ column, row, length: (end < 0 ? line.length : end) - column }];
    }),
  );
}
