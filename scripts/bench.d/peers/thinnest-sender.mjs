/**
 * The thinnest sender node-datachannel allows: per viewer one track with the native packetizer chain, fed whole frames.
 * Paced at 30 frames per second on an absolute schedule; a new viewer makes the next frame the clip's first (an IDR).
 *
 * usage: thinnest-sender.mjs CLIP; prints "ready PORT" once it answers POST /whep.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import datachannel from 'node-datachannel';

const FRAME_MS = 1000 / 30;
const units = accessUnits(readFileSync(process.argv[2]));
const viewers = new Set();
let index = 0;

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.method !== 'POST') return response.writeHead(405).end();
    serve(Buffer.concat(chunks).toString(), (answer) => {
      response.writeHead(201, { 'Content-Type': 'application/sdp', 'Access-Control-Allow-Origin': '*' }).end(answer);
    });
  });
});
server.listen(0, '127.0.0.1', () => console.log('ready', server.address().port));

let due = performance.now();
let frame = 0;
setTimeout(function tick() {
  if (index === units.length) index = 0;
  for (const { track, config } of viewers) {
    if (!track.isOpen()) continue;
    config.timestamp = (frame * 3000) >>> 0;
    track.sendMessageBinary(units[index]);
  }
  index++;
  frame++;
  due += FRAME_MS;
  setTimeout(tick, due - performance.now());
}, 0);

function serve(offer, done) {
  const video = offer.slice(offer.indexOf('m=video'));
  const mid = video.match(/^a=mid:(\S+)/m)[1];
  const [, type, format] = video.match(/^a=fmtp:(\d+) (\S*packetization-mode=1;profile-level-id=42e0\S*)/m);
  const peer = new datachannel.PeerConnection('viewer', { iceServers: [] });
  const media = new datachannel.Video(mid, 'SendOnly');
  media.addH264Codec(Number(type), format);
  media.addSSRC(42, 'bench', 'stream', 'video');
  const track = peer.addTrack(media);
  const config = new datachannel.RtpPacketizationConfig(42, 'bench', Number(type), 90000);
  const packetizer = new datachannel.H264RtpPacketizer('StartSequence', config);
  packetizer.addToChain(new datachannel.RtcpSrReporter(config));
  packetizer.addToChain(new datachannel.RtcpNackResponder());
  track.setMediaHandler(packetizer);
  const viewer = { track, config, peer };
  track.onOpen(() => {
    viewers.add(viewer);
    index = 0;
  });
  peer.onStateChange((state) => {
    if (state === 'disconnected' || state === 'failed' || state === 'closed') viewers.delete(viewer);
  });
  peer.onGatheringStateChange((state) => state === 'complete' && done(peer.localDescription().sdp));
  // .local names are never resolved by libdatachannel and each blocks a thread for 30 s.
  peer.setRemoteDescription(offer.replace(/^a=candidate:.*\.local .*\r?\n/gm, ''), 'offer');
}

/** Cuts an Annex-B stream at every first slice of a picture. */
function accessUnits(data) {
  const cut = [];
  let begin = 0;
  let hasPicture = false;
  for (let at = data.indexOf('000001', 0, 'hex'); at >= 0; at = data.indexOf('000001', at + 3, 'hex')) {
    const kind = data[at + 3] & 0x1f;
    const picture = kind === 1 || kind === 5;
    if (hasPicture && (!picture || data[at + 4] & 0x80)) {
      const end = data[at - 1] === 0 ? at - 1 : at;
      cut.push(data.subarray(begin, end));
      begin = end;
      hasPicture = false;
    }
    hasPicture ||= picture;
  }
  cut.push(data.subarray(begin));
  return cut;
}
