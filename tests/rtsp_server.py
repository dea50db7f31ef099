"""`/usr/bin/python3 rtsp_server.py PORT FILE`: GStreamer's RTSP server gives FILE (MP4, H.264 and AAC) at /live.

Needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and GStreamer's base, good and bad plugins; nothing of ours.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    '( filesrc location="{}" ! qtdemux name=d'
    " d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1"
    " d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)


def main(port: str, path: str) -> None:
    """Serves until killed; every client gets the file from its beginning, in real time."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(path))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
