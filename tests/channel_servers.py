"""Real ends of channels on loopback: SMTP with STARTTLS and login, syslog over UDP, TCP and TLS, Kafka brokers."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST = "127.0.0.1"


class Certificates:
    """An authority of our own. ca_file: its certificate in PEM."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST, "localhost").configure_cert(self.server)


class Mailed(NamedTuple):
    """A mail as it came."""

    sender: str
    to: list[str]
    user: str | None
    encrypted: bool
    mail: EmailMessage


class MailServer:
    """Takes mails from `user` with `password` (from anybody, if that is None), and answers RCPT and DATA as told."""

    def __init__(
        self, user: str, password: str | None, context: ssl.SSLContext | None, *, require_tls: bool = True
    ) -> None:
        self.mails: list[Mailed] = []
        self.answer_to: Callable[[str], str | None] = lambda address: None
        self.answer_data: str | None = None
        self.answer_login: AuthResult | None = None
        self._user, self._password = user, password
        self._came = threading.Condition()
        outer = self

        class AnyPort(Controller):
            def _trigger_server(self) -> None:
                self.port = outer.port = int(self.server.sockets[0].getsockname()[1])
                super()._trigger_server()

            def factory(self) -> SMTP:
                needed = context is not None and require_tls
                return SMTP(
                    outer,
                    tls_context=context,
                    require_starttls=needed,
                    authenticator=outer._judge,
                    auth_required=password is not None,
                    auth_require_tls=needed,
                    hostname="mail.test",
                )

        self.port = 0
        self._controller = AnyPort(self, hostname=HOST, port=0)
        self._controller.start()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if (answer := self.answer_to(address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer_data is not None:
            return self.answer_data
        mail = message_from_bytes(envelope.content, policy=policy.default)
        user = session.auth_data.login.decode() if session.auth_data else None
        with self._came:
            self.mails.append(
                Mailed(envelope.mail_from, list(envelope.rcpt_tos), user, session.ssl is not None, mail)  # type: ignore[arg-type]
            )
            self._came.notify_all()
        return "250 taken"

    def _judge(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        if self.answer_login is not None:
            return self.answer_login
        right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (
            self._user,
            self._password,
        )
        return AuthResult(success=right, handled=right, auth_data=data)

    def wait(self, count: int, timeout_s: float = 20.0) -> list[Mailed]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.mails) >= count, timeout_s), self.mails
            return list(self.mails)

    def close(self) -> None:
        self._controller.stop()


class SyslogServer:
    """Takes messages over UDP, TCP or TLS (octets counted, a connection at a time)."""

    def __init__(self, transport: str, context: ssl.SSLContext | None = None) -> None:
        self.messages: list[bytes] = []
        self._context = context
        self._came = threading.Condition()
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind((HOST, 0))
        self.port = int(self._socket.getsockname()[1])
        if transport != "udp":
            self._socket.listen()
        threading.Thread(target=self._datagrams if transport == "udp" else self._streams, daemon=True).start()

    def wait(self, count: int, timeout_s: float = 20.0) -> list[bytes]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.messages) >= count, timeout_s), self.messages
            return list(self.messages)

    def close(self) -> None:
        self._socket.close()

    def _take(self, data: bytes) -> None:
        with self._came:
            self.messages.append(data)
            self._came.notify_all()

    def _datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._take(self._socket.recv(65535))

    def _streams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                with contextlib.suppress(OSError, ValueError), plain:
                    peer = self._context.wrap_socket(plain, server_side=True) if self._context else plain
                    self._read(peer)
                    if isinstance(peer, ssl.SSLSocket):
                        peer.unwrap()

    def _read(self, peer: socket.socket) -> None:
        file = peer.makefile("rb")
        while length := _until_space(file):
            self._take(file.read(int(length)))


def _until_space(file: Any) -> bytes:
    text = b""
    while (char := file.read(1)) not in (b" ", b""):
        text += char
    return text


class Brokers:
    """librdkafka's built-in mock cluster: Kafka's own protocol over TCP, in this process. servers: for clients."""

    def __init__(self) -> None:
        from confluent_kafka import Producer

        self._cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "taken:1"})
        deadline_s = time.monotonic() + 20.0
        while not (brokers := self._cluster.list_topics(timeout=10).brokers):
            assert time.monotonic() < deadline_s
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers.values())

    def read(self, topic: str, count: int, timeout_s: float = 30.0) -> list[Any]:
        """The first `count` records of a topic, by a consumer of its own."""
        from confluent_kafka import Consumer

        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "readers", "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        records: list[Any] = []
        deadline_s = time.monotonic() + timeout_s
        try:
            while len(records) < count:
                assert time.monotonic() < deadline_s, f"{len(records)} of {count} records"
                record = consumer.poll(0.5)
                if record is not None and record.error() is None:
                    records.append(record)
        finally:
            consumer.close()
        return records


@contextlib.contextmanager
def mail_server(user: str, password: str | None, context: ssl.SSLContext | None) -> Iterator[MailServer]:
    server = MailServer(user, password, context)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def syslog_server(transport: str, context: ssl.SSLContext | None = None) -> Iterator[SyslogServer]:
    server = SyslogServer(transport, context)
    try:
        yield server
    finally:
        server.close()
