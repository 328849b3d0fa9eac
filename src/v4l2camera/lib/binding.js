// Finds the compiled addon: beside a bundled program, or where build.js puts it.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// Beside the bundle (dist/), beside this file's package in the source tree.
const places = ['./v4l2camera.node', '../build/v4l2camera.node'];
let loaded;

/** The native addon; throws an Error with code ADDON_MISSING that says what to install. */
export function binding() {
  loaded ??= load();
  return loaded;
}

function load() {
  const failures = [];
  for (const place of places) {
    try {
      return require(place);
    } catch (error) {
      failures.push(`${place}: ${error.message.split('\n')[0]}`);
    }
  }
  const error = new Error(
    'The native part of v4l2camera is not compiled, so V4L2 cameras cannot be used. Install a C compiler ' +
      '(Debian: apt-get install gcc libc6-dev), run `npm rebuild v4l2camera`, and build a bundled program again. ' +
      `Tried: ${failures.join('; ')}`,
  );
  error.code = 'ADDON_MISSING';
  throw error;
}
