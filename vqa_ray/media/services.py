"""What a programme map announces beside picture and sound (ISO/IEC 13818-1, ETSI EN 300 468, SCTE 35, ATSC A/65)."""

from collections.abc import Iterator

SCTE35 = "scte35"
TEXT = "text_subtitles"  # tracks of files
TELETEXT = "teletext_subtitles"
DVB = "dvb_subtitles"
CEA = "cea_captions"  # 608 and 708, in the user data of the picture
ARIB = "arib_captions"

SPLICE_TYPE = 0x86
REGISTRATION, TELETEXT_TAG, SUBTITLING, CAPTION_SERVICE, DATA_COMPONENT = 0x05, 0x56, 0x59, 0x86, 0xFD
SUBTITLE_PAGES = (2, 5)  # teletext types: subtitles, subtitles for the hard of hearing


def services_of(section: bytes) -> frozenset[str]:
    """Names of what the map section announces."""
    found: set[str] = set()
    for kind, _, about in streams_of(section):
        if kind == SPLICE_TYPE:
            found.add(SCTE35)
        found |= {name for tag, body in _descriptors(about) if (name := _service(tag, body))}
    return frozenset(found)


def streams_of(section: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, PID and descriptors of each stream of a map section."""
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        length = (section[at + 3] & 0x0F) << 8 | section[at + 4]
        yield section[at], (section[at + 1] & 0x1F) << 8 | section[at + 2], section[at + 5 : at + 5 + length]
        at += 5 + length


def _descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(data):
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def _service(tag: int, body: bytes) -> str:
    """The service that a descriptor of a stream stands for, "" if none."""
    if tag == TELETEXT_TAG:
        pages = (body[n + 3] >> 3 for n in range(0, len(body) - 4, 5))
        return TELETEXT if any(page in SUBTITLE_PAGES for page in pages) else ""
    if tag == SUBTITLING:
        return DVB
    if tag == CAPTION_SERVICE:
        return CEA if body and body[0] & 0x1F else ""
    if tag == DATA_COMPONENT:
        return ARIB if body[:2] in (b"\x00\x08", b"\x00\x12") else ""
    return ""
