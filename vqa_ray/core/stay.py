"""Where a stream was, and why it went there: its moves, as the operator's page tells them. Pure."""

from datetime import datetime

import msgspec

REMEMBERED = 50  # of each stream


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A stream was given to an analyzer. why: of `core.reconcile.Reason`, or what a restarted supervisor found."""

    analyzer: str
    epoch: int
    since_utc: datetime
    why: str
