/** Renames one entry of an access book to the next number, for ever, and says each number that is on the disk. */
import { AccessBook } from '#identity/access-book.ts';
import { silentLogger } from '#lib/logger.ts';
import { parseSetupCode } from '#protocol/setup-code.ts';

const [stateDir = '', code = '', thumbprint = ''] = process.argv.slice(2);
const book = await AccessBook.open({ stateDir, setupCode: parseSetupCode(code)!, now: Date.now, log: silentLogger });
for (let n = Number(book.find(thumbprint)!.name) + 1; ; n++) {
  await book.rename(thumbprint, String(n));
  process.send!({ n });
}
