"""One HTTP POST, tried once: connection kept alive, no redirects, no secrets in what is said of it."""

import contextlib
import email.utils
import http
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import msgspec
import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth

from vqa_ray.core.urls import resolve
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome, SendTimeout
from vqa_ray.sinks.secret import MASK, Secret, SecretText, masked

CONNECT_TIMEOUT_S = 3.0
RETRIED = frozenset({408, 425, 429})  # and all of 5xx; other 4xx say that the request itself is wrong
ANSWER_BYTES = 4096  # read of an answer, for the detail; the rest is not worth waiting for
SHOWN_CHARS = 200
RETRY_AFTER_CEILING_S = 600.0  # no receiver may mute alerts for longer

_VARIABLE = re.compile(r"\$\{\w+\}")

_sending = threading.local()

HttpUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(https?://\S+|\$\{\w+\}\S*)$",
        description="an http:// or https:// URL; passwords and tokens in it as ${NAME} of the environment",
    ),
]


class HttpChannelSpec(ChannelSpec, frozen=True, kw_only=True):
    """Options of every channel that POSTs. Its `repr` shows of the URL only scheme, host and port.

    timeout_s: of connecting (3 s at most), and of each wait for the receiver's answer.
    """

    url: HttpUrl
    bearer_token: Secret | None = None
    timeout_s: SendTimeout = 5.0

    def __post_init__(self) -> None:
        password = urlsplit(self.url).password
        if password and not password.startswith("${"):
            raise ValueError("a password in the URL is refused: put it in the environment and write ${NAME}")
        if password and self.bearer_token:
            raise ValueError("both a password in the URL and bearer_token are given: keep one of them")

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, shown_url(value) if name == "url" else value) for name, value in fields]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def shown_url(url: str) -> str:
    """Scheme, host and port of `url`; its path is left out, since hook services keep their token there."""
    parts = urlsplit(url)
    if not parts.netloc:  # the whole of it is a ${NAME}
        return url if _VARIABLE.fullmatch(url) else MASK
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" + (f"/{MASK}" if parts.path.strip("/") or parts.query else "")


def judge(status: int, retry_after: str | None, now_s: float) -> tuple[Outcome, float | None]:
    """The retry table: 2xx sent; 408, 425, 429 and 5xx again, honouring Retry-After; anything else never.

    `now_s`: seconds since 1970, against which a Retry-After date is read.
    """
    if 200 <= status < 300:
        return Outcome.SENT, None
    if status in RETRIED or 500 <= status < 600:
        return Outcome.RETRY, _wish_s(retry_after, now_s)
    return Outcome.GIVE_UP, None


def _wish_s(retry_after: str | None, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header, which is a number or an HTTP date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    try:
        wait_s = float(retry_after)
    except ValueError:
        parsed = email.utils.parsedate_tz(retry_after)
        if parsed is None:
            return None
        wait_s = email.utils.mktime_tz(parsed) - now_s
    return min(max(wait_s, 0.0), RETRY_AFTER_CEILING_S) if math.isfinite(wait_s) else None


class _Bearer(AuthBase):
    """Sets the header after requests has looked for a .netrc, which would replace one given as a header."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _keeps_the_url(_: logging.LogRecord) -> bool:
    return not getattr(_sending, "on", False)


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Drops what urllib3 logs on this thread meanwhile, at any level: it writes the URL's path, where tokens stand."""
    logging.getLogger("urllib3.connectionpool").addFilter(_keeps_the_url)  # once, however often it is added
    _sending.on = True
    try:
        yield
    finally:
        _sending.on = False


class Poster:
    """POSTs to one URL over a kept-alive connection. Used by one thread; `close` may come from another."""

    def __init__(
        self, url: str, *, timeout_s: float, token: SecretText | None = None, path: str = "", hidden: Iterable[str] = ()
    ) -> None:
        base, user, password = _split(resolve(url))
        self.shown = shown_url(base)
        self._timeout = (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)
        self._limit_s = timeout_s
        bearer = token.reveal() if token else None
        parts = urlsplit(base)
        self._hidden = {text for text in (bearer, password, parts.query, parts.path.strip("/"), *hidden) if text}
        auth: AuthBase = HTTPBasicAuth(user, password) if user or password else _Bearer(bearer)
        self._prepare(parts._replace(path=parts.path.rstrip("/") + path).geturl() if path else base, auth)

    def _prepare(self, url: str, auth: AuthBase) -> None:
        """Does once what is the same for each request: proxies of the environment alone cost 0.8 ms a request."""
        self._session = requests.Session()
        try:
            self._template = self._session.prepare_request(
                requests.Request("POST", url, headers={"User-Agent": "vqa_ray"}, auth=auth)
            )
        except requests.RequestException as error:
            raise ConfigError(f"{self.shown}: this is no URL that can be posted to ({type(error).__name__})") from None
        self._settings = self._session.merge_environment_settings(url, {}, True, None, None)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Delivery:
        """Sends once; any fault of network or receiver is a Delivery."""
        request = self._template.copy()
        request.headers.update(headers)
        request.prepare_body(body, None)
        try:
            with (
                unlogged(),
                self._session.send(request, timeout=self._timeout, allow_redirects=False, **self._settings) as answer,
            ):
                return self._delivery(answer)
        except (requests.RequestException, OSError) as error:
            return Delivery(Outcome.RETRY, f"{self.shown}: {_cause(error)}")

    def _delivery(self, answer: requests.Response) -> Delivery:
        words = self._read(answer)
        outcome, wish_s = judge(answer.status_code, answer.headers.get("Retry-After"), time.time())
        if outcome is Outcome.SENT:
            return Delivery(outcome)
        if 300 <= answer.status_code < 400:
            words = "redirects are not followed: give the final URL"
        return Delivery(outcome, f"{self.shown}: {_status(answer.status_code)} {words}".rstrip(), wish_s)

    def _read(self, answer: requests.Response) -> str:
        """The start of the answer, masked. A short one is read to its end, which frees the connection for reuse."""
        deadline_s = time.monotonic() + self._limit_s
        text = b""
        try:
            while chunk := answer.raw.read1(ANSWER_BYTES, decode_content=True):
                text += chunk
                if len(text) >= ANSWER_BYTES or time.monotonic() > deadline_s:
                    break
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # the status has come, and it alone decides
        return masked(" ".join(text.decode("utf-8", "replace").split()), self._hidden)[:SHOWN_CHARS]

    def close(self) -> None:
        """Closes idle connections."""
        self._session.close()


def _split(url: str) -> tuple[str, str, str]:
    """URL without credentials, user, password; raises ConfigError for what cannot be posted to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold a piece of a password
        raise ConfigError("this is no URL: give http://host[:port]/path or https://…") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{shown_url(url)!r} is refused: give an http:// or https:// URL with a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = f"{host}:{port}" if port else host
    return parts._replace(netloc=netloc).geturl(), unquote(parts.username or ""), unquote(parts.password or "")


def _status(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _cause(error: BaseException) -> str:
    """The innermost reason, without the URL that requests writes into its messages."""
    seen: BaseException = error
    while inner := (seen.__cause__ or seen.__context__):
        seen = inner
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"certificate refused ({seen.verify_message})"
        if isinstance(seen, socket.gaierror):
            return "the host's name cannot be resolved"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return type(seen).__name__
