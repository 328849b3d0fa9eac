import type { AppError } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import type { VideoSink } from '#media/video-source.ts';

/** Keeps what a source delivers. */
export class CollectingSink implements VideoSink {
  readonly units: AccessUnit[] = [];
  readonly failures: AppError[] = [];

  accessUnit(unit: AccessUnit): void {
    this.units.push(unit);
  }

  failed(error: AppError): void {
    this.failures.push(error);
  }
}
