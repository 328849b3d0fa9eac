import encodeQR from 'qr';

/** ISO/IEC 18004: four light modules around the symbol, or scanners do not find it. */
const QUIET_ZONE = 4;

/**
 * A QR code for a terminal, two modules a character. Its colours are set explicitly, dark on light as scanners
 * expect, whatever the terminal's theme; without colours it is drawn for a dark terminal.
 */
export function terminalQr(text: string, options: { colour: boolean }): string {
  const modules = encodeQR(text, 'raw', { ecc: 'low', border: QUIET_ZONE });
  const dark = (row: number, column: number) => modules[row]?.[column] ?? false;
  const lines: string[] = [];
  for (let row = 0; row < modules.length; row += 2) {
    let line = '';
    for (let column = 0; column < modules[0]!.length; column++) {
      const isLast = row + 1 === modules.length;
      line += half(dark(row, column), isLast ? !options.colour : dark(row + 1, column), options.colour);
    }
    lines.push(options.colour ? `\x1b[38;5;16;48;5;231m${line}\x1b[0m` : line);
  }
  return lines.join('\n');
}

/** With colours, ink is dark; without, ink is the light of a dark terminal. */
function half(upper: boolean, lower: boolean, colour: boolean): string {
  const [top, bottom] = colour ? [upper, lower] : [!upper, !lower];
  if (top && bottom) return '█';
  if (top) return '▀';
  return bottom ? '▄' : ' ';
}
