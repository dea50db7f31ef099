"""URLs: schemes, variables, and what is never shown."""

import pytest

from vqa_ray.core.urls import is_live, redact, resolve, scheme
from vqa_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/media/a.ts", "file"),
        ("a.mp4", "file"),
        ("./x:y.ts", "file"),
        ("file:///media/a.ts", "file"),
        ("HTTP://host/a", "http"),
        ("udp://@239.1.1.1:5000", "udp"),
        ("concat:a|b", "concat"),
        ("subfile,,start,0,end,9,,:/etc/passwd", "file"),
        ("crypto+file:/etc/passwd", "crypto+file"),
        ("C:\\clips\\a.ts", "file"),
    ],
)
def test_the_scheme_is_what_stands_before_the_colon_and_a_path_is_a_file(url, name):
    assert scheme(url) == name


def test_everything_but_a_file_is_live():
    assert not is_live("a.ts")
    assert is_live("rtmp://h/a/b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://ann:s3cret@cam/1", "rtsp://ann:***@cam/1"),
        ("rtsp://ann@cam/1", "rtsp://ann@cam/1"),
        ("http://:s3cret@h/x", "http://:***@h/x"),
        ("http://h/x.m3u8?token=s3cret&bitrate=5", "http://h/x.m3u8?token=***&bitrate=5"),
        ("http://h/x?a=1&X-Amz-Signature=s3cret", "http://h/x?a=1&X-Amz-Signature=***"),
        ("https://h/x?hdnts=exp=1~acl=/*~hmac=s3cret", "https://h/x?hdnts=***"),
        ("https://h/x?my_api_key=s3cret#t", "https://h/x?my_api_key=***#t"),
        ("srt://h:9?passphrase=s3cret&latency=200", "srt://h:9?passphrase=***&latency=200"),
        ("rtmp://h/live/s3cret-stream-key", "rtmp://h/live/s3***"),
        ("no http://u:s3cret@h/a: 401, rtmp://h/app/s3cret-key-2", "no http://u:***@h/a: 401, rtmp://h/app/s3***"),
        ("http://h/${TOKEN}/x", "http://h/${TOKEN}/x"),
        ("nothing to hide", "nothing to hide"),
    ],
)  # fmt: skip
def test_secrets_are_hidden_in_urls_and_in_messages_that_hold_them(text, shown):
    assert redact(text) == shown
    assert redact(redact(text)) == shown


def test_variables_are_resolved_from_the_environment():
    assert resolve("http://u:${PW}@h/${X}", {"PW": "a", "X": "b"}) == "http://u:a@h/b"


def test_a_variable_that_is_not_set_is_named_and_the_rest_stays_hidden():
    with pytest.raises(ConfigError, match="NOPE") as caught:
        resolve("http://u:s3cret@h/?key=${NOPE}", {})
    assert "s3cret" not in str(caught.value)
