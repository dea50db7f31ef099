"""A TCP port that can be shut and opened again, and one stream of items to many clients behind it."""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_CLIENTS = 64
QUEUE_ITEMS = 512  # of one client; who falls that far behind is cut off, as a real server does
ACCEPT_POLL_S = 0.2


class Door:
    """Listens on one port; each client is served by `serve(connection)` on a thread of its own.

    `shut` closes the listener and every connection, so that clients see what a dead server shows: end of
    stream, then refused connections. `open` listens on the same port again.
    """

    def __init__(self, serve: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0) -> None:
        self._serve = serve
        self.host = host
        self.port = port
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.open()

    def open(self) -> None:
        """Listens; no effect when it does already."""
        if self._listener is not None:
            return
        listener = socket.create_server((self.host, self.port), backlog=16)
        listener.settimeout(ACCEPT_POLL_S)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), name="door", daemon=True)
        self._accepting.start()

    def shut(self) -> None:
        """Closes the listener and all connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts, which keeps the port taken
            listener.close()
        accepting, self._accepting = self._accepting, None
        if accepting is not None and accepting is not threading.current_thread():
            accepting.join(5 * ACCEPT_POLL_S)
        with self._lock:
            clients, self._clients = self._clients, set()
        for client in clients:
            _cut(client)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._admits(client):
                threading.Thread(target=self._run, args=(client,), name="client", daemon=True).start()
            else:
                _cut(client)

    def _admits(self, client: socket.socket) -> bool:
        with self._lock:
            if self._listener is None or len(self._clients) >= MAX_CLIENTS:
                return False
            self._clients.add(client)
            return True

    def _run(self, client: socket.socket) -> None:
        try:
            self._serve(client)
        except (OSError, EOFError, ValueError):
            pass  # the client went away, or talks nonsense: its own affair
        finally:
            with self._lock:
                self._clients.discard(client)
            _cut(client)


def _cut(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    client.close()


class Fanout(Generic[T]):
    """Hands each item to every client that has joined; never waits for one."""

    def __init__(self) -> None:
        self._queues: set[queue.Queue[T | None]] = set()
        self._lock = threading.Lock()

    def send(self, item: T) -> None:
        """To all who have joined; who does not keep up is cut off."""
        with self._lock:
            for waiting in list(self._queues):
                try:
                    waiting.put_nowait(item)
                except queue.Full:
                    self._end(waiting)

    def end_all(self) -> None:
        """Nobody gets more."""
        with self._lock:
            for waiting in list(self._queues):
                self._end(waiting)

    def _end(self, waiting: "queue.Queue[T | None]") -> None:
        self._queues.discard(waiting)
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        waiting.put_nowait(None)

    def items(self) -> Iterator[T]:
        """Joins; what is sent from now on, until cut off."""
        waiting: queue.Queue[T | None] = queue.Queue(QUEUE_ITEMS)
        with self._lock:
            self._queues.add(waiting)
        try:
            while (item := waiting.get()) is not None:
                yield item
        finally:
            with self._lock:
                self._queues.discard(waiting)
