"""What an alert channel is: a declared spec, and one method that sends once and says what to do next."""

import enum
from typing import Annotated, ClassVar, Protocol

import msgspec

from vqa_ray.core.notice import Notice


class Outcome(enum.StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    RETRY = "retry"  # not now: the same notice may get through later
    GIVE_UP = "give_up"  # never: a repeat would be refused in the same way


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


ChannelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="letters, digits, _ . -")]
SendTimeout = Annotated[float, msgspec.Meta(gt=0, le=60)]


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Options that every channel has. `name` tells channels of one type apart; the type's id if it is not given."""

    id: ClassVar[str]

    name: ChannelName | None = None

    @property
    def label(self) -> str:
        """The channel's name in logs, counts and the journal."""
        return self.name or self.id

    def build(self) -> Channel:
        """The channel with these options; raises ConfigError where they cannot work on this machine."""
        raise TypeError(f"{type(self).__name__} declares no channel")
