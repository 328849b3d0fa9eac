/** A camera in a process of its own that listens to its mailbox: `listening-camera.ts URL CA-FILE BOARD-FOLDER`. */
import { readFileSync } from 'node:fs';
import { cameraInbox, statusTopic } from '#protocol/topics.ts';
import { connectMqtt } from '../support/mqtt-client.ts';
import { cameraCredentials } from '../support/server.ts';

const [url, caFile, folder] = process.argv.slice(2) as [string, string, string];
const { uid, ...files } = await cameraCredentials(folder);
const client = await connectMqtt(url, { clientId: `cam-${uid}`, ca: readFileSync(caFile), ...files });
let heard = 0;
client.on('message', () => heard++);
await client.subscribeAsync([cameraInbox(uid), statusTopic(uid)], { qos: 1 });
await client.publishAsync(statusTopic(uid), JSON.stringify({ state: 'online' }), { qos: 1, retain: true });
process.on('message', () => process.send!({ heard }));
process.on('disconnect', () => process.exit());
process.send!({ ready: true });
