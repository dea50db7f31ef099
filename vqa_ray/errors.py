"""The tree of exceptions, by what the caller can do about each.

VqaError
├── ConfigError            what the user wrote is wrong: correct it (exit code 2)
├── SourceError            one input cannot be used
│   ├── UnsupportedSource    never with this libav: use what the message names instead
│   ├── ForbiddenProtocol    the profile does not allow the protocol: change the profile or the URL
│   ├── SourceUnavailable    not now: try again later
│   └── NotMedia             opened, but holds no picture and no sound that can be decoded
├── StoreError             results cannot be written or read: check the store URI and its rights
└── ClusterError           Ray, or the supervisor on it
    ├── ClusterUnreachable   no answer: check the address, start the fleet
    └── StaleEpoch           a newer owner exists: stop working on the stream

Bad video is a reading, never an exception.
"""


class VqaError(Exception):
    """Base of every error that vqa_ray raises on purpose; its text is one line for a person."""


class ConfigError(VqaError):
    """What the user wrote is wrong; the text names the file, the path in it and the value."""


class SourceError(VqaError):
    """One input cannot be used. The text never holds a password."""


class UnsupportedSource(SourceError):
    """The installed libav cannot open this kind of input; the text says what to do instead."""


class ForbiddenProtocol(SourceError):
    """The profile does not allow a protocol that the URL (or a playlist behind it) asks for."""


class SourceUnavailable(SourceError):
    """The input does not answer, refused, broke off or ran out of time; a later try may succeed."""


class NotMedia(SourceError):
    """The input opened, but holds no picture and no sound that can be decoded."""


class StoreError(VqaError):
    """Results cannot be written to, or read from, the store."""


class ClusterError(VqaError):
    """Ray, or the supervisor on it, cannot do what was asked."""


class ClusterUnreachable(ClusterError):
    """No cluster or no supervisor answers in time."""


class StaleEpoch(ClusterError):
    """An assignment with a newer epoch exists; what the older one says is dropped."""
