import { serveEnrolment } from '#identity/enrolment.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';

/** A board's `peercamctl enroll` on standard input and output, for a store that the first argument names. */
await serveEnrolment({ input: process.stdin, output: process.stdout, store: openFactoryStore(process.argv[2]!) });
process.exit(0);
