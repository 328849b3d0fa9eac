/** A board without a clock: run under libfaketime, tries one server after the other and prints what came of it. */
import { readFileSync } from 'node:fs';
import { openBrokerStream } from '#identity/server-trust.ts';
import { TrustedTime } from '#identity/trusted-time.ts';
import { silentLogger } from '#lib/logger.ts';

const { stateDir, buildTime, key, certificate, authorities, ports } = JSON.parse(
  readFileSync(process.argv[2]!, 'utf8'),
);
const time = await TrustedTime.open({ stateDir, buildTime, log: silentLogger });
const outcomes: string[] = [];
for (const port of ports as number[]) {
  const url = `mqtts://localhost:${port}`;
  const options = { url, privateKeyPem: key, certificatePem: certificate, authorities, time };
  try {
    const stream = await openBrokerStream(options, AbortSignal.timeout(10_000));
    await new Promise<void>((resolve) => stream.end('CONNECT', resolve));
    stream.destroy();
    outcomes.push('trusted');
  } catch (error) {
    outcomes.push((error as Error).message);
  }
}
console.log(JSON.stringify({ year: new Date().getUTCFullYear(), outcomes }));
process.exit(0);
