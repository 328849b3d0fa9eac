import { mosquitto } from './brokers.ts';
import { signallingSuite } from './suite.ts';

signallingSuite('signalling through Mosquitto', mosquitto);
