import { BARCODE_CELLS, BARCODE_HEIGHT, barcodeCells } from '#device/sim/barcode.ts';

export const WIDTH = 1280;
export const HEIGHT = 720;
/** Frames per second. */
export const RATE = 30;
/** Everything that moves is back where it was after this time. */
export const LOOP_SECONDS = 10;

type Colour = readonly [red: number, green: number, blue: number];
/** Distance from a shape's edge, pixels, negative inside. */
type Shape = (x: number, y: number) => number;
interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const HORIZON = 430;
const SEA_END = HEIGHT * (1 - BARCODE_HEIGHT);
const TURN = 2 * Math.PI;

/** Points x, y, x, y, …, pixels from the middle of the deck. */
const BOAT: readonly { points: readonly number[]; colour: Colour }[] = [
  { points: [2, -164, 6, -164, 6, 2, 2, 2], colour: [92, 66, 52] },
  { points: [10, -156, 76, -14, 10, -10], colour: [255, 250, 240] },
  { points: [-2, -140, -2, -12, -58, -12], colour: [238, 120, 92] },
  { points: [-78, 0, 84, -2, 60, 28, -56, 28], colour: [44, 54, 78] },
  { points: [-78, 0, 84, -2, 80, 5, -74, 7], colour: [244, 240, 232] },
];

const BIRDS = [
  { start: 0.1, height: 300, size: 15, beat: 11 },
  { start: 0.14, height: 276, size: 12, beat: 12 },
  { start: 0.19, height: 318, size: 11, beat: 13 },
];

/** A bay in the evening: what stands still is drawn once, what moves on a copy of it for every frame. */
export class PatternScene {
  private readonly pixels = Buffer.alloc(WIDTH * HEIGHT * 3);
  private readonly still = Buffer.alloc(WIDTH * HEIGHT * 3);

  constructor() {
    this.drawSkyAndSea();
    this.pixels.copy(this.still);
  }

  /** One frame, RGB, 8 bits each; the memory is used again for the next. */
  draw(frame: number): Buffer {
    const phase = (frame % (RATE * LOOP_SECONDS)) / (RATE * LOOP_SECONDS);
    this.still.copy(this.pixels);
    this.drawSun(phase);
    this.drawClouds(phase);
    this.drawHills();
    this.drawGlints(phase);
    this.drawBoat(phase);
    this.drawBirds(phase);
    this.drawBarcode(frame);
    return this.pixels;
  }

  private drawSkyAndSea(): void {
    const sky: [number, Colour][] = [
      [0, [52, 94, 148]],
      [150, [96, 140, 186]],
      [290, [178, 186, 198]],
      [HORIZON, [250, 206, 160]],
    ];
    const sea: [number, Colour][] = [
      [HORIZON, [214, 186, 162]],
      [HORIZON + 60, [120, 142, 160]],
      [HORIZON + 150, [62, 104, 136]],
      [SEA_END, [26, 62, 94]],
    ];
    for (let y = 0; y < HEIGHT; y++) {
      const colour = gradient(y < HORIZON ? sky : sea, y);
      for (let x = 0; x < WIDTH; x++) this.blend(x, y, colour, 1);
    }
  }

  private drawSun(phase: number): void {
    const sun = { x: 850 + 34 * Math.cos(TURN * phase), y: 300 + 16 * Math.sin(TURN * phase) };
    const glow = 300;
    this.each({ left: sun.x - glow, top: 0, right: sun.x + glow, bottom: HORIZON }, (x, y) => {
      const distance = length(x - sun.x, y - sun.y);
      const near = Math.max(0, 1 - distance / glow);
      this.blend(x, y, [255, 226, 170], 0.62 * near * near);
    });
    this.fill(around(sun.x, sun.y, 50), circle(sun.x, sun.y, 46), [255, 246, 214], 1);
  }

  private drawClouds(phase: number): void {
    const drift = 22 * Math.sin(TURN * phase);
    const cloud = (x: number, y: number, scale: number, alpha: number) => {
      const puffs = [
        [-90, 6, 26],
        [-48, -10, 38],
        [0, -22, 48],
        [52, -8, 36],
        [96, 8, 24],
      ].map(([dx, dy, r]) => circle(x + dx! * scale, y + dy! * scale, r! * scale));
      const base = y + 15 * scale;
      const shape: Shape = (px, py) => {
        let nearest = Number.POSITIVE_INFINITY;
        for (const puff of puffs) nearest = Math.min(nearest, puff(px, py));
        return Math.max(nearest, py - base);
      };
      const box = { left: x - 130 * scale, top: y - 76 * scale, right: x + 130 * scale, bottom: base + 2 };
      this.fill(box, shape, [255, 248, 240], alpha);
    };
    cloud(330 + drift, 236, 1, 0.72);
    cloud(1070 - drift, 216, 0.8, 0.6);
    cloud(560 - 0.6 * drift, 172, 0.55, 0.45);
  }

  private drawHills(): void {
    const layers: { colour: Colour; top: (x: number) => number }[] = [
      {
        colour: [150, 154, 178],
        top: (x) => 366 - 44 * bump(x, 250, 300) - 60 * bump(x, 30, 220) - 30 * bump(x, 1180, 240),
      },
      {
        colour: [106, 122, 150],
        top: (x) => 428 - 84 * bump(x, 60, 190) - 42 * bump(x, 330, 170) - 78 * bump(x, 1290, 190),
      },
      { colour: [58, 82, 104], top: (x) => 452 - 92 * bump(x, -20, 190) - 66 * bump(x, 1330, 170) },
    ];
    for (const { colour, top } of layers) {
      for (let x = 0; x < WIDTH; x++) {
        const edge = top(x) + 2.4 * Math.sin(x / 17) + 1.6 * Math.sin(x / 7.3);
        for (let y = Math.max(0, Math.floor(edge)); y < HORIZON + 4; y++)
          this.blend(x, y, colour, clamp(y + 0.5 - edge));
      }
    }
  }

  private drawGlints(phase: number): void {
    for (let row = 0; row < 17; row++) {
      const y = HORIZON + 9 + row * 7 + row * row * 0.42;
      const reach = 26 + row * 9;
      const sway = 6 * Math.sin(TURN * (2 * phase + row * 0.31));
      const width = reach * (0.55 + 0.3 * Math.sin(TURN * (3 * phase + row * 0.37)));
      const x = 850 + 34 * Math.cos(TURN * phase) * (1 - row / 30) + sway;
      const height = 1.6 + row * 0.16;
      this.fill(around(x, y, width + 4, height + 3), lens(x, y, width, height), [255, 226, 176], 0.62 - row * 0.02);
    }
  }

  private drawBoat(phase: number): void {
    // Once across the picture in one loop; it leaves and comes in out of sight.
    const x = -120 + (WIDTH + 240) * ((phase + 0.22) % 1);
    const y = 560 + 4 * Math.sin(TURN * 3 * phase);
    const lean = 0.05 * Math.sin(TURN * 2 * phase) + 0.04;
    this.fill(around(x - 14, y + 29, 86, 9), lens(x - 14, y + 29, 82, 5), [220, 232, 240], 0.4);
    for (const { points, colour } of BOAT) {
      const leaning: number[] = [];
      for (let i = 0; i < points.length; i += 2) {
        const dx = points[i]!;
        const dy = points[i + 1]!;
        leaning.push(x + dx * Math.cos(lean) - dy * Math.sin(lean), y + dy * Math.cos(lean) + dx * Math.sin(lean));
      }
      this.fillPolygon(leaning, colour);
    }
  }

  private drawBirds(phase: number): void {
    for (const { start, height, size, beat } of BIRDS) {
      const x = WIDTH + 60 - (WIDTH + 120) * ((phase + start + 0.35) % 1);
      const y = height + 16 * Math.sin(TURN * (phase * 2 + start));
      const lift = size * 0.8 * Math.sin(TURN * (beat * phase + start * 7));
      for (const side of [-size, size]) {
        const tip = [x + side * 1.9, y - lift * 0.5 + 1];
        this.fillPolygon([x, y - 2, x + side, y - lift - 2, ...tip, x + side, y - lift + 2, x, y + 3], [48, 58, 78]);
      }
    }
  }

  private drawBarcode(frame: number): void {
    const cells = barcodeCells(frame);
    for (let y = SEA_END; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        const white = cells[Math.floor((x * BARCODE_CELLS) / WIDTH)]!;
        this.blend(x, y, white ? [240, 240, 236] : [16, 22, 30], 1);
      }
    }
  }

  private fill(box: Box, shape: Shape, colour: Colour, alpha: number): void {
    this.each(box, (x, y) => {
      const cover = clamp(0.5 - shape(x + 0.5, y + 0.5));
      if (cover > 0) this.blend(x, y, colour, alpha * cover);
    });
  }

  /** @param points x, y, x, y, … */
  private fillPolygon(points: readonly number[], colour: Colour): void {
    const xs = points.filter((_, i) => i % 2 === 0);
    const ys = points.filter((_, i) => i % 2 === 1);
    const box = {
      left: Math.min(...xs) - 1,
      top: Math.min(...ys) - 1,
      right: Math.max(...xs) + 1,
      bottom: Math.max(...ys) + 1,
    };
    this.fill(box, polygon(points), colour, 1);
  }

  private each(box: Box, visit: (x: number, y: number) => void): void {
    const right = Math.min(WIDTH, Math.ceil(box.right));
    const bottom = Math.min(HEIGHT, Math.ceil(box.bottom));
    for (let y = Math.max(0, Math.floor(box.top)); y < bottom; y++) {
      for (let x = Math.max(0, Math.floor(box.left)); x < right; x++) visit(x, y);
    }
  }

  private blend(x: number, y: number, colour: Colour, alpha: number): void {
    const at = (y * WIDTH + x) * 3;
    for (let i = 0; i < 3; i++) {
      const under = this.pixels[at + i]!;
      this.pixels[at + i] = Math.round(under + (colour[i]! - under) * alpha);
    }
  }
}

/** Math.hypot guards against overflow and takes ten times as long. */
function length(x: number, y: number): number {
  return Math.sqrt(x * x + y * y);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

function gradient(stops: readonly [number, Colour][], at: number): Colour {
  const next = Math.max(
    1,
    stops.findIndex(([place]) => place > at),
  );
  const [from, a] = stops[next - 1]!;
  const [to, b] = stops[next]!;
  const share = (at - from) / (to - from);
  const mix = (i: 0 | 1 | 2) => a[i] + (b[i] - a[i]) * share;
  return [mix(0), mix(1), mix(2)];
}

/** A bell of height 1 around `centre`. */
function bump(x: number, centre: number, width: number): number {
  return Math.exp(-(((x - centre) / width) ** 2));
}

function around(x: number, y: number, halfWidth: number, halfHeight = halfWidth): Box {
  return { left: x - halfWidth, top: y - halfHeight, right: x + halfWidth, bottom: y + halfHeight };
}

function circle(x: number, y: number, radius: number): Shape {
  return (px, py) => length(px - x, py - y) - radius;
}

/** A flat ellipse; the distance is right near the edge, which is where it counts. */
function lens(x: number, y: number, halfWidth: number, halfHeight: number): Shape {
  return (px, py) => {
    const k = length((px - x) / halfWidth, (py - y) / halfHeight);
    return (k - 1) * Math.min(halfHeight, halfWidth);
  };
}

/** Signed distance to a polygon of points x, y, x, y, … */
function polygon(points: readonly number[]): Shape {
  return (px, py) => {
    let nearest = Number.POSITIVE_INFINITY;
    let inside = false;
    let bx = points.at(-2)!;
    let by = points.at(-1)!;
    for (let i = 0; i < points.length; i += 2) {
      const ax = points[i]!;
      const ay = points[i + 1]!;
      const along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
      const share = clamp(along);
      nearest = Math.min(nearest, length(px - ax - share * (bx - ax), py - ay - share * (by - ay)));
      if (ay > py !== by > py && px < ((bx - ax) * (py - ay)) / (by - ay) + ax) inside = !inside;
      bx = ax;
      by = ay;
    }
    return inside ? -nearest : nearest;
  };
}
