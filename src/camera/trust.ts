import type { Duplex } from 'node:stream';
import type { CameraConfig } from '#config/camera.ts';
import { SettingsStore } from '#config/settings-store.ts';
import { AccessBook } from '#identity/access-book.ts';
import { AuditLog } from '#identity/audit-log.ts';
import { type DeviceIdentity, loadDeviceIdentity } from '#identity/device-key.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';
import type { SealingKey } from '#identity/keys.ts';
import { loadOperationalKey } from '#identity/operational-key.ts';
import { openBrokerStream, readAuthorities } from '#identity/server-trust.ts';
import { TrustedTime } from '#identity/trusted-time.ts';
import type { Clock } from '#lib/clock.ts';
import type { Logger } from '#lib/logger.ts';

/** Who this camera is, who may use it, and what it remembers. */
export interface CameraTrust {
  readonly identity: DeviceIdentity;
  readonly sealing: SealingKey;
  readonly access: AccessBook;
  readonly audit: AuditLog;
  readonly time: TrustedTime;
  readonly settings: SettingsStore;
  /** A connection to the broker: TLS with the device certificate, the server's checked. */
  openBroker(signal: AbortSignal): Promise<Duplex>;
}

/** Opens what the factory and the state directory hold. Rejects with an AppError where a part cannot be used. */
export async function openTrust(options: {
  readonly config: CameraConfig;
  readonly clock: Clock;
  readonly log: Logger;
}): Promise<CameraTrust> {
  const { config, clock, log } = options;
  const { state: stateDir, server, name } = config;
  const identity = await loadDeviceIdentity(openFactoryStore(config.factory));
  const { setupCode, privateKeyPem, certificatePem } = identity;
  const authorities = await readAuthorities(server.ca);
  const time = await TrustedTime.open({ stateDir, log: log.child({ part: 'time' }), clock });
  const now = () => time.now();
  const broker = { url: server.url, privateKeyPem, certificatePem, authorities, time };
  return {
    identity,
    time,
    sealing: await loadOperationalKey(stateDir),
    access: await AccessBook.open({ stateDir, setupCode, now, log: log.child({ part: 'access' }), clock }),
    audit: await AuditLog.open({ stateDir, now, log: log.child({ part: 'audit' }), clock }),
    settings: await SettingsStore.open({ stateDir, defaults: { name }, log }),
    openBroker: (signal) => openBrokerStream(broker, signal),
  };
}

/** Saves what waits to be saved; nothing has the state directory open afterwards. */
export async function closeTrust({ access, audit, time }: CameraTrust): Promise<void> {
  await access.close();
  await audit.close();
  await time.stop();
}
