"""Channel `syslog`: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587, octets counted) or TLS (RFC 5425).

The standard library's handler and apprise write the older BSD format, which has no year, no fractions of a second and
no fields; and over TCP both take what is in the kernel's buffer for sent.
"""

import contextlib
import socket
import ssl
from datetime import UTC
from typing import Annotated, ClassVar, Literal

import msgspec

from vqa_ray.core.message import line, message, page_of
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome, SendTimeout

PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
_FACILITY_CODES = {"user": 1, "daemon": 3, **{f"local{n}": 16 + n for n in range(8)}}
LEVELS = {Severity.CRITICAL: 2, Severity.MAJOR: 3, Severity.MINOR: 4, Severity.INFO: 6}  # RFC 5424, table 2
NOTICE = 5  # of what is over
ELEMENT = "vqa@32473"  # 32473: the number for those who have none of their own (RFC 5612)
UDP_BYTES = 2048  # what every receiver should take (RFC 5424, 6.1)
READ_S = 1.0  # to wait for the receiver to have read all


class SyslogSpec(ChannelSpec, frozen=True, kw_only=True, tag="syslog"):
    """Writes a line to the syslog server at `host` for each notice. UDP may lose some, and nobody will know.

    facility: user, daemon or local0 to local7. ca_file: PEM file of the authority that signed the server's certificate,
    where the system does not know it.
    """

    id: ClassVar[str] = "syslog"

    host: Annotated[str, msgspec.Meta(min_length=1)] = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    transport: Literal["udp", "tcp", "tls"] = "udp"
    facility: Literal[
        "user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = "local0"
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: SendTimeout = 5.0

    def build(self) -> "Syslog":
        """The channel; raises ConfigError when `ca_file` is not to be used."""
        return Syslog(self)


class Syslog:
    """Writes to one server, with a connection for each notice; see SyslogSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: SyslogSpec) -> None:
        self.name = spec.label
        self._spec = spec
        self._to = (spec.host, spec.port or PORTS[spec.transport])
        self._here = line(socket.gethostname(), 255).replace(" ", "-") or "-"
        try:
            self._tls = ssl.create_default_context(cafile=spec.ca_file) if spec.transport == "tls" else None
        except OSError as error:
            why = error.strerror or "no certificate in PEM"
            raise ConfigError(f"ca_file {spec.ca_file}: cannot be used ({why})") from None

    def send(self, notice: Notice, /) -> Delivery:
        """Writes once."""
        data = record(notice, self._here, _FACILITY_CODES[self._spec.facility], self._spec.page_url)
        try:
            if self._spec.transport == "udp":
                self._by_udp(data[:UDP_BYTES].decode("utf-8", "ignore").encode())  # no half of a character
            else:
                self._by_stream(b"%d %b" % (len(data), data))
        except ssl.SSLCertVerificationError as error:
            return self._failed(f"certificate refused ({error.verify_message})")
        except socket.gaierror:
            return self._failed("the host's name cannot be resolved")
        except TimeoutError:
            return self._failed("no answer in time")
        except OSError as error:
            return self._failed(error.strerror or type(error).__name__)
        return Delivery(Outcome.SENT)

    def close(self) -> None:
        """Nothing stays open between notices."""

    def _failed(self, why: str) -> Delivery:
        host, port = self._to
        return Delivery(Outcome.RETRY, f"{host}:{port}: {why}")

    def _by_udp(self, data: bytes) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._to, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as out:
            out.settimeout(self._spec.timeout_s)
            out.sendto(data, address)

    def _by_stream(self, data: bytes) -> None:
        with socket.create_connection(self._to, timeout=self._spec.timeout_s) as plain:
            out = self._tls.wrap_socket(plain, server_hostname=self._spec.host) if self._tls else plain
            with out:
                out.sendall(data)
                self._await_reader(out)

    def _await_reader(self, out: socket.socket) -> None:
        """Says that nothing follows, and waits until the receiver has read all and closes: a reset is an OSError.

        One that keeps the connection open has the bytes, as far as one can know.
        """
        out.settimeout(min(READ_S, self._spec.timeout_s))
        with contextlib.suppress(TimeoutError, ssl.SSLError):
            if isinstance(out, ssl.SSLSocket):
                out.unwrap()
                return
            out.shutdown(socket.SHUT_WR)
            while out.recv(4096):
                pass


def record(notice: Notice, host: str, facility: int, page_url: str | None = None) -> bytes:
    """One RFC 5424 message: level by severity, fields as structured data, words for people after it."""
    incident, told = notice.incident, message(notice, page_url)
    level = NOTICE if notice.kind is NoticeKind.CLOSED else LEVELS[incident.severity]
    at = notice.noticed_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {
        "incident": incident.incident_id,
        "stream": incident.stream_id,
        "detector": incident.detector,
        "part": incident.part,
        "severity": incident.severity.value,
        "start": incident.start_utc.astimezone(UTC).isoformat(),
        "end": incident.end_utc.astimezone(UTC).isoformat() if incident.end_utc else "",
        "value": f"{incident.value:g}",
        "unit": incident.unit,
        "page": page_of(incident, page_url),
        "evidence": incident.evidence,
    }
    data = " ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items() if value)
    words = "; ".join([told.title, *(f"{name.lower()}: {text}" for name, text in told.facts if name in ("Why", "Try"))])
    head = f"<{facility * 8 + level}>1 {at} {host} vqa_ray - {notice.kind.value} [{ELEMENT} {data}]"
    return f"{head} {words}".encode()


def _quoted(text: str) -> str:
    """A value of structured data (RFC 5424, 6.3.3)."""
    return "".join(f"\\{char}" if char in '"\\]' else char for char in line(text, 500))
