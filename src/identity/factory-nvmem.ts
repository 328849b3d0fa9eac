import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { AppError, errorText } from '#lib/error.ts';
import { crc32 } from './crc32.ts';
import { checkFactoryData } from './factory-check.ts';
import type { FactoryData, FactoryStore } from './factory-store.ts';

const MAGIC = Buffer.from('PEERCAM\0', 'latin1');
const VERSION = 1;
const HEADER = 20;
const MAX_CONTENT = 16_384;

type Field = keyof FactoryData;
const FIELDS: readonly Field[] = ['uid', 'privateKeyPem', 'certificatePem', 'setupCode', 'model', 'hardwareRevision'];

/**
 * Factory data in one small memory: an EEPROM, an OTP area, a raw partition or a file, about 1.2 kB in all. Little endian:
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 8 | `PEERCAM` and a zero byte |
 * | 8 | 2 | version of this layout, 1 |
 * | 10 | 2 | 0 |
 * | 12 | 4 | length n of the content |
 * | 16 | 4 | CRC-32 of bytes 8 to 15 and of the content |
 * | 20 | n | fields, each: number (1 byte), length (2 bytes), bytes |
 *
 * Fields: 1 UID, 2 private key (PKCS #8 DER), 3 the certificates (each: length in 2 bytes, DER), 4 setup code, 5 model,
 * 6 hardware revision; text in ASCII. A memory that begins with zeros or with ones only (erased) holds nothing.
 */
export class FactoryNvmem implements FactoryStore {
  readonly description: string;
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.description = `nvmem ${path}`;
  }

  async read(): Promise<Partial<FactoryData> | undefined> {
    const content = await this.readContent();
    return content && checkFactoryData(this.placed(this.parse(content)));
  }

  /**
   * The header goes first and comes last: a power cut in between leaves a memory that holds nothing, and the board is
   * provisioned again.
   */
  async write(data: Partial<FactoryData>): Promise<void> {
    const old = data.privateKeyPem === undefined ? await this.readContent() : undefined;
    const merged = { ...(old && this.parse(old)), ...data };
    const content = Buffer.concat(FIELDS.flatMap((field, index) => encodeField(index + 1, field, merged[field])));
    try {
      const file = await this.openForWriting();
      try {
        await writeAt(file, Buffer.alloc(HEADER), 0);
        await file.sync();
        await writeAt(file, content, HEADER);
        await file.sync();
        await writeAt(file, headerOf(content), 0);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw this.notWritten(error, HEADER + content.length);
    }
  }

  /** Undefined where the memory is erased, or a file that does not exist. */
  private async readContent(): Promise<Buffer | undefined> {
    let file: FileHandle | undefined;
    try {
      file = await open(this.path, 'r');
      const header = await readAt(file, 0, HEADER);
      if (header.every((byte) => byte === 0) || header.every((byte) => byte === 0xff)) return undefined;
      if (header.length < HEADER || !header.subarray(0, 8).equals(MAGIC))
        throw this.damaged('does not begin with PEERCAM');
      const version = header.readUInt16LE(8);
      if (version !== VERSION) throw this.damaged(`has layout ${version}, this program knows ${VERSION}`);
      const length = header.readUInt32LE(12);
      if (length > MAX_CONTENT) throw this.damaged(`claims a length of ${length} bytes`);
      const content = await readAt(file, HEADER, length);
      if (content.length < length)
        throw this.damaged(`ends after ${HEADER + content.length} bytes of ${HEADER + length}`);
      if (checksum(header, content) !== header.readUInt32LE(16)) throw this.damaged('has a wrong checksum');
      return content;
    } catch (error) {
      if (error instanceof AppError) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new AppError(
        'factory.unreadable',
        `the factory data in ${this.path} cannot be read (${errorText(error)}). They belong to one user only: run this ` +
          'as that user or as root',
        { cause: error },
      );
    } finally {
      await file?.close();
    }
  }

  private parse(content: Buffer): Partial<Record<Field, string>> {
    const found: Partial<Record<Field, string>> = {};
    let rest = content;
    while (rest.length > 0) {
      const field = FIELDS[rest[0]! - 1];
      if (!field) throw this.damaged(`holds an unknown field, number ${rest[0]}`);
      const value = lengthPrefixed(rest.subarray(1));
      if (!value) throw this.damaged(`field "${field}" is cut off`);
      found[field] = this.decode(field, value);
      rest = rest.subarray(3 + value.length);
    }
    return found;
  }

  private decode(field: Field, bytes: Buffer): string {
    try {
      if (field === 'privateKeyPem') {
        const key = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });
        return key.export({ type: 'pkcs8', format: 'pem' }) as string;
      }
      return field === 'certificatePem' ? decodeChain(bytes) : bytes.toString('latin1');
    } catch (error) {
      throw this.damaged(`field "${field}" cannot be used (${errorText(error)})`);
    }
  }

  private placed(found: Partial<Record<Field, string>>) {
    return Object.fromEntries(
      Object.entries(found).map(([field, text]) => [field, { text, place: `${this.path}, field "${field}",` }]),
    );
  }

  private async openForWriting(): Promise<FileHandle> {
    try {
      return await open(this.path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return open(this.path, 'wx+', 0o600);
    }
  }

  private damaged(problem: string): AppError {
    return new AppError(
      'factory.damaged',
      `the factory data of this board are damaged: ${this.path} ${problem}. The board does not start with them, because it ` +
        'could not prove who it is: restore them, or provision the board anew with peercam-factory (it becomes another camera)',
    );
  }

  private notWritten(error: unknown, needed: number): AppError {
    const { code } = error as NodeJS.ErrnoException;
    const advice =
      code === 'EROFS' || code === 'EACCES' || code === 'EPERM'
        ? 'The memory is read-only, as it must be at run time: lift its write protection while provisioning, or run this as root'
        : code === 'ENOSPC' || code === 'EFBIG'
          ? `It must hold ${needed} bytes: take a larger memory`
          : 'Check that the path is that of the memory';
    return new AppError(
      'factory.not-written',
      `the factory data cannot be written to ${this.path} (${errorText(error)}). ${advice}`,
      {
        cause: error,
      },
    );
  }
}

function headerOf(content: Buffer): Buffer {
  const header = Buffer.alloc(HEADER);
  MAGIC.copy(header);
  header.writeUInt16LE(VERSION, 8);
  header.writeUInt32LE(content.length, 12);
  header.writeUInt32LE(checksum(header, content), 16);
  return header;
}

function checksum(header: Buffer, content: Buffer): number {
  return crc32(Buffer.concat([header.subarray(8, 16), content]));
}

function encodeField(number: number, field: Field, text: string | undefined): Buffer[] {
  if (text === undefined) return [];
  const bytes =
    field === 'privateKeyPem'
      ? createPrivateKey(text).export({ type: 'pkcs8', format: 'der' })
      : field === 'certificatePem'
        ? encodeChain(text)
        : Buffer.from(text, 'latin1');
  return [Buffer.from([number]), lengthOf(bytes), bytes];
}

function encodeChain(pem: string): Buffer {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const certificates = blocks.map((block) => new X509Certificate(block).raw);
  return Buffer.concat(certificates.flatMap((der) => [lengthOf(der), der]));
}

function decodeChain(bytes: Buffer): string {
  let pem = '';
  let rest = bytes;
  while (rest.length > 0) {
    const der = lengthPrefixed(rest);
    if (!der) throw new Error('it is cut off');
    pem += new X509Certificate(der).toString();
    rest = rest.subarray(2 + der.length);
  }
  return pem;
}

function lengthOf(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return length;
}

/** The bytes that a length of two bytes announces; undefined where they are not all there. */
function lengthPrefixed(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 2) return undefined;
  const length = bytes.readUInt16LE(0);
  return bytes.length < 2 + length ? undefined : bytes.subarray(2, 2 + length);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw Object.assign(new Error('the memory is too small'), { code: 'ENOSPC' });
    done += bytesWritten;
  }
}
