"""Channel `email`: SMTP by the standard library, which gives the server's reply codes; apprise says only yes or no.

All mails of an incident are one thread: each answers the first. A `Message-ID` is the same for each telling, so mail
servers and readers can drop repeats.
"""

import base64
import email.policy
import email.utils
import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from vqa_ray.core.message import as_html, line, message, plain
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome, SendTimeout
from vqa_ray.sinks.secret import Secret, masked
from vqa_ray.sinks.stillfile import NAME, still_of

PORTS = {"starttls": 587, "tls": 465, "none": 25}
SHOWN_CHARS = 200
POLICY = email.policy.SMTP.clone(cte_type="7bit")  # what every server takes

Address = Annotated[str, msgspec.Meta(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$", description="an address: name@host")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class EmailSpec(ChannelSpec, frozen=True, kw_only=True, tag="email"):
    """Mails from `sender` to all of `to` through the SMTP server at `host`.

    security: `starttls` (port 587 where none is given), `tls` (465) or `none` (25, no password). ca_file: PEM file of
    the authority that signed the server's certificate, where the system does not know it. still: encloses the strip of
    stills where evidence is kept, and waits for it for up to `still_wait_s` seconds from the notice on.
    """

    id: ClassVar[str] = "email"

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password: Secret | None = None
    sender: Address
    to: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1, max_length=50)]
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    still: bool = True
    still_wait_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 2.0
    timeout_s: SendTimeout = 10.0

    def __post_init__(self) -> None:
        if (self.user is None) is not (self.password is None):
            raise ValueError("user and password go together: give both or none")
        if self.password is not None and self.security == "none":
            raise ValueError("a password is never sent in the clear: take security starttls or tls")

    def build(self) -> "Mail":
        """The channel; raises ConfigError when an environment variable is missing or `ca_file` is not to be used."""
        return Mail(self)


class Mail:
    """Sends through one server, with a connection for each mail; see EmailSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: EmailSpec) -> None:
        self.name = spec.label
        self._spec = spec
        self._port = spec.port or PORTS[spec.security]
        self._password = spec.password.reveal() if spec.password else ""
        self._tls = _tls(spec) if spec.security != "none" else None

    def send(self, notice: Notice, /) -> Delivery:
        """Sends one mail; it may wait a moment for the still."""
        spec = self._spec
        wanted = spec.still and notice.kind is not NoticeKind.CLOSED
        still = still_of(notice, wait_s=spec.still_wait_s) if wanted else None
        try:
            refused = self._submit(mail(notice, spec, still))
        except (smtplib.SMTPException, OSError) as error:
            outcome, words = judge(error)
            return Delivery(outcome, f"{spec.host}:{self._port}: {self._masked(words)}")
        gone = f"{spec.host}:{self._port}: refused for {', '.join(sorted(refused))}" if refused else ""
        return Delivery(Outcome.SENT, gone)

    def close(self) -> None:
        """Nothing stays open between mails."""

    def _submit(self, made: EmailMessage) -> dict[str, Any]:
        spec, timeout_s = self._spec, self._spec.timeout_s
        server: smtplib.SMTP
        if spec.security == "tls":
            server = smtplib.SMTP_SSL(spec.host, self._port, timeout=timeout_s, context=self._tls)
        else:
            server = smtplib.SMTP(spec.host, self._port, timeout=timeout_s)
        with server:
            if spec.security == "starttls":
                server.starttls(context=self._tls)
            if spec.user is not None:
                server.login(spec.user, self._password)
            return server.send_message(made, from_addr=spec.sender, to_addrs=list(spec.to))

    def _masked(self, text: str) -> str:
        """Without the password, also in the forms in which it goes over the wire."""
        user, password = self._spec.user or "", self._password
        sent = [f"\0{user}\0{password}", password] if password else []
        forms = [base64.b64encode(one.encode()).decode() for one in sent]
        return masked(line(text, 10 * SHOWN_CHARS), [password, *forms])[:SHOWN_CHARS]


def mail(notice: Notice, spec: EmailSpec, still: bytes | None) -> EmailMessage:
    """The mail: text, the same as HTML, and in it the still, if there is one."""
    told, incident = message(notice, spec.page_url), notice.incident
    made = EmailMessage(policy=POLICY)
    made["Subject"] = told.title
    made["From"] = email.utils.formataddr(("vqa_ray", spec.sender))
    made["To"] = ", ".join(spec.to)
    made["Date"] = email.utils.format_datetime(notice.noticed_utc)
    made["Message-ID"] = _message_id(notice.key, spec)
    if notice.kind is not NoticeKind.OPENED:
        first = _message_id(f"{incident.incident_id}:{NoticeKind.OPENED.value}", spec)
        made["In-Reply-To"] = first
        made["References"] = first
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    if incident.severity is Severity.CRITICAL and notice.kind is not NoticeKind.CLOSED:
        made["Importance"] = "high"
    made.set_content(plain(told))
    image = email.utils.make_msgid(domain="vqa-ray.invalid") if still else ""
    made.add_alternative(as_html(told, f"cid:{image[1:-1]}" if image else ""), subtype="html")
    if still and (body := made.get_body(("html",))) is not None:
        body.add_related(still, "image", "jpeg", cid=image, filename=NAME, disposition="inline")
    return made


def judge(error: Exception) -> tuple[Outcome, str]:
    """What an SMTP conversation that failed means: 5xx never, all else again; with the server's words."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        words = "; ".join(f"{to}: {code} {_text(text)}" for to, (code, text) in sorted(error.recipients.items()))
        return _by_code(min(codes, default=0)), words
    if isinstance(error, smtplib.SMTPResponseException):
        return _by_code(error.smtp_code), f"{error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome.GIVE_UP, str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome.RETRY, f"certificate refused ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return Outcome.RETRY, "no answer in time"
    if isinstance(error, socket.gaierror):
        return Outcome.RETRY, "the host's name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return Outcome.RETRY, error.strerror
    return Outcome.RETRY, type(error).__name__


def _by_code(code: int) -> Outcome:
    return Outcome.GIVE_UP if 500 <= code < 600 else Outcome.RETRY


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def _message_id(key: str, spec: EmailSpec) -> str:
    domain = spec.sender.rpartition("@")[2]
    return f"<{key.replace(':', '.')}@{domain}>"


def _tls(spec: EmailSpec) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=spec.ca_file)
    except OSError as error:
        why = error.strerror or "no certificate in PEM"
        raise ConfigError(f"ca_file {spec.ca_file}: cannot be used ({why})") from None
