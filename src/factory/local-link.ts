import { PassThrough } from 'node:stream';
import { serveEnrolment } from '#identity/enrolment.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';
import type { Link } from './link.ts';

/** A board whose store lies on this machine: a software board, a mounted card, or this machine is the board. */
export function openLocalLink(storeSpec: string): Link {
  const toBoard = new PassThrough();
  const fromBoard = new PassThrough();
  const served = serveEnrolment({ input: toBoard, output: fromBoard, store: openFactoryStore(storeSpec) });
  const lost = served.then(() => new Promise<never>(() => {}));
  lost.catch(() => {});
  return {
    input: fromBoard,
    output: toBoard,
    lost,
    async close() {
      toBoard.end();
      await served.catch(() => {});
    },
  };
}
