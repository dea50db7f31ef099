"""What an alert channel is: a declared spec, and one method that sends once and says what to do next."""

import enum
from typing import Annotated, ClassVar, Protocol

import msgspec

from vqa_ray.core.notice import RANKS, Notice
from vqa_ray.core.reading import Severity


class Outcome(enum.StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    RETRY = "retry"  # not now: the same notice may get through later
    GIVE_UP = "give_up"  # never: a repeat would be refused in the same way
    LEFT_OUT = "left_out"  # not tried: the channel does not want such notices


class Delivery(msgspec.Struct, frozen=True):
    """One attempt. `detail` is for a person and holds no secret; `retry_after_s` is the receiver's own wish, if any."""

    outcome: Outcome
    detail: str = ""
    retry_after_s: float | None = None


class Channel(Protocol):
    """Where notices go. `send` is called from one thread only, and must return within the channel's own timeout.

    `resend_every_s`: how often the channel wants open incidents told again, None if it remembers them itself.
    """

    name: str
    resend_every_s: float | None

    def send(self, notice: Notice, /) -> Delivery:
        """Tries once. Never raises for a bad receiver or network; never sleeps, never retries."""
        ...

    def close(self) -> None:
        """Lets go of connections and files; a send that is under way ends by its own timeout."""
        ...


PageUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://\S+$", description="an http:// or https:// URL")]
ChannelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="letters, digits, _ . -")]
SendTimeout = Annotated[float, msgspec.Meta(gt=0, le=60)]


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Options that every channel has. `name` tells channels of one type apart; the type's id if it is not given.

    min_severity: milder incidents are not told, until they grow as bad. page_url: address of the operator's page, for
    links to incidents; None takes the fleet's.
    """

    id: ClassVar[str]

    name: ChannelName | None = None
    min_severity: Severity = Severity.INFO
    page_url: PageUrl | None = None

    @property
    def label(self) -> str:
        """The channel's name in logs, counts and the journal."""
        return self.name or self.id

    def build(self) -> Channel:
        """The channel with these options; raises ConfigError where they cannot work on this machine."""
        raise TypeError(f"{type(self).__name__} declares no channel")


class Selective:
    """A channel that is told of nothing milder than `least`. Severity never falls: what was told is also closed."""

    def __init__(self, channel: Channel, least: Severity) -> None:
        self.name = channel.name
        self.resend_every_s = channel.resend_every_s
        self._channel = channel
        self._least = RANKS[least]

    def send(self, notice: Notice, /) -> Delivery:
        """Sends what is bad enough."""
        if RANKS[notice.incident.severity] < self._least:
            return Delivery(Outcome.LEFT_OUT)
        return self._channel.send(notice)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def built(spec: ChannelSpec) -> Channel:
    """The channel as an outbox takes it; ConfigError where it cannot work on this machine."""
    channel = spec.build()
    return channel if spec.min_severity is Severity.INFO else Selective(channel, spec.min_severity)
