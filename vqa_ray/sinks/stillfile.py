"""The still of an incident, for channels that enclose it: read from where its evidence lies."""

import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
import urllib3

from vqa_ray.core.evidence import START, STRIP
from vqa_ray.core.notice import Notice
from vqa_ray.errors import VqaError

NAME = f"{START}{STRIP}"
MOST_BYTES = 4 << 20
ASK_EVERY_S = 0.25
READ_S = 2.0


def still_of(notice: Notice, *, wait_s: float) -> bytes | None:
    """The strip of stills as JPEG; None where there is none, or it cannot be had in time.

    It comes a second or so after the notice, and so is waited for until the notice is `wait_s` old: a backlog of many
    does not wait for each. Never raises, and returns within `wait_s` and READ_S: an object store that is away may take
    far longer to say so, on a thread that is left to itself.
    """
    found: list[bytes] = []
    reader = threading.Thread(target=_seek, args=(notice, wait_s, found), name="still", daemon=True)
    if notice.incident.evidence:
        reader.start()
        reader.join(wait_s + READ_S)
    return found[0] if found else None


def _seek(notice: Notice, wait_s: float, found: list[bytes]) -> None:
    while True:
        data = _read(notice.incident.evidence)
        if data is not None:
            if len(data) <= MOST_BYTES:
                found.append(data)
            return
        age_s = (datetime.now(UTC) - notice.noticed_utc).total_seconds()
        if not 0 <= age_s < wait_s:
            return
        time.sleep(ASK_EVERY_S)


def _read(address: str) -> bytes | None:
    try:
        if urlsplit(address).scheme in ("http", "https"):
            return _from_web(f"{address}/{NAME}")
        return _from_store(address)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, VqaError):
        return None


def _from_web(url: str) -> bytes | None:
    with requests.get(url, timeout=READ_S, allow_redirects=False, stream=True) as answer:
        data: bytes = answer.raw.read(MOST_BYTES + 1, decode_content=True)
        return data if answer.status_code == 200 else None


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
