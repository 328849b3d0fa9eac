import * as v from 'valibot';

/** `GET /config.json` at the host of the viewer: where its broker and its STUN/TURN servers are. */
export const viewerConfigSchema = v.object({
  /** The broker's WebSocket, absolute (`wss://…`) or a path at this host (`/mqtt`). */
  mqtt: v.pipe(v.string(), v.minLength(1), v.maxLength(512)),
  /** The version the broker speaks: 4 is MQTT 3.1.1, 5 is MQTT 5. */
  mqttVersion: v.picklist([4, 5]),
  /** The IP address that this request came from, as this host sees it. */
  address: v.optional(v.pipe(v.string(), v.ip('an IP address'))),
  /** As in RTCConfiguration.iceServers. */
  iceServers: v.array(v.object({ urls: v.union([v.string(), v.array(v.string())]) })),
});
export type ViewerConfig = v.InferOutput<typeof viewerConfigSchema>;
