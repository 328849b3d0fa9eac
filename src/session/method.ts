import * as v from 'valibot';
import type { Right } from '#protocol/rights.ts';
import type { Caller, ControlMethod } from './control.ts';

/** The params of a method that takes none. */
export const noParams = v.optional(v.strictObject({}));

/** A method whose `run` gets its params in the schema's own type. */
export function method<const S extends v.GenericSchema>(
  params: S,
  needs: Right,
  run: (params: v.InferOutput<S>, caller: Caller) => unknown,
): ControlMethod {
  return { params, needs, run: run as ControlMethod['run'] };
}
