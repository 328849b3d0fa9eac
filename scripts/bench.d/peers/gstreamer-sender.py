#!/usr/bin/python3
"""The GStreamer peer of the bench: one clip, parsed and packetized once, fanned out by a tee to one webrtcbin per viewer.

The media path is all GStreamer's: imagesequencesrc reads one access unit a file and stamps it, clocksync paces by the 30 fps time
stamps. Python only negotiates. A new viewer makes the next frame the clip's first (an IDR).

usage: gstreamer-sender.py FRAMES_DIRECTORY LAST_INDEX; prints "ready PORT" once it answers POST /whep.
"""
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
CLIP = """
  imagesequencesrc name=files location={}/%05d.h264 framerate=30/1 start-index=0 stop-index={}
  ! h264parse ! clocksync
"""
FAN = """
  rtph264pay name=payloader config-interval=-1 aggregate-mode=zero-latency mtu=1200 pt={}
  ! tee name=fan allow-not-linked=true
"""
CAPS = "application/x-rtp,media=video,encoding-name=H264,payload={},clock-rate=90000"


class Sender:
    def __init__(self, directory, last):
        self.clip_text = CLIP.format(directory, last)
        self.pipeline = None
        self.clip = None
        self.payload_type = None

    def start(self, payload_type):
        self.payload_type = payload_type
        self.pipeline = Gst.parse_launch(FAN.format(payload_type))
        self.pipeline.set_state(Gst.State.PLAYING)

    def restart_clip(self):
        """Plays the clip from its first frame, time stamps going on from now; the payloader's sequence is not broken."""
        if self.clip is not None:
            self.clip.set_state(Gst.State.NULL)
            self.pipeline.remove(self.clip)
        self.clip = Gst.parse_bin_from_description(self.clip_text, True)
        now = self.pipeline.get_clock().get_time() - self.pipeline.get_base_time()
        self.clip.get_by_name("files").get_static_pad("src").set_offset(now)
        self.pipeline.add(self.clip)
        self.clip.link(self.pipeline.get_by_name("payloader"))
        self.clip.sync_state_with_parent()

    def answer(self, offer):
        """SDP answer with all candidates, for a viewer that offered."""
        payload_type = int(re.search(r"a=fmtp:(\d+) \S*packetization-mode=1;profile-level-id=42e0", offer).group(1))
        if self.pipeline is None:
            self.start(payload_type)
        if payload_type != self.payload_type:
            raise ValueError("all viewers of one run use one payload type")
        queue = Gst.ElementFactory.make("queue")
        webrtc = Gst.ElementFactory.make("webrtcbin")
        webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        for element in (queue, webrtc):
            self.pipeline.add(element)
        caps = Gst.Caps.from_string(CAPS.format(payload_type))
        queue.link_pads_filtered("src", webrtc, "sink_0", caps)
        gathered = threading.Event()
        webrtc.connect("notify::ice-gathering-state", lambda *_: self.gathering(webrtc, gathered))
        webrtc.connect("notify::connection-state", lambda *_: self.connection(webrtc, queue))
        for element in (queue, webrtc):
            element.sync_state_with_parent()

        _, sdp = GstSdp.SDPMessage.new_from_text(offer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, sdp)
        self.ask(webrtc, "set-remote-description", description)
        reply = self.ask(webrtc, "create-answer", None)
        self.ask(webrtc, "set-local-description", reply.get_value("answer"))
        gathered.wait(5)
        return webrtc.get_property("local-description").sdp.as_text()

    @staticmethod
    def ask(webrtc, signal, argument):
        promise = Gst.Promise.new()
        webrtc.emit(signal, argument, promise)
        promise.wait()
        return promise.get_reply()

    @staticmethod
    def gathering(webrtc, gathered):
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            gathered.set()

    def connection(self, webrtc, queue):
        state = webrtc.get_property("connection-state")
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            fan = self.pipeline.get_by_name("fan")
            fan.request_pad_simple("src_%u").link(queue.get_static_pad("sink"))
            GLib.idle_add(self.restart_clip)
        elif state in (GstWebRTC.WebRTCPeerConnectionState.FAILED, GstWebRTC.WebRTCPeerConnectionState.CLOSED):
            GLib.idle_add(self.remove, webrtc, queue)

    def remove(self, webrtc, queue):
        pad = queue.get_static_pad("sink").get_peer()
        if pad is not None:
            fan = self.pipeline.get_by_name("fan")
            pad.unlink(queue.get_static_pad("sink"))
            fan.release_request_pad(pad)
        for element in (queue, webrtc):
            element.set_state(Gst.State.NULL)
            self.pipeline.remove(element)


def main():
    sender = Sender(sys.argv[1], int(sys.argv[2]))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                status, body = 201, sender.answer(offer)
            except Exception as error:  # the bench shows it and counts the row as invalid
                status, body = 500, repr(error)
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_address[1], flush=True)
    GLib.MainLoop().run()


main()
