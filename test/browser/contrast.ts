import type { Page } from 'playwright-core';

/** A piece of text as it is drawn; `grounds` are the backgrounds behind it, nearest first. */
interface DrawnText {
  readonly text: string;
  readonly color: string;
  readonly size: number;
  readonly weight: number;
  readonly grounds: readonly { readonly color: string; readonly image: string }[];
}

/**
 * Texts on the page that are too faint to read (WCAG 2.1, 1.4.3: 4.5 to 1, large text 3 to 1). Text over pictures
 * and gradients is not judged.
 */
export async function contrastProblems(page: Page): Promise<string[]> {
  return (await drawnTexts(page)).flatMap(({ text, color, size, weight, grounds }) => {
    const ground = grounds.find(({ color, image }) => image !== 'none' || alphaOf(color) === 1);
    if (ground === undefined || ground.image !== 'none') return [];
    const [light, dark] = [luminance(color), luminance(ground.color)].sort((a, b) => b - a);
    const ratio = (light! + 0.05) / (dark! + 0.05);
    const large = size >= 24 || (size >= 18.66 && weight >= 700);
    return ratio < (large ? 3 : 4.5) ? [`"${text}": ${color} on ${ground.color} is ${ratio.toFixed(2)} to 1`] : [];
  });
}

async function drawnTexts(page: Page): Promise<DrawnText[]> {
  return await page.evaluate(() => {
    const drawn: DrawnText[] = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.textContent!.trim();
      const parent = texts.currentNode.parentElement!;
      if (text === '' || !parent.checkVisibility()) continue;
      const { color, fontSize, fontWeight } = getComputedStyle(parent);
      const grounds: { color: string; image: string }[] = [];
      for (let element: Element | null = parent; element; element = element.parentElement) {
        const { backgroundColor, backgroundImage } = getComputedStyle(element);
        grounds.push({ color: backgroundColor, image: backgroundImage });
      }
      drawn.push({ text, color, size: Number.parseFloat(fontSize), weight: Number(fontWeight), grounds });
    }
    return drawn;
  });
}

/** The numbers in a computed colour: `rgb(18, 21, 27)`, `rgba(0, 0, 0, 0)`. */
function channels(color: string): number[] {
  return (color.match(/[\d.]+/g) ?? []).map(Number);
}

function alphaOf(color: string): number {
  return channels(color)[3] ?? 1;
}

/** Relative luminance, WCAG 2.1. */
function luminance(color: string): number {
  const [red, green, blue] = channels(color)
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}
