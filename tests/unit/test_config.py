"""Fleet files: what is read, what is refused and in which words, and what a stream's profile becomes."""

import pickle
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from vqa_ray import config
from vqa_ray.config import LIVE, QC, FleetSpec, Profile, StreamSpec, load_fleet, parse_fleet, profile_for, spread
from vqa_ray.core.reading import Severity
from vqa_ray.core.spreading import Spreading
from vqa_ray.detectors.registry import SPECS
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.secret import dec_hook, enc_hook

EXAMPLE = Path(__file__).parents[2] / "fleet.example.yaml"

STREAM = "streams:\n- id: cam\n  url: udp://239.0.0.1:5000\n"
NAME = "text, at most 100 characters, letters, digits and . _ - after a letter or a digit"
REFUSED = {
    "streams: [{id: a b, url: udp://h:1}]": f"f.yaml:1: streams[0].id: 'a b' is refused: give {NAME}",
    "streams: [{id: 7, url: udp://h:1}]": f"f.yaml:1: streams[0].id: 7 is refused: give {NAME} (in quotes)",
    "streams:\n- id: cam\n": "f.yaml:2: streams[0].url: is missing: give text, not empty",
    "streams: [{id: a, url: udp://h:1}, {id: a, url: udp://h:2}]": (
        "f.yaml:1: streams[1].id: 'a' is the id of streams[0] already"
    ),
    STREAM + "  detectors:\n    blak: {}\n": (
        "f.yaml:5: streams[0].detectors.blak: there is no such name; did you mean 'black'?"
    ),
    STREAM + "  detectors:\n    black:\n      raise_after_s: 2 s\n": (
        "f.yaml:6: streams[0].detectors.black.raise_after_s: '2 s' is refused: give a number from 0 to 86400"
    ),
    STREAM + "  detectors:\n    black:\n      raise_after_s: -1\n": (
        "f.yaml:6: streams[0].detectors.black.raise_after_s: -1 is refused: give a number from 0 to 86400"
    ),
    STREAM + "  detectors:\n    black: {severity: majr}\n": (
        "f.yaml:5: streams[0].detectors.black.severity: 'majr' is refused:"
        " give one of info, minor, major, critical; did you mean 'major'?"
    ),
    STREAM + "  detectors: {black: sometimes}\n": (
        "f.yaml:4: streams[0].detectors.black: 'sometimes' is refused: give on or off or a section of `name: value`"
    ),
    STREAM + "  priority: 1.5\n": "f.yaml:4: streams[0].priority: 1.5 is refused: give a whole number from -100 to 100",
    STREAM + "  labels: {a: b, channel: 1}\n": (
        "f.yaml:4: streams[0].labels.channel: 1 is refused: give text (in quotes)"
    ),
    STREAM + "  profile: liv\n": "f.yaml:4: streams[0].profile: there is no profile 'liv'; did you mean 'live'?",
    STREAM + "  source: {open_timeout_s: 0}\n": (
        "f.yaml:4: streams[0].source.open_timeout_s: 0 is refused: give a number above 0 to 600"
    ),
    STREAM + "  source: {protocols: [udp, file]}\n": (
        "f.yaml:4: streams[0].source.protocols: a live profile never opens 'file'; extend `qc` instead"
    ),
    STREAM + "  source: {protocols: [http]}\n": (
        "f.yaml:3: streams[0].url: udp://239.0.0.1:5000: the profile does not allow udp (but http)"
    ),
    "streams: [{id: a, url: /media/a.ts, profile: live}]": (
        "f.yaml:1: streams[0].url: profile 'live' opens no local file; take `qc` or one that extends it"
    ),
    "streams: [{id: a, url: '${CAMERA}'}]": (
        "f.yaml:1: streams[0].url: write the scheme out; only what follows it may come from the environment"
    ),
    "profiles:\n  a: {extends: b}\n  b: {extends: a}\n": "f.yaml:3: profiles.b.extends: goes in a circle: a → b → a",
    "profiles:\n  fine: {}\n  mine: {extends: lvie}\n": (
        "f.yaml:3: profiles.mine.extends: there is no profile 'lvie'; did you mean 'live'?"
    ),
    "profiles:\n  fine: {}\n  mine:\n    detectors: {black: {pixel_level: 3}}\n": (
        "f.yaml:4: profiles.mine.detectors.black.pixel_level: 3 is refused: give a number from 0 to 1"
    ),
    "profiles: {live: {}}": (
        "f.yaml:1: profiles.live: the name is taken by a shipped profile; choose another and extend it"
    ),
    "channels: [{type: webhok, url: 'http://h'}]": (
        "f.yaml:1: channels[0].type: 'webhok' is refused: give one of jsonl, webhook, alertmanager, slack, teams,"
        " email, pagerduty, sns, syslog, kafka, apprise;"
        " did you mean 'webhook'?"
    ),
    "channels: [{url: 'http://h'}]": (
        "f.yaml:1: channels[0].type: is missing: give one of jsonl, webhook, alertmanager, slack, teams, email,"
        " pagerduty, sns, syslog, kafka, apprise"
    ),
    "channels: [{type: jsonl, url: 'http://h'}]": (
        "f.yaml:1: channels[0].url: there is no such name; there are: min_severity, name, page_url, path"
    ),
    "channels: [{type: jsonl}, {type: jsonl}]": (
        "f.yaml:1: channels[1].name: 'jsonl' is the name of channels[0] already"
    ),
    "stream: []": "f.yaml:1: stream: there is no such name; did you mean 'streams'?",
    "- id: cam": "f.yaml:1: a list is refused: give a section of `name: value`",
    "streams: {}": "f.yaml:1: streams: a section is refused: give a list",
    "streams: []\nstreams: []": "f.yaml:2:1: is no YAML: 'streams' stands there twice",
    "streams: [": "f.yaml:2:1: is no YAML: did not find expected node content",
    "? [a]\n: b": "f.yaml:1:3: is no YAML: a name must be plain text",
    "!!python/object:os.system {}": (
        "f.yaml:1:1: is no YAML: could not determine a constructor for the tag"
        " 'tag:yaml.org,2002:python/object:os.system'"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_wrong_is_refused_with_line_path_value_and_what_is_allowed(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_fleet(text, name="f.yaml")
    assert str(caught.value) == message


def test_a_refused_secret_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        parse_fleet("channels: [{type: webhook, url: 'http://h', secret: 12345}]")
    assert "12345" not in str(caught.value)
    assert "channels[0].secret" in str(caught.value)


def test_a_password_in_a_refused_url_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        parse_fleet("streams: [{id: a, url: 'srt://user:hunter2@host:1'}]")
    assert "hunter2" not in str(caught.value)
    assert "srt-live-transmit" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [("missing.yaml", "No such file or directory"), (".", "Is a directory")],
    ids=["missing", "folder"],
)
def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path, path, words):
    with pytest.raises(ConfigError, match=words):
        load_fleet(tmp_path / path)


def test_a_file_that_is_no_text_is_a_config_error(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_fleet(path)


def test_an_empty_file_is_an_empty_fleet():
    assert parse_fleet("") == FleetSpec()


def test_the_example_is_fine_and_valid_by_the_schema():
    assert [stream.id for stream in load_fleet(EXAMPLE).streams] == ["news-hd", "sport-multicast", "studio-2", "radio"]
    jsonschema.validate(yaml.load(EXAMPLE.read_text(), config._Loader), config.json_schema())


@pytest.mark.parametrize(
    "text",
    [
        "streams: [{id: a b, url: u}]",
        "streams: [{id: a}]",
        "streams: [{id: a, url: u, detectors: {blak: {}}}]",
        "streams: [{id: a, url: u, detectors: {black: {raise_after_s: -1}}}]",
        "channels: [{type: pager}]",
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(text):
    with pytest.raises(ConfigError):
        parse_fleet(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), config.json_schema())


def test_environment_variables_stay_unresolved(monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    fleet = parse_fleet("streams: [{id: a, url: 'rtsp://u:${SECRET}@h/'}]")
    assert fleet.streams[0].url == "rtsp://u:${SECRET}@h/"


def test_a_fleet_travels_by_json_and_by_pickle():
    fleet = load_fleet(EXAMPLE)
    packed = msgspec.json.encode(fleet, enc_hook=enc_hook)
    assert msgspec.json.decode(packed, type=FleetSpec, dec_hook=dec_hook) == fleet
    assert pickle.loads(pickle.dumps(fleet)) == fleet


def test_a_profile_travels_by_json_and_by_pickle():
    profile = profile_for(load_fleet(EXAMPLE), load_fleet(EXAMPLE).streams[2])
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_a_live_input_takes_live_and_a_file_takes_qc():
    fleet = parse_fleet("streams: [{id: a, url: udp://h:1}, {id: b, url: /media/b.ts}]")
    assert [profile_for(fleet, stream) for stream in fleet.streams] == [LIVE, QC]


def test_the_fleets_own_default_profile_holds_for_streams_that_name_none():
    fleet = parse_fleet(
        "profile: calm\nprofiles: {calm: {detectors: {black: {raise_after_s: 9}}}}\n"
        "streams: [{id: a, url: udp://h:1}, {id: b, url: udp://h:2, profile: live}]"
    )
    names = [profile_for(fleet, stream).name for stream in fleet.streams]
    assert names == ["calm", "live"]


def test_profiles_extend_each_other_and_the_stream_has_the_last_word():
    fleet = parse_fleet(
        "profiles:\n"
        "  house:\n    detectors: {black: {raise_after_s: 5, severity: minor}}\n    source: {open_timeout_s: 3}\n"
        "  calm: {extends: house, detectors: {black: {raise_after_s: 7}, freeze: off}}\n"
        "streams: [{id: a, url: udp://h:1, profile: calm, detectors: {black: {clear_after_s: 4}}}]"
    )
    profile = profile_for(fleet, fleet.streams[0])
    black = profile.detectors.black
    assert (black.raise_after_s, black.clear_after_s, black.severity) == (7, 4, Severity.MINOR)
    assert profile.detectors.freeze is None
    assert profile.source.open_timeout_s == 3
    assert profile.source.read_timeout_s == LIVE.source.read_timeout_s


@pytest.mark.parametrize("word", ["off", "false", "null", "no", "~", ""])
def test_off_switches_a_detector_off(word):
    fleet = parse_fleet(f"streams:\n- id: a\n  url: udp://h:1\n  detectors:\n    black: {word}\n")
    assert profile_for(fleet, fleet.streams[0]).detectors.black is None


def test_on_switches_a_detector_on_and_null_is_a_name_among_keys():
    fleet = parse_fleet("streams: [{id: a, url: udp://h:1, detectors: {null: on, black: on}}]")
    profile = profile_for(fleet, fleet.streams[0])
    assert profile.detectors.null is not None
    assert profile.detectors.black == LIVE.detectors.black


def test_a_fleet_made_by_a_program_is_checked_as_strictly():
    changes = config.DetectorChanges(black=config.BlackSpecChanges(raise_after_s=-1))
    fleet = FleetSpec(streams=(StreamSpec(id="a", url="udp://h:1", detectors=changes),))
    with pytest.raises(ConfigError, match=r"^streams\[0\].detectors.black.raise_after_s: -1(\.0)? is refused"):
        config.check_fleet(fleet)


def test_specs_are_those_that_are_on_in_the_order_of_the_registry():
    order = [spec.id for spec in SPECS]
    ids = [spec.id for spec in LIVE.specs]
    assert "null" not in ids
    assert ids == [one for one in order if one in ids]


def test_only_keeps_the_profiles_options_and_switches_on_what_was_off():
    profile = QC.only(("null", "black"))
    assert [spec.id for spec in profile.specs] == ["null", "black"]
    assert profile.detectors.black == QC.detectors.black


def test_only_refuses_an_unknown_detector():
    with pytest.raises(ConfigError, match="'blak': there is no such name; did you mean 'black'"):
        QC.only(("blak",))


def test_how_streams_are_spread_is_changed_only_where_the_fleet_says_so():
    options = Spreading(analyzers_min=2, analyzers_max=9)
    changed = spread(parse_fleet("cluster: {policy: pack, shrink_after_s: null}"), options)
    assert changed == Spreading(policy="pack", analyzers_min=2, analyzers_max=9, shrink_after_s=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cluster: {policy: scatter}", "cluster.policy"),
        ("cluster: {target: 1.5}", "cluster.target"),
        ("cluster: {analyzers_min: 3, analyzers_max: 2}", "analyzers_min, 3, is more than analyzers_max, 2"),
    ],
)
def test_a_wrong_section_cluster_is_refused_with_its_path(text: str, words: str):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_fleet(text)


def test_channels_link_to_the_fleets_page_unless_they_name_another():
    fleet = parse_fleet(
        "page_url: https://vqa.example.com\n"
        "channels:\n"
        "  - {type: jsonl}\n"
        "  - {type: slack, url: 'https://h/x', page_url: 'https://inside.example.com', min_severity: major}\n"
    )
    assert [one.page_url for one in fleet.outlets] == ["https://vqa.example.com", "https://inside.example.com"]
    assert fleet.channels[0].page_url is None
    assert fleet.outlets[1].min_severity is Severity.MAJOR


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("{type: email, host: h, sender: nobody, to: [a@b]}", "sender"),
        ("{type: email, host: h, sender: a@b, to: []}", "to"),
        ("{type: email, host: h, sender: a@b, to: [a@b], user: u}", "user and password go together"),
        ("{type: email, host: h, sender: a@b, to: [a@b], user: u, password: p, security: none}", "in the clear"),
        ("{type: sns, topic_arn: 'arn:aws:sqs:eu:1:x'}", "topic_arn"),
        ("{type: syslog, transport: smoke}", "transport"),
        ("{type: kafka, servers: 'kafka', topic: t}", "servers"),
        ("{type: kafka, servers: 'k:9092', topic: t, user: u, password: p}", "sasl_tls"),
        ("{type: pagerduty}", "routing_key"),
        ("{type: slack, url: 'https://h/x', min_severity: loud}", "min_severity"),
        ("{type: slack, url: 'https://h/x', page_url: 'vqa.example.com'}", "page_url"),
    ],
)
def test_channels_that_cannot_work_are_refused(channel, why):
    with pytest.raises(ConfigError, match=why):
        parse_fleet(f"channels: [{channel}]")
