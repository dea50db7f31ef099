"""What people say of incidents: someone is on it, or it was none."""

import enum
from datetime import datetime
from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Note = Annotated[str, msgspec.Meta(max_length=2000)]


class RemarkKind(enum.StrEnum):
    """What is said."""

    ACKNOWLEDGED = "acknowledged"
    FALSE_ALARM = "false_alarm"


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """One person's word on one incident; of each kind the latest counts. by: as they call themselves."""

    incident_id: str
    kind: RemarkKind
    by: Name
    note: Note = ""
    at_utc: datetime
