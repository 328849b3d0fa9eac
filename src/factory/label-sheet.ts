import PDFDocument from 'pdfkit';
import type { LabelLayout, Text } from './label-layout.ts';

/** A4, mm. */
export const PAPER = { width: 210, height: 297 };

export interface Sheet {
  readonly rows: number;
  readonly columns: number;
  /** Around the labels, mm; the cut marks lie in it. */
  readonly margin: number;
}

const POINTS_PER_MM = 72 / 25.4;
const MARK = 4;
const CROSS = 1;
const HAIR = 0.25;

const FONTS: Record<Text['style'], string> = { name: 'Helvetica-Bold', caption: 'Helvetica', code: 'Courier-Bold' };

/** The size of one label on a sheet, mm. */
export function labelSize({ rows, columns, margin }: Sheet): { width: number; height: number } {
  return { width: (PAPER.width - 2 * margin) / columns, height: (PAPER.height - 2 * margin) / rows };
}

/** Labels on A4 pages, row by row, with cut marks: a PDF file. */
export function sheetPdf(labels: Iterable<LabelLayout>, sheet: Sheet): Promise<Buffer> {
  const document = new PDFDocument({ size: 'A4', margin: 0, autoFirstPage: false, info: { Title: 'peercam labels' } });
  const chunks: Buffer[] = [];
  const ended = new Promise<Buffer>((resolve, reject) => {
    document.on('data', (chunk: Buffer) => chunks.push(chunk));
    document.on('end', () => resolve(Buffer.concat(chunks)));
    document.on('error', reject);
  });
  let index = 0;
  for (const label of labels) {
    const place = index++ % (sheet.rows * sheet.columns);
    if (place === 0) {
      document.addPage();
      drawCutMarks(document, sheet);
    }
    const { width, height } = label;
    const x = sheet.margin + (place % sheet.columns) * width;
    const y = sheet.margin + Math.floor(place / sheet.columns) * height;
    drawLabel(document, label, x, y);
  }
  document.end();
  return ended;
}

function drawLabel(document: PDFKit.PDFDocument, { qr, texts }: LabelLayout, x: number, y: number): void {
  document.save().scale(POINTS_PER_MM).translate(x, y);
  for (const { column, row, length } of qr.runs) {
    document.rect(qr.x + column * qr.module, qr.y + row * qr.module, length * qr.module, qr.module);
  }
  // One path, filled once: modules that touch leave no hairline between them.
  document.fill('black');
  for (const text of texts) {
    document.font(FONTS[text.style]).fontSize(text.size);
    document.text(text.text, text.x, text.y, { baseline: 'alphabetic', lineBreak: false });
  }
  document.restore();
}

/** Marks in the margins for a cutting machine, small crosses between the labels for scissors. */
function drawCutMarks(document: PDFKit.PDFDocument, sheet: Sheet): void {
  const { width, height } = labelSize(sheet);
  const { margin, rows, columns } = sheet;
  const xs = Array.from({ length: columns + 1 }, (_, column) => margin + column * width);
  const ys = Array.from({ length: rows + 1 }, (_, row) => margin + row * height);
  const length = Math.min(MARK, margin * 0.6);
  document.save().scale(POINTS_PER_MM);
  for (const x of xs) {
    line(document, x, margin - length, x, margin);
    line(document, x, PAPER.height - margin, x, PAPER.height - margin + length);
  }
  for (const y of ys) {
    line(document, margin - length, y, margin, y);
    line(document, PAPER.width - margin, y, PAPER.width - margin + length, y);
  }
  for (const x of xs.slice(1, -1)) {
    for (const y of ys.slice(1, -1)) {
      line(document, x - CROSS, y, x + CROSS, y);
      line(document, x, y - CROSS, x, y + CROSS);
    }
  }
  document
    .lineWidth(HAIR / POINTS_PER_MM)
    .stroke('#888')
    .restore();
}

function line(document: PDFKit.PDFDocument, x1: number, y1: number, x2: number, y2: number): void {
  document.moveTo(x1, y1).lineTo(x2, y2);
}
