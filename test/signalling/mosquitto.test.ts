import { mosquittoBroker } from './brokers.ts';
import { signallingSuite } from './suite.ts';

signallingSuite('signalling through Mosquitto', mosquittoBroker);
