import { fingerprintsOf } from '#identity/fingerprint.ts';
import { AppError } from '#lib/error.ts';
import { PLAYOUT_DELAY_URI, TRANSPORT_CC_URI } from '#media/rtp-packet.ts';
import { MAX_SDP } from '#protocol/message.ts';

/** What the camera needs of a viewer's offer. */
export interface Offer {
  /** The offer without the candidates nobody here can resolve. */
  readonly sdp: string;
  readonly mid: string;
  readonly payloadType: number;
  readonly formatParameters: string;
  /** SHA-256 of the certificates the viewer may use, upper-case hex with colons. */
  readonly fingerprints: readonly string[];
  /** 0 where not offered. */
  readonly transportCcId: number;
  readonly playoutDelayId: number;
}

const MAX_LINES = 2_000;
const MAX_SECTIONS = 16;

/**
 * Reads an SDP offer (RFC 8866, RFC 8829) of unknown origin. The SDP goes on to the WebRTC library, so what that must
 * rely on is checked here; the error names the line's field.
 * @param viewerAddress the address the offer came from, where the transport tells (see `revealed`)
 */
export function parseOffer(sdp: string, viewerAddress?: string): Offer {
  if (sdp.length > MAX_SDP) throw refused('sdp', `${sdp.length} characters long, at most ${MAX_SDP} are allowed`);
  const lines = sdp.split(/\r\n|\n|\r/).filter((line) => line !== '');
  if (lines.length > MAX_LINES) throw refused('sdp', `${lines.length} lines, at most ${MAX_LINES} are allowed`);
  if (lines[0] !== 'v=0') throw refused('v=', 'the first line must be v=0');
  const malformed = lines.findIndex((line) => !/^[a-z]=[^\0]*$/.test(line));
  if (malformed >= 0) throw refused('sdp', `line ${malformed + 1} is not an SDP line`);

  const { session, media } = splitSections(lines);
  if (media.length === 0) throw refused('m=', 'there is no media section');
  if (media.length > MAX_SECTIONS) throw refused('m=', `${media.length} sections, at most ${MAX_SECTIONS} are allowed`);
  for (const section of media) checkTransport(session, section);

  const video = media.find((section) => section[0]!.startsWith('m=video ') && wantsToReceive(section));
  if (video === undefined) throw refused('m=video', 'there is no video section that receives');
  const mid = attribute(video, 'mid');
  if (mid === undefined || !/^[\w.:+-]{1,32}$/.test(mid)) throw refused('a=mid', 'the video section needs one');
  const codec = chooseH264(video);
  const fingerprints = fingerprintsOf(sdp);
  if (fingerprints.length === 0) throw refused('a=fingerprint', 'there is none by sha-256, which all browsers offer');
  return {
    sdp: `${usableLines(lines, viewerAddress).join('\r\n')}\r\n`,
    mid,
    fingerprints,
    ...codec,
    transportCcId: extensionId(video, TRANSPORT_CC_URI),
    playoutDelayId: extensionId(video, PLAYOUT_DELAY_URI),
  };
}

function splitSections(lines: readonly string[]): { session: string[]; media: string[][] } {
  const session: string[] = [];
  const media: string[][] = [];
  for (const line of lines) {
    if (line.startsWith('m=')) media.push([line]);
    else (media.at(-1) ?? session).push(line);
  }
  return { session, media };
}

function checkTransport(session: readonly string[], section: readonly string[]): void {
  const either = (name: string) => attribute(section, name) ?? attribute(session, name);
  const matches = (name: string, pattern: RegExp) => {
    const value = either(name);
    if (value === undefined || !pattern.test(value)) throw refused(`a=${name}`, 'missing or malformed');
  };
  if (!/^m=(audio|video|application) \d{1,5} [A-Z/]{3,24} [\w -]{1,400}$/.test(section[0]!)) {
    throw refused('m=', 'one of them is not a media line');
  }
  // RFC 8839 section 5.4: lengths in characters; a rejected (port 0) bundled section may come without.
  if (/^m=\w+ 0 /.test(section[0]!) && attribute(section, 'bundle-only') === undefined) return;
  matches('ice-ufrag', /^[A-Za-z0-9+/=_-]{4,256}$/);
  matches('ice-pwd', /^[A-Za-z0-9+/=_-]{22,256}$/);
  matches('fingerprint', /^sha-(256|384|512) ([0-9A-Fa-f]{2}:){31,63}[0-9A-Fa-f]{2}$/i);
}

function wantsToReceive(section: readonly string[]): boolean {
  return !section.includes('a=sendonly') && !section.includes('a=inactive');
}

/**
 * Chromium and the others decode whatever profile the stream really has as long as its level fits; Constrained
 * Baseline is what everybody offers. Packetization mode 1 (RFC 6184 section 6.3) is required.
 */
function chooseH264(video: readonly string[]): { payloadType: number; formatParameters: string } {
  const offered: { payloadType: number; formatParameters: string; rank: number }[] = [];
  for (const line of video) {
    const match = /^a=rtpmap:(\d{1,3}) H264\/90000/i.exec(line);
    if (!match) continue;
    const payloadType = Number(match[1]);
    if (payloadType > 127) throw refused('a=rtpmap', `payload type ${payloadType} is above 127`);
    const fmtp = video.find((other) => other.startsWith(`a=fmtp:${payloadType} `));
    const formatParameters = fmtp?.slice(`a=fmtp:${payloadType} `.length) ?? '';
    if (!/(^|;)\s*packetization-mode=1\s*(;|$)/.test(formatParameters)) continue;
    const rank = ['42e0', '4200', '4d00', '6400'].findIndex((profile) =>
      formatParameters.toLowerCase().includes(`profile-level-id=${profile}`),
    );
    offered.push({ payloadType, formatParameters, rank: rank < 0 ? 9 : rank });
  }
  const best = offered.sort((a, b) => a.rank - b.rank)[0];
  if (best === undefined) throw refused('a=rtpmap', 'the video section offers no H.264 with packetization-mode=1');
  return { payloadType: best.payloadType, formatParameters: best.formatParameters };
}

function extensionId(section: readonly string[], uri: string): number {
  for (const line of section) {
    const match = /^a=extmap:(\d{1,3})(?:\/\w+)? (\S+)/.exec(line);
    // One-byte header extensions only, RFC 8285 section 4.2.
    if (match?.[2] === uri && Number(match[1]) >= 1 && Number(match[1]) <= 14) return Number(match[1]);
  }
  return 0;
}

function attribute(section: readonly string[], name: string): string | undefined {
  const prefix = `a=${name}`;
  const line = section.find((candidate) => candidate === prefix || candidate.startsWith(`${prefix}:`));
  return line?.slice(prefix.length + 1);
}

/**
 * The lines that may reach the library: a candidate with an mDNS name would block it for 30 s. Where the viewer's
 * address is known, such candidates get it instead.
 */
function usableLines(lines: readonly string[], viewerAddress: string | undefined): string[] {
  const hints = viewerAddress === undefined ? [] : revealed(lines, viewerAddress);
  let hinted = false;
  return lines.flatMap((line) => {
    if (!line.startsWith('a=candidate:')) return [line];
    if (isUsableCandidate(line.slice(2))) return [line];
    if (hinted) return [];
    hinted = true;
    return hints;
  });
}

/**
 * Browsers hide their addresses behind mDNS names, and libjuice answers the first check of an unknown address at once
 * but makes its own only 50 ms later. A candidate that is right spares those 50 ms, a wrong one costs nothing: so the
 * names are replaced by the address the offer came from. Chromium ranks IPv4 below IPv6: the sort puts the
 * candidate that fits the address first, since checks leave one by one.
 */
function revealed(lines: readonly string[], address: string): string[] {
  const byPriority = lines
    .map((line) => /^a=candidate:(\S{1,32}) 1 udp (\d{1,10}) \S+\.local (\d{1,5}) typ host\b/i.exec(line))
    .filter((match) => match !== null)
    .sort((a, b) => Number(a[2]) - Number(b[2]));
  if (address.includes(':')) byPriority.reverse();
  return byPriority
    .slice(0, 4)
    .map(([, foundation, priority, port]) => `a=candidate:${foundation} 1 udp ${priority} ${address} ${port} typ host`);
}

/** A candidate with an address (RFC 8839 section 5.1), not an mDNS or other name. */
export function isUsableCandidate(candidate: string): boolean {
  return /^candidate:\S{1,32} \d{1,3} (udp|tcp) \d{1,10} [0-9a-fA-F:.]{2,45} \d{1,5} typ (host|srflx|prflx|relay)\b/i.test(
    candidate,
  );
}

function refused(field: string, problem: string): AppError {
  return new AppError('offer.malformed', `the viewer's offer cannot be used: ${field}: ${problem}`);
}
