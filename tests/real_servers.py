"""Real servers on loopback, started by handle in the foreground: nginx for HTTP and RTMP, GStreamer for RTSP."""

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")  # where Debian's libnginx-mod-rtmp puts it
SYSTEM_PYTHON = Path("/usr/bin/python3")  # the one that Debian's python3-gi is for
START_S = 20.0

NGINX = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
rtmp {{
  server {{
    listen 127.0.0.1:{rtmp};
    application live {{
      live on;
      hls on;
      hls_path {folder}/www/packed_hls;
      hls_fragment 1s;
      hls_playlist_length 6s;
      dash on;
      dash_path {folder}/www/packed_dash;
      dash_fragment 1s;
      dash_playlist_length 6s;
    }}
  }}
}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  types {{
    application/vnd.apple.mpegurl m3u8;
    application/dash+xml mpd;
    video/mp2t ts;
    video/iso.segment m4s;
    video/mp4 mp4;
  }}
  server {{
    listen 127.0.0.1:{http};
    root {folder}/www;
  }}
}}
"""


class Server:
    """A server program. `start` returns once it listens; `kill` (SIGKILL) is what a crash looks like."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], log: Path) -> None:
        self._command = command
        self._ports = ports
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Runs it, on the same ports each time; fails with what it said when it ends or does not listen in time."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline_s = time.monotonic() + START_S
        for port in self._ports:
            while not listens(port):
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline_s, f"nobody listens on {port}: {self._log.read_text()}"
                time.sleep(0.05)

    def kill(self) -> None:
        """At once; may be called again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Nginx(Server):
    """nginx with its RTMP module. www: the folder that it serves at `url`; rtmp: URL of its application."""

    def __init__(self, program: str, folder: Path) -> None:
        http, rtmp = free_tcp_ports(2)
        self.www = folder / "www"
        self.www.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{http}"
        self.rtmp = f"rtmp://127.0.0.1:{rtmp}/live"
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(module=RTMP_MODULE, folder=folder, http=http, rtmp=rtmp))
        command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        super().__init__(command, (http, rtmp), folder / "nginx.log")


class RtspServer(Server):
    """GStreamer's RTSP server; at `url` each client gets `media` from its beginning, in real time."""

    def __init__(self, media: Path, folder: Path) -> None:
        (port,) = free_tcp_ports(1)
        self.url = f"rtsp://127.0.0.1:{port}/live"
        script = Path(__file__).with_name("rtsp_server.py")
        super().__init__([str(SYSTEM_PYTHON), str(script), str(port), str(media)], (port,), folder / "rtsp.log")


def has_gstreamer() -> bool:
    """Whether the system's Python has GStreamer's RTSP server."""
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    return SYSTEM_PYTHON.exists() and not subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True).returncode


def listens(port: int) -> bool:
    """Whether a connection to it is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_tcp_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
