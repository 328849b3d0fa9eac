import { cycles } from './cycles.ts';
import { encoding } from './encoder.ts';
import { faults } from './faults.ts';
import { capturing } from './h264-camera.ts';
import { sources } from './source.ts';
import { vivid } from './vivid.ts';

const suites = {
  vivid: () => [vivid({ multiplanar: false }), vivid({ multiplanar: true })],
  camera: () => [capturing({ multiplanar: false }), capturing({ multiplanar: true })],
  encoder: () => [encoding({ multiplanar: false }), encoding({ multiplanar: true })],
  faults: () => [faults({ multiplanar: false }), faults({ multiplanar: true })],
  source: () => [sources({ multiplanar: false }), sources({ multiplanar: true })],
  cycles: () => [cycles()],
};

const wanted = (process.env.PEERCAM_GUEST_SUITES ?? '').split(/\s+/).filter((name) => name !== '');
for (const [name, make] of Object.entries(suites)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  for (const suite of make()) suite.run();
}
