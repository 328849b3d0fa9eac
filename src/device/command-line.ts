import { AppError } from '#lib/error.ts';

/** What only a shell understands, when it stands alone and unquoted. */
const SHELL_WORDS: ReadonlySet<string> = new Set(['|', '||', '&', '&&', ';', '<', '>', '>>', '2>', '2>&1', '|&']);

/**
 * The words of a command line: a JSON array of strings, or words parted by white space. There is no shell: no
 * variables, patterns or pipes. 'Single quotes' keep everything as it is, "double quotes" too but for \" and \\, and
 * outside of quotes a backslash takes the next character as it is. Throws AppError `source.bad-spec`.
 */
export function parseCommandLine(text: string): string[] {
  const words = text.trimStart().startsWith('[') ? parseJson(text) : splitWords(text);
  if (!words[0]) throw bad('it names no program');
  if (words.some((word) => word.includes('\0'))) throw bad('it contains a NUL character');
  return words;
}

function parseJson(text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad('it begins with [ but is not a JSON array');
  }
  if (Array.isArray(value) && value.every((word) => typeof word === 'string')) return value;
  throw bad('the JSON array must hold strings only');
}

/** White space, or one piece of a word: quoted, escaped, or plain. */
const TOKEN = /\s+|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)/gy;

function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let plain = true;
  const finish = () => {
    if (word === undefined) return;
    if (plain && SHELL_WORDS.has(word)) {
      throw bad(`there is no shell to understand ${word}; where you need one, write: command:sh -c 'YOUR COMMAND'`);
    }
    words.push(word);
    word = undefined;
    plain = true;
  };
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    end = match.index + match[0].length;
    const [token, single, double, escaped, bare] = match;
    const piece = single ?? double?.replace(/\\(["\\])/g, '$1') ?? escaped ?? bare;
    if (piece === undefined) {
      finish();
      continue;
    }
    if (token !== bare) plain = false;
    word = (word ?? '') + piece;
  }
  if (end < text.length) throw bad(`a quotation mark or backslash is left open: ${text.slice(end, end + 20)}`);
  finish();
  return words;
}

function bad(why: string): AppError {
  return new AppError(
    'source.bad-spec',
    `The source's command line cannot be used: ${why}. Example: command:rpicam-vid -t 0 --inline --flush -o -`,
  );
}
