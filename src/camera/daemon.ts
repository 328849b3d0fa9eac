import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CameraConfig } from '#config/camera.ts';
import { Button } from '#device/button.ts';
import { Indicator } from '#device/indicator.ts';
import { nodeDataChannelPeers } from '#device/rtc-peer.ts';
import { createSource } from '#device/source.ts';
import { PAIRING_WINDOW_MS } from '#identity/access-book.ts';
import { decideReset, prepareState, type ResetBy } from '#identity/factory-reset.ts';
import { systemClock } from '#lib/clock.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { Scope } from '#lib/scope.ts';
import type { Uid } from '#protocol/uid.ts';
import { type Camera, createCamera } from './camera.ts';
import { LocalControl } from './local-control.ts';
import { type CameraTrust, closeTrust, openTrust } from './trust.ts';
import { version } from './version.ts';

/** A camera with the board around it: button, light, technician's socket, state directory. */
export interface Daemon {
  readonly uid: Uid;
  /** Resolves when viewers can find the camera for the first time. */
  readonly ready: Promise<{ readonly whepUrl: string | undefined }>;
  /** Says goodbye and releases everything. @param reason for people: `stopping`, `being reset`, … */
  stop(reason: string): Promise<void>;
}

/**
 * Starts the camera on this board. Rejects with an AppError where it cannot.
 * @param options.onReset a factory reset was decided: the daemon is to be stopped, then `finishReset` is due
 */
export async function startDaemon(options: {
  readonly config: CameraConfig;
  readonly log: Logger;
  readonly onReset: () => void;
}): Promise<Daemon> {
  const { config, log, onReset } = options;
  const clock = systemClock;
  const scope = new Scope();
  const { wasReset } = await prepareState(config.state);
  if (wasReset) log.warn({}, 'a factory reset was finished: this camera has no owner now');
  const trust = await openTrust({ config, clock, log });
  scope.add('trust', () => closeTrust(trust));
  try {
    const indicator = new Indicator({ ...config.watching, clock, log: log.child({ part: 'indicator' }) });
    indicator.start();
    scope.add('indicator', () => indicator.stop());
    const source = createSource({
      spec: config.source,
      patternClip: patternClip(),
      log: log.child({ part: 'source' }),
    });
    log.info({ source: source.spec, server: new URL(config.server.url).host }, 'what it works with');
    const devices = { source, peers: nodeDataChannelPeers({ log }), clock };
    const camera = createCamera({ config, trust, devices, indicator, log });
    const board = { config, trust, camera, onReset, log };
    await startControl(board, scope);
    startButton(board, scope);
    scope.add('camera', () => camera.stop(stopReason));
    let stopReason = 'stopping';
    return {
      uid: trust.identity.uid,
      ready: camera.start(),
      stop(reason) {
        stopReason = reason;
        return scope.close(log);
      },
    };
  } catch (error) {
    await scope.close(log);
    throw error;
  }
}

interface Board {
  readonly config: CameraConfig;
  readonly trust: CameraTrust;
  readonly camera: Camera;
  readonly onReset: () => void;
  readonly log: Logger;
}

/** Without the socket the camera still works: that it is missing is said, and no more. */
async function startControl(board: Board, scope: Scope): Promise<void> {
  const { config, trust, camera, onReset, log } = board;
  const { access, audit, time, settings, identity } = trust;
  const pairing = () => {
    const { attemptsLeft, pairingWindowMs } = access;
    return { state: access.pairingState(), attemptsLeft, windowMs: pairingWindowMs };
  };
  const control = new LocalControl({
    path: config.control,
    log: log.child({ part: 'control' }),
    actions: {
      status: () => ({
        uid: identity.uid,
        name: settings.name,
        firmware: version,
        server: { host: new URL(config.server.url).host, connected: camera.connected },
        viewers: camera.viewers,
        source: camera.source,
        owned: access.hasOwner,
        people: access.list().length,
        pairing: pairing(),
        time: { now: time.now(), behind: time.clockIsBehind },
        auditIntact: audit.intact,
      }),
      access: () => ({
        entries: access.list().map(({ key: _key, ...entry }) => ({ ...entry, rights: [...entry.rights] })),
        invitations: access.invitations().map(({ code: _code, failures: _failures, ...open }) => ({
          ...open,
          rights: [...open.rights],
        })),
        pairing: pairing(),
      }),
      async openPairing() {
        await openPairing(board, 'command');
        return { minutes: PAIRING_WINDOW_MS / 60_000 };
      },
      decideReset: () => decideReset(config.state, 'command'),
      resetDecided: onReset,
    },
  });
  try {
    await control.start();
    scope.add('control', () => control.stop());
  } catch (error) {
    log.warn({}, errorText(error));
  }
}

function startButton(board: Board, scope: Scope): void {
  const { config, onReset, log } = board;
  if (config.button === '') return;
  const failed = (error: unknown) => log.error({}, `the button had no effect: ${errorText(error)}`);
  const button = new Button({
    path: config.button,
    clock: systemClock,
    log: log.child({ part: 'button' }),
    onPress: () => void openPairing(board, 'button').catch(failed),
    onHold: () => void decideReset(config.state, 'button').then(onReset, failed),
  });
  button.start();
  scope.add('button', () => button.stop());
}

async function openPairing({ trust, log }: Board, by: ResetBy): Promise<void> {
  await trust.access.openPairing();
  trust.audit.append('pairing.opened', { by });
  log.info({ by }, "pairing is open: the label's code counts for 15 minutes");
}

/** The demo's clip lies beside the bundle; in the source tree with its source. */
function patternClip(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith('camera') ? join(here, '../device/sim/pattern.h264') : join(here, 'pattern.h264');
}
