import type { Endpoint } from './signalling.js';

/** What every peer is given: the same clip in the forms they read. */
export interface Workspace {
  /** The tree's root. */
  readonly root: string;
  /** Where peers may build and keep files between runs. */
  readonly cache: string;
  /** Where this run's files go; removed afterwards. */
  readonly scratch: string;
  /** Annex-B H.264, 1280x720, 30 frames per second. */
  readonly clip: string;
  /** The same clip over and over, one access unit a file: 00000.h264, 00001.h264, … */
  readonly frames: string;
  readonly frameCount: number;
}

/** A peer that is up and waits for viewers. */
export interface RunningPeer {
  readonly endpoint: Endpoint;
  /** Processes that send to viewers; their children count too. */
  readonly pids: readonly number[];
  /** Processes that only bring the clip to the sender, counted apart. */
  readonly feederPids: readonly number[];
  /** UDP port the feeder sends to, 0 without one. */
  readonly feederPort: number;
  stop(): Promise<void>;
}

/** One contestant. */
export interface Peer {
  readonly name: string;
  readonly title: string;
  /** Keyframes, repair and whatever else is not the program's default, for the results page. */
  readonly settings: string;
  /** What keeps it from running here, or undefined. A missing peer is reported, never faked. */
  missing(space: Workspace): string | undefined;
  start(space: Workspace): Promise<RunningPeer>;
}
