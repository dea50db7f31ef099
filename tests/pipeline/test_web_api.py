"""The API over real HTTP: who may do what, what it says, and what it never says."""

import json
import re
import time
from collections.abc import Iterator

import pytest
import requests

from tests.desk import PaperDesk, incident, stream
from vqa_ray.cli.main import COMMANDS
from vqa_ray.core.quiet import Window
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.web.access import Limit, Role, Tokens
from vqa_ray.web.app import suppressed
from vqa_ray.web.curves import Curve
from vqa_ray.web.openapi import ROUTES, described
from vqa_ray.web.server import Served

OPERATOR, VIEWER = "an-operator-of-the-channel", "somebody-who-only-looks"
TOKENS = Tokens([(Role.OPERATOR, OPERATOR), (Role.VIEWER, VIEWER)])
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def desk() -> PaperDesk:
    streams = [stream("one", labels={"region": "north"}), stream("two", state="stalled"), stream(EVIL)]
    found = [
        incident(1, "one"),
        incident(2, "two"),
        incident(3, "one", "silence", severity=Severity.MINOR),
        incident(4, "two", "freeze", end_s=12.0),
    ]
    return PaperDesk(streams, found)


@pytest.fixture
def served(desk: PaperDesk) -> Iterator[Served]:
    server = Served(desk, "127.0.0.1", 0, TOKENS, look_s=0.1)
    yield server
    server.stop()


def get(served: Served, path: str, token: str | None = VIEWER, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(
        served.url.rstrip("/") + path,
        headers=headers | options.pop("headers", {}),
        timeout=10,
        allow_redirects=False,
        **options,
    )


def post(served: Served, path: str, token: str | None = OPERATOR, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(
        served.url.rstrip("/") + path,
        headers=headers | options.pop("headers", {}),
        timeout=10,
        allow_redirects=False,
        **options,
    )


SAY = "/api/v1/incidents/0000000000000001/remarks"
WORD = {"kind": "acknowledged", "by": "Ada", "note": "on it"}


@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_without_a_token_there_is_nothing(served, token):
    for _, path, _, _, _ in ROUTES:
        url = path.replace("{stream}", "one").replace("{incident}", "0000000000000001").replace("{name}", "start.jpg")
        answer = get(served, url, token)
        assert answer.status_code in (401, 429)
        assert "one" not in answer.text or answer.json().keys() == {"error"}
    for page in ("/", "/incidents", "/streams/one", "/assets/app.js"):
        answer = get(served, page, token)
        assert answer.status_code in (303, 429)
        assert answer.text.find("vqa_ray") == -1
    assert post(served, SAY, token, json=WORD).status_code in (401, 429)


def test_what_changes_something_is_for_operators_whichever_route_it_is(served, desk):
    changing = [(method, path) for method, path, _, _, _ in ROUTES if method != "get"]
    assert len(changing) >= 4
    for method, path in changing:
        url = served.url.rstrip("/") + re.sub(r"{\w+}", "0000000000000001", path)
        for token, status in ((None, 401), (VIEWER, 403)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = requests.request(method, url, headers=headers, json=WORD, timeout=10)
            assert answer.status_code == status, (method, path)
    assert (desk.said, desk.muted) == ({}, [])


def test_guessing_tokens_is_slowed_down(served):
    answers = [get(served, "/api/v1/fleet", f"guess-{n}").status_code for n in range(30)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert get(served, "/api/v1/fleet").status_code == 200


def test_a_viewer_may_look_and_change_nothing(served, desk):
    assert get(served, "/api/v1/me").json() == {"role": "viewer"}
    assert post(served, SAY, VIEWER, json=WORD).status_code == 403
    url = f"{served.url}api/v1/incidents/0000000000000001/remarks/acknowledged"
    assert requests.delete(url, headers={"Authorization": f"Bearer {VIEWER}"}, timeout=10).status_code == 403
    assert desk.said == {}


def test_an_operator_acknowledges_and_takes_it_back(served, desk):
    said = post(served, SAY, json=WORD)
    assert (said.status_code, said.json()["by"]) == (201, "Ada")
    assert get(served, "/api/v1/incidents/0000000000000001").json()["remarks"][0]["note"] == "on it"
    url = f"{served.url}api/v1/incidents/0000000000000001/remarks/acknowledged"
    assert requests.delete(url, headers={"Authorization": f"Bearer {OPERATOR}"}, timeout=10).status_code == 204
    assert desk.said == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "nonsense", "by": "Ada"}, "nonsense"),
        ({"kind": "acknowledged"}, "by"),
        ({"kind": "acknowledged", "by": ""}, "by"),
        ({"kind": "acknowledged", "by": "A", "x": 1}, "x"),
        ([], "object"),
    ],
)
def test_a_wrong_body_is_told_with_its_place(served, body, words):
    answer = post(served, SAY, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_an_operator_mutes_for_a_while_and_ends_it(served, desk):
    body = {"streams": ["one"], "detectors": ["black"], "minutes": 30, "by": "Ada", "note": "rack move"}
    assert post(served, "/api/v1/mutes", VIEWER, json=body).status_code == 403
    assert desk.muted == []
    made = post(served, "/api/v1/mutes", json=body)
    assert made.status_code == 201
    desk.windows = (Window(name="night", cron="0 3 * * *", minutes=30),)
    listed = get(served, "/api/v1/mutes").json()
    assert [one["mute_id"] for one in listed["mutes"]] == [made.json()["mute_id"]]
    assert listed["mutes"][0]["by"] == "Ada"
    assert {"name", "until_utc", "next_utc"} <= listed["windows"][0].keys()
    path = f"{served.url}api/v1/mutes/{made.json()['mute_id']}"
    assert requests.delete(path, headers={"Authorization": f"Bearer {VIEWER}"}, timeout=10).status_code == 403
    operator = {"Authorization": f"Bearer {OPERATOR}"}
    assert [requests.delete(path, headers=operator, timeout=10).status_code for _ in range(2)] == [204, 404]
    assert desk.muted == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"streams": []}, "give at least one"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": 1e9}, "minutes"),
        ({"by": ""}, "by"),
        ({"until": "tomorrow"}, "until"),
    ],
)
def test_a_wrong_mute_is_told_with_its_place(served, desk, change, words):
    answer = post(served, "/api/v1/mutes", json={"streams": ["one"], "minutes": 30, "by": "Ada"} | change)
    assert (answer.status_code, words in answer.json()["error"], desk.muted) == (400, True, [])


def test_what_is_not_there_is_404_and_a_large_body_413(served):
    for path in ("streams/none", "streams/none/still", "incidents/none", "incidents/0000000000000001/evidence/x.jpg"):
        assert get(served, f"/api/v1/{path}").status_code == 404
    assert post(served, SAY.replace("1/", "9/"), json=WORD).status_code == 404
    assert post(served, SAY, data=b"{" * 100_000, headers={"Content-Type": "application/json"}).status_code == 413
    assert post(served, SAY, data=b"kind=acknowledged").status_code == 415


def cookie(served: Served, token: str, **headers: str) -> requests.Session:
    session = requests.Session()
    session.post(f"{served.url}login", data={"token": token}, headers=headers, timeout=10, allow_redirects=False)
    return session


def test_a_browser_gets_a_cookie_that_scripts_and_other_sites_cannot_use(served):
    answer = requests.post(f"{served.url}login", data={"token": OPERATOR}, timeout=10, allow_redirects=False)
    assert answer.status_code == 303
    told = answer.headers["Set-Cookie"]
    assert "HttpOnly" in told
    assert "SameSite=Strict" in told
    session = cookie(served, OPERATOR)
    assert session.get(f"{served.url}api/v1/me", timeout=10).json() == {"role": "operator"}
    assert session.get(served.url, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_another_sites_page_can_change_nothing_with_the_cookie(served, desk, headers):
    session = cookie(served, OPERATOR)
    answer = session.post(served.url.rstrip("/") + SAY, json=WORD, headers=headers, timeout=10)
    assert answer.status_code == 403
    assert desk.said == {}
    own = {"Origin": served.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert session.post(served.url.rstrip("/") + SAY, json=WORD, headers=own, timeout=10).status_code == 201


def test_many_questions_of_one_caller_are_refused_with_when_to_come_back(served):
    answers = [get(served, "/api/v1/me") for _ in range(260)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert get(served, "/api/v1/me", OPERATOR).status_code == 200


def test_the_limit_lets_the_burst_through_and_then_the_rate():
    now = [0.0]
    limit = Limit(2.0, 3.0, now_s=lambda: now[0])
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 1]
    now[0] = 0.5
    assert [limit.wait_s("a") for _ in range(2)] == [0, 1]
    assert limit.wait_s("b") == 0


def test_streams_and_incidents_can_be_chosen(served):
    ids = lambda query: [one["stream_id"] for one in get(served, f"/api/v1/streams{query}").json()]  # noqa: E731
    assert ids("?state=stalled") == ["two"]
    assert ids("?label=region:north") == ["one"]
    assert ids("?q=TW") == ["two"]
    incidents = lambda query: {one["incident_id"][-1] for one in get(served, f"/api/v1/incidents{query}").json()}  # noqa: E731
    assert incidents("") == {"1", "2", "3", "4"}
    assert incidents("?open=1") == {"1", "2", "3"}
    assert incidents("?stream=one&detector=silence") == {"3"}
    assert get(served, "/api/v1/incidents?limit=zero").status_code == 400


def test_an_incident_shows_the_same_on_other_streams_and_what_else_was_wrong(served):
    one = get(served, "/api/v1/incidents/0000000000000001").json()
    assert [other["stream_id"] for other in one["alike"]] == ["two"]
    assert [other["detector"] for other in one["beside"]] == ["silence"]


def test_an_incident_says_what_to_try_and_what_it_hides(served, desk):
    told = get(served, "/api/v1/incidents/0000000000000001").json()
    assert "playout" in told["advice"]
    black, now_s = desk.found["0000000000000001"], time.time()

    def curve(detector: str, bad: float, ago_s: float = 10.0) -> Curve:
        one = [0.5]
        return Curve(
            detector=detector, part="", t=[now_s - ago_s], low=one, mean=one, high=one, bad=[bad], coverage=one
        )

    found = [curve("freeze", 0.2), curve("silence", 1.0), curve("black", 1.0), curve("bars", 0.0)]
    assert suppressed(black, found) == ["freeze"]
    assert suppressed(black, [curve("freeze", 0.2, ago_s=60.0)]) == []


def test_a_timeline_wants_a_span_that_can_be_read(served):
    assert len(get(served, "/api/v1/streams/one/timeline").json()["incidents"]) == 2
    for query in ("since=yesterday", "since=2020-01-01T00:00:00Z", "since=2026-01-02&until=2026-01-01"):
        answer = get(served, f"/api/v1/streams/one/timeline?{query}")
        assert answer.status_code == 400
        assert "error" in answer.json()


def test_evidence_is_served_in_ranges_and_nothing_beside_it(served, desk):
    desk.files = {"start.mp4": bytes(range(100)), "start.jpg": b"jpeg"}
    path = "/api/v1/incidents/0000000000000001/evidence"
    whole = get(served, f"{path}/start.mp4")
    assert (whole.status_code, whole.headers["Content-Type"], len(whole.content)) == (200, "video/mp4", 100)
    part = get(served, f"{path}/start.mp4", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["Content-Range"] == "bytes 10-19/100"
    assert get(served, f"{path}/start.mp4", headers={"Range": "bytes=200-"}).status_code == 416
    for name in ("..%2F..%2Fetc%2Fpasswd", "%2e%2e%2fcontrol.sqlite", "..", "....//x", "start.jpg%00"):
        assert get(served, f"{path}/{name}").status_code in (400, 404)


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "vendor/../../app.py", "%2fetc%2fpasswd", "APP.JS"])
def test_no_file_but_the_pages_own_is_served(served, name):
    request = requests.Request("GET", f"{served.url}assets/{name}", headers={"Authorization": f"Bearer {VIEWER}"})
    prepared = request.prepare()
    prepared.url = f"{served.url}assets/{name}"  # as it is, not normalised
    with requests.Session() as session:
        assert session.send(prepared, timeout=10).status_code in (400, 404)


def test_answers_carry_what_browsers_need_to_be_careful(served):
    answer = get(served, "/")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert get(served, "/api/v1/streams").headers["Cache-Control"] == "no-store"


def events(served: Served, count: int) -> Iterator[tuple[str, dict]]:
    with get(served, "/api/v1/events", stream=True) as answer:
        name = ""
        for line in answer.iter_lines(decode_unicode=True, chunk_size=1):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))
                count -= 1
                if not count:
                    return


def test_events_bring_everything_once_and_then_what_changed(served, desk):
    stream_of = events(served, 4)
    name, everything = next(stream_of)
    assert (name, len(everything["streams"]), len(everything["incidents"])) == ("all", 3, 4)
    new = incident(9, "one", "freeze")
    desk.found[new.incident_id] = new
    name, change = next(stream_of)
    while "incidents" not in change:
        name, change = next(stream_of)
    assert name == "changed"
    assert [one["incident_id"] for one in change["incidents"]] == [new.incident_id]
    assert "streams" not in change


def test_a_fleet_that_does_not_answer_is_told_and_its_return_too(served, desk):
    stream_of = events(served, 50)
    assert next(stream_of)[0] == "all"
    desk.away = True
    assert next(one for one in stream_of if one[0] == "away")[1] == {"reason": "the supervisor does not answer"}
    assert get(served, "/api/v1/fleet").status_code == 503
    desk.away = False
    desk.streams = [stream("three")]
    change = next(one for one in stream_of if one[0] == "changed")[1]
    assert [one["stream_id"] for one in change["streams"]] == ["three"]
    assert set(change["gone"]) == {"one", "two", EVIL}


def test_the_description_names_every_route_and_its_records(served):
    document = get(served, "/api/v1/openapi.json").json()
    assert document == json.loads(json.dumps(described()))
    assert document["openapi"].startswith("3.1")
    assert {"StreamStatus", "Incident", "Remark"} <= document["components"]["schemas"].keys()
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


def test_probes_need_no_token_and_are_told_nothing(served):
    assert get(served, "/healthz", None).json() == {"alive": True}


def test_others_cannot_reach_it_unless_tokens_are_given(desk):
    with pytest.raises(ConfigError, match="--tokens"):
        Served(desk, "0.0.0.0", 0, None)
    served = Served(desk, "127.0.0.1", 0, None)
    try:
        assert get(served, "/api/v1/me", served.token).json() == {"role": "operator"}
        with pytest.raises(ConfigError, match="in use"):
            Served(desk, "127.0.0.1", int(served.url.rsplit(":", 1)[1].rstrip("/")), None)
    finally:
        began_s = time.monotonic()
        served.stop()
        assert time.monotonic() - began_s < 5.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("operator", "line 1"),
        ("# fine\nboss 0123456789abcdef", "line 2"),
        ("viewer short", "16 characters"),
        ("# nothing", "no token"),
    ],
)
def test_a_wrong_file_of_tokens_is_told_with_its_line(tmp_path, text, words):
    file = tmp_path / "tokens"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=words):
        Tokens.read(file)


def test_a_file_of_tokens_is_for_its_owner_only(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"operator {OPERATOR}\n\nviewer {VIEWER}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="anybody"):
        Tokens.read(file)
    file.chmod(0o600)
    assert Tokens.read(file).role(OPERATOR) is Role.OPERATOR
    assert Tokens.read(file).role(VIEWER) is Role.VIEWER


def test_the_command_is_there():
    assert "web" in COMMANDS
