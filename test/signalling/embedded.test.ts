import { embedded } from './brokers.ts';
import { signallingSuite } from './suite.ts';

signallingSuite('signalling through peercam-server', embedded);
