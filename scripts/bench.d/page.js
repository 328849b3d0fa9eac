import { openSignalling } from './signalling.js';

const TIMEOUT_MS = 10_000;
const CANDIDATE_MS = 25;
const video = document.getElementById('video');

/** Every viewer here has its certificate beforehand: making one takes 1 to 50 ms and is no peer's merit. */
const certificate = RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' });

/**
 * Connects one viewer; `first` resolves with the milliseconds from the call to the first presented frame
 * (requestVideoFrameCallback's presentationTime).
 */
async function connect(endpoint, waitForCandidate) {
  const certificates = [await certificate];
  const signalling = await openSignalling(endpoint);
  const started = performance.now();
  const peer = new RTCPeerConnection({ certificates });
  const first = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`no picture after ${TIMEOUT_MS} ms: ${peer.connectionState}`)), TIMEOUT_MS);
    peer.ontrack = (event) => {
      video.srcObject = new MediaStream([event.track]);
      video.requestVideoFrameCallback((_, frame) => resolve(frame.presentationTime - started));
    };
  });
  first.catch(() => {}); // awaited later, perhaps after negotiate() has failed
  await signalling.negotiate({
    async offer() {
      peer.addTransceiver('video', { direction: 'recvonly' });
      const candidate = new Promise((resolve) => {
        peer.onicecandidate = resolve;
        setTimeout(resolve, CANDIDATE_MS);
      });
      await peer.setLocalDescription();
      if (waitForCandidate) await candidate;
      return peer.localDescription.sdp;
    },
    accept: (sdp) => peer.setRemoteDescription({ type: 'answer', sdp }),
    async answer(sdp) {
      await peer.setRemoteDescription({ type: 'offer', sdp });
      await peer.setLocalDescription();
      return peer.localDescription.sdp;
    },
  });
  return {
    first,
    async close() {
      peer.close();
      video.srcObject = null;
      await signalling.close();
    },
  };
}

window.firstFrame = async (endpoint, waitForCandidate) => {
  const viewer = await connect(endpoint, waitForCandidate);
  try {
    return await viewer.first;
  } finally {
    await viewer.close();
  }
};

/** Watches for `seconds` after `settle` seconds; returns [RTP timestamp, wall-clock ms presented] of every presented frame. */
window.presented = async (endpoint, settle, seconds, waitForCandidate) => {
  const viewer = await connect(endpoint, waitForCandidate);
  try {
    await viewer.first;
    const frames = [];
    const begin = performance.now() + settle * 1000;
    const end = begin + seconds * 1000;
    await new Promise((resolve) => {
      setTimeout(resolve, (settle + seconds) * 1000 + 1000);
      const each = (now, frame) => {
        if (now > end) return resolve();
        if (now >= begin) frames.push([frame.rtpTimestamp, performance.timeOrigin + frame.presentationTime]);
        video.requestVideoFrameCallback(each);
      };
      video.requestVideoFrameCallback(each);
    });
    return frames;
  } finally {
    await viewer.close();
  }
};
window.ready = true;
