"""URLs of sources and sinks: their scheme, what they hide, and how they are shown without it."""

import os
import re
from collections.abc import Mapping

from vqa_ray.errors import ConfigError

HIDDEN = "***"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:\\ is a path
_SECRET_NAME = (
    r"pass(?:word|wd|phrase)?|pwd|token|access_token|auth|authorization|bearer|secret|client_secret|api[_-]?key|key|"
    r"sig|sign|signature|hmac|hash|jwt|sas|policy|credential|credentials|session|sessionid|sid|streamkey|stream_key|"
    r"wssecret|hdnts|hdnea|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential|"
    r"key-pair-id"
)
_USERINFO = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#@:]*)(?::[^\s/?#]*)?@")
_QUERY = re.compile(rf"(?P<head>[?&;#\s,](?:[\w.-]*[_-])?(?:{_SECRET_NAME})\s?=\s?)[^\s&;#'\"<>,]+", re.IGNORECASE)
_PUSH = re.compile(r"(?P<head>rtmp(?:s|t|e|ts|te)?://[^\s/]+/[^\s?#/]+/)(?P<key>[^\s?#'\"]{8,})", re.IGNORECASE)


def scheme(url: str) -> str:
    """The scheme in lower case; `file` for a path without one."""
    found = _SCHEME.match(url)
    return found.group(1).lower() if found else "file"


def is_live(url: str) -> bool:
    """Whether the input has no end of its own: everything but a file."""
    return scheme(url) != "file"


def resolve(url: str, environ: Mapping[str, str] | None = None) -> str:
    """`url` with each `${NAME}` replaced from the environment; called when it is opened, never stored.

    Raises ConfigError, naming the variable, when one is not set.
    """
    values = os.environ if environ is None else environ

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in values:
            raise ConfigError(f"{redact(url)}: the environment variable {name} is not set")
        return values[name]

    return _VARIABLE.sub(value, url)


def redact(text: str) -> str:
    """`text` (a URL, or a message that holds some) without passwords, tokens, keys and signatures.

    Of `user:password@` the user stays; of a secret query parameter its name; of a long RTMP stream key its first
    two letters. `${NAME}` is shown as it is: it is no secret. Safe to apply twice.
    """
    if "://" not in text and "=" not in text:
        return text
    text = _USERINFO.sub(_hide_password, text)
    text = _QUERY.sub(rf"\g<head>{HIDDEN}", text)
    return _PUSH.sub(_hide_key, text)


def _hide_password(found: re.Match[str]) -> str:
    whole, user = found.group(0), found.group("user")
    return f"{found.group('head')}{user}:{HIDDEN}@" if ":" in whole[len(found.group("head")) + len(user) :] else whole


def _hide_key(found: re.Match[str]) -> str:
    key = found.group("key")
    return found.group(0) if HIDDEN in key else f"{found.group('head')}{key[:2]}{HIDDEN}"
