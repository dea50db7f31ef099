"""The still of an incident, for channels that enclose it: read from where its evidence lies."""

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests

from vqa_ray.core.evidence import START, STRIP
from vqa_ray.core.notice import Notice
from vqa_ray.errors import VqaError

NAME = f"{START}{STRIP}"
MOST_BYTES = 4 << 20
ASK_EVERY_S = 0.25


def still_of(notice: Notice, *, wait_s: float, timeout_s: float) -> bytes | None:
    """The strip of stills as JPEG; None where there is none, or it cannot be had.

    It comes a second or so after the notice, and so is waited for until the notice is `wait_s` old: a backlog of many
    does not wait for each. Never raises.
    """
    address = notice.incident.evidence
    while address:
        data = _read(address, timeout_s)
        if data is not None and len(data) <= MOST_BYTES:
            return data
        age_s = (datetime.now(UTC) - notice.noticed_utc).total_seconds()
        if data is not None or not 0 <= age_s < wait_s:
            return None
        time.sleep(ASK_EVERY_S)
    return None


def _read(address: str, timeout_s: float) -> bytes | None:
    try:
        if urlsplit(address).scheme in ("http", "https"):
            answer = requests.get(f"{address}/{NAME}", timeout=timeout_s, allow_redirects=False)
            return answer.content if answer.status_code == 200 else None
        return _from_store(address)
    except (requests.RequestException, OSError, ValueError, VqaError):
        return None


def _from_store(address: str) -> bytes | None:
    from vqa_ray.sinks.folder import Folder  # pyarrow: 0.3 s, for those who keep evidence

    folder = Folder.open(address)
    with folder.errors():
        place = folder.at(NAME)
        if not folder.filesystem.get_file_info(place).is_file:
            return None
        with folder.filesystem.open_input_stream(place) as source:
            data: bytes = source.read(MOST_BYTES + 1)
            return data
