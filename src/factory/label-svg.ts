import type { LabelLayout, Text } from './label-layout.ts';

const FONTS: Record<Text['style'], string> = {
  name: 'font-family="Helvetica, Arial, sans-serif" font-weight="bold"',
  caption: 'font-family="Helvetica, Arial, sans-serif"',
  code: 'font-family="Courier, \'Courier New\', monospace" font-weight="bold"',
};

/** One label as an SVG file, in its real size. */
export function labelSvg({ width, height, qr, texts }: LabelLayout): string {
  const path = qr.runs.map(({ column, row, length }) => `M${column} ${row}h${length}v1h-${length}z`).join('');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${n(width)}mm" height="${n(height)}mm" viewBox="0 0 ${n(width)} ${n(height)}">`,
    `<rect width="${n(width)}" height="${n(height)}" fill="#fff"/>`,
    `<path transform="translate(${n(qr.x)} ${n(qr.y)}) scale(${n(qr.module)})" d="${path}" shape-rendering="crispEdges"/>`,
    ...texts.map(svgText),
    '</svg>',
    '',
  ].join('\n');
}

function svgText({ x, y, size, style, text, width }: Text): string {
  const fixed = width === undefined ? '' : ` textLength="${n(width)}" lengthAdjust="spacingAndGlyphs"`;
  return `<text x="${n(x)}" y="${n(y)}" font-size="${n(size)}" ${FONTS[style]}${fixed}>${escapeXml(text)}</text>`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function n(value: number): string {
  return String(Math.round(value * 10_000) / 10_000);
}
