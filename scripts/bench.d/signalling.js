/**
 * How a viewer, in Chromium's page or in the Node receiver, agrees with a peer on a session. Both kinds hold what may be
 * open beforehand (HTTP connection, Janus session and handle), so that a measurement starts with the first SDP.
 *
 * `viewer` is what the two kinds of viewer do with SDP: { offer(): Promise<string>, accept(answer), answer(offer): Promise<string> }.
 */

/** Opens the signalling to `endpoint`; resolves with `negotiate(viewer)` and `close()`. */
export async function openSignalling(endpoint) {
  return endpoint.kind === 'janus' ? openJanus(endpoint) : openWhep(endpoint);
}

/** One POST: SDP offer out, SDP answer back (WHEP, draft-ietf-wish-whep). */
function openWhep({ url, token }) {
  let resource;
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  return {
    async negotiate(viewer) {
      const headers = { 'Content-Type': 'application/sdp', ...authorization };
      const response = await fetch(url, { method: 'POST', headers, body: await viewer.offer() });
      const answer = await response.text();
      if (!response.ok) throw new Error(`the peer answered ${response.status}: ${answer.slice(0, 300)}`);
      const location = response.headers.get('location');
      if (location) resource = new URL(location, url).href;
      await viewer.accept(answer);
    },
    async close() {
      if (resource) await fetch(resource, { method: 'DELETE', headers: authorization }).catch(() => {});
    },
  };
}

/** Janus's streaming plugin 1.1 always offers: watch, its offer by the open long poll, start with our answer. */
async function openJanus({ url, mountpoint }) {
  const post = async (path, body) => {
    const message = { transaction: String(Math.random()), ...body };
    const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(message) });
    return response.json();
  };
  const session = `/${(await post('', { janus: 'create' })).data.id}`;
  const handle = `${session}/${(await post(session, { janus: 'attach', plugin: 'janus.plugin.streaming' })).data.id}`;
  const poll = async () => (await fetch(url + session)).json();
  return {
    async negotiate(viewer) {
      let polled = poll();
      await post(handle, { janus: 'message', body: { request: 'watch', id: mountpoint } });
      let event = await polled;
      while (!event.jsep) {
        polled = poll();
        event = await polled;
      }
      const sdp = await viewer.answer(event.jsep.sdp);
      await post(handle, { janus: 'message', body: { request: 'start' }, jsep: { type: 'answer', sdp } });
    },
    async close() {
      await post(session, { janus: 'destroy' }).catch(() => {});
    },
  };
}
