"""Who may do what: tokens with a role, kept as digests; a cookie for browsers; a limit on how often one may ask."""

import hashlib
import hmac
import math
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path

import msgspec

from vqa_ray.errors import ConfigError

SHORTEST = 16  # characters of a token
MOST_CALLERS = 10_000  # whose rate is remembered


class Role(IntEnum):
    """What a token allows; a higher one allows what the lower does."""

    VIEWER = 1
    OPERATOR = 2


class Tokens:
    """The tokens that are good. Compared in constant time."""

    def __init__(self, pairs: Iterable[tuple[Role, str]]) -> None:
        self._roles = {_digest(token): role for role, token in pairs}

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """From a file with a line `viewer TOKEN` or `operator TOKEN` each; ConfigError names file and line."""
        try:
            text = path.read_text()
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ConfigError(f"{path}: anybody on this machine can read it: chmod o-rwx {path}")
        pairs = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or line.lstrip().startswith("#"):
                continue
            if len(words) != 2 or words[0].upper() not in Role.__members__:
                raise ConfigError(f"{path}, line {number}: give `viewer TOKEN` or `operator TOKEN`")
            if len(words[1]) < SHORTEST:
                raise ConfigError(f"{path}, line {number}: the token has less than {SHORTEST} characters")
            pairs.append((Role[words[0].upper()], words[1]))
        if not pairs:
            raise ConfigError(f"{path}: names no token")
        return cls(pairs)

    def role(self, token: str | None) -> Role | None:
        """What the token allows, None if it is none of ours."""
        given, found = _digest(token or ""), None
        for known, role in self._roles.items():
            if hmac.compare_digest(known, given):
                found = role
        return found


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


class _Bucket(msgspec.Struct):
    left: float
    at_s: float


class Limit:
    """So many requests a second and caller, and some at once (a token bucket)."""

    def __init__(self, a_second: float, burst: float, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = a_second
        self._burst = burst
        self._now_s = now_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, caller: str) -> int:
        """0: go on. Else the seconds after which the caller may ask again."""
        now_s = self._now_s()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now_s)
        self._buckets[caller] = bucket
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        bucket.left = min(self._burst, bucket.left + (now_s - bucket.at_s) * self._rate)
        bucket.at_s = now_s
        if bucket.left < 1.0:
            return max(1, math.ceil((1.0 - bucket.left) / self._rate))
        bucket.left -= 1.0
        return 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
