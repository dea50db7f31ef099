"""Sources on loopback for tests: servers that behave badly on purpose, and senders."""

import contextlib
import functools
import http.server
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av

Handler = Callable[[socket.socket, threading.Event], None]
DATAGRAM = 7 * 188


@contextlib.contextmanager
def tcp_server(handle: Handler) -> Iterator[int]:
    """A port on which each connection is given to `handle` on its own thread; everything is closed at the end."""
    over, connections = threading.Event(), []
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            handle(connection, over)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        server.close()
        for connection in connections:
            connection.close()


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Accepts and says nothing."""
    over.wait(60)


def ended(connection: socket.socket, over: threading.Event) -> None:
    """Ends the answer in order."""
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


def reset(connection: socket.socket, over: threading.Event) -> None:
    """Breaks the connection off at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def http_answer(data: bytes, then: Handler | None = None, kind: str = "video/mp2t") -> Handler:
    """Answers a request with `data`: as one open-ended body, then does `then`; whole, with its length, without."""
    length = f"Content-Length: {len(data)}\r\n" if then is None else ""

    def handle(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{length}Connection: close\r\n\r\n".encode() + data
        )
        if then is not None:
            time.sleep(0.2)
            then(connection, over)
        else:
            ended(connection, over)

    return handle


@contextlib.contextmanager
def http_folder(folder: Path) -> Iterator[str]:
    """A web server over a folder; its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            with contextlib.suppress(ConnectionError):  # the player left in the middle of a segment
                super().copyfile(source, outputfile)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A UDP and TCP port that nobody listens on now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", port))
                return port


@contextlib.contextmanager
def udp_sender(
    data: bytes, port: int, seconds: float, host: str = "127.0.0.1", size: int = DATAGRAM
) -> Iterator[threading.Thread]:
    """Sends `data` in datagrams, spread over `seconds`; stops when told or done."""
    over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            began_s = time.monotonic()
            for at in range(0, len(data), size):
                if over.wait(max(0.0, began_s + seconds * at / len(data) - time.monotonic())):
                    return
                out.sendto(data[at : at + size], (host, port))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join(5)


@contextlib.contextmanager
def pusher(path: Path, url: str, container: str) -> Iterator[None]:
    """Pushes a file to `url` in real time; tries until somebody listens.

    In a process of its own: PyAV holds the GIL while it connects for writing, and the listener's time limit needs it.
    """
    child = subprocess.Popen([sys.executable, __file__, str(path), url, container], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def _push(path: str, url: str, container: str) -> None:
    options = {"rtsp_transport": "tcp"} if container == "rtsp" else {}
    with av.open(path) as source, av.open(url, "w", format=container, options=options) as out:
        tracks = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        began_s = time.monotonic()
        for packet in source.demux():
            if packet.dts is None:
                continue
            time.sleep(max(0.0, began_s + float(packet.dts * packet.time_base) - time.monotonic()))
            packet.stream = tracks[packet.stream_index]
            out.mux(packet)


if __name__ == "__main__":
    while True:
        time.sleep(0.3)
        with contextlib.suppress(av.error.FFmpegError, OSError):
            _push(*sys.argv[1:])
