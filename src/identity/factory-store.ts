import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';

/**
 * What the factory gave a board, for life. It survives a factory reset and is never written at run time.
 * A maker who burns identity elsewhere (OTP, EEPROM, secure element) implements `FactoryStore`.
 */
export interface FactoryData {
  readonly uid: Uid;
  /** PKCS #8 PEM, P-256. */
  readonly privateKeyPem: string;
  /** The device certificate first, then its issuers without the root: PEM, one after the other. */
  readonly certificatePem: string;
  readonly setupCode: SetupCode;
  readonly model: string;
  readonly hardwareRevision: string;
}

/** Where a board keeps what the factory gave it. */
export interface FactoryStore {
  /** For messages: `/factory`, `nvmem /sys/bus/nvmem/devices/…`. */
  readonly description: string;
  /** Undefined where nothing was ever provisioned. Throws an AppError (`factory.…`) where the data are damaged. */
  read(): Promise<Partial<FactoryData> | undefined>;
  /** Writes what is given over what is there, atomically. Throws an AppError where the store is read-only. */
  write(data: Partial<FactoryData>): Promise<void>;
}
