import * as v from 'valibot';

/** As in RTCConfiguration.iceServers; a relay has credentials that end with its token's life. */
export const iceServerSchema = v.object({
  urls: v.union([v.string(), v.array(v.string())]),
  username: v.optional(v.string()),
  credential: v.optional(v.string()),
});
export type IceServerEntry = v.InferOutput<typeof iceServerSchema>;

/** `GET /config.json` at the host of the viewer: where its broker and its STUN/TURN servers are. */
export const viewerConfigSchema = v.object({
  /** The broker's WebSocket, absolute (`wss://…`) or a path at this host (`/mqtt`). */
  mqtt: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
  /** The version the broker speaks: 4 is MQTT 3.1.1, 5 is MQTT 5. */
  mqttVersion: v.picklist([4, 5]),
  /** The IP address that this request came from, as this host sees it. */
  address: v.optional(v.pipe(v.string(), v.ip('an IP address'))),
  /** Where a viewer proves its key and gets its token: absolute, or a path at this host. See token.ts. */
  token: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
  /** To be signed in that proof; where it is missing (a static host), `GET <token>` has one. */
  nonce: v.optional(v.pipe(v.string(), v.maxLength(200))),
  /** As in RTCConfiguration.iceServers. */
  iceServers: v.array(iceServerSchema),
});
export type ViewerConfig = v.InferOutput<typeof viewerConfigSchema>;
