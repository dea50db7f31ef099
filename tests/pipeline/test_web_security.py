"""Who may do what at every route: they come from the application's router, so that a new one is tested too."""

from collections.abc import Iterator

import pytest
import requests

from tests.desk import PaperDesk, incident, stream
from vqa_ray.web.access import Role, Tokens
from vqa_ray.web.app import COOKIE, Api
from vqa_ray.web.openapi import described
from vqa_ray.web.server import Served

OPERATOR, VIEWER = "an-operator-of-the-channel", "somebody-who-only-looks"
TOKENS = Tokens([(Role.OPERATOR, OPERATOR), (Role.VIEWER, VIEWER)])
STREAM, PICTURE = "the-channel-itself", b"\xff\xd8\xffpicture"
PARTS = {
    "stream": STREAM,
    "incident": "0000000000000001",
    "name": "start.jpg",
    "kind": "acknowledged",
    "mute": "0000000000000001",
}
WITHOUT_TOKEN = {("GET", "/healthz"), ("HEAD", "/healthz"), ("GET", "/login"), ("HEAD", "/login"), ("POST", "/login")}
LOOKING = ("GET", "HEAD")
ANOTHER_SITE = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}]


def paper() -> PaperDesk:
    desk = PaperDesk([stream(STREAM)], [incident(1, STREAM)])
    desk.jpeg = PICTURE
    desk.files = {"start.jpg": PICTURE}
    return desk


ROUTES = sorted(
    (route.method, route.resource.canonical)
    for route in Api(paper(), TOKENS).app().router.routes()
    if route.resource is not None
)
CHANGING = [route for route in ROUTES if route[0] not in LOOKING and route not in WITHOUT_TOKEN]


@pytest.fixture
def desk() -> PaperDesk:
    return paper()


@pytest.fixture
def served(desk: PaperDesk) -> Iterator[Served]:
    server = Served(desk, "127.0.0.1", 0, TOKENS, look_s=0.1)
    yield server
    server.stop()


def ask(served: Served, method: str, path: str, **options) -> requests.Response:
    url = served.url.rstrip("/") + path.replace("/assets/{name}", "/assets/app.js").format(**PARTS)
    return requests.request(method, url, timeout=10, allow_redirects=False, **options)


def unchanged(desk: PaperDesk) -> bool:
    return (desk.said, desk.muted) == ({}, [])


def test_the_router_was_read():
    assert len(ROUTES) > 30
    assert ("POST", "/api/v1/incidents/{incident}/remarks") in CHANGING
    assert set(ROUTES) >= WITHOUT_TOKEN


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route not in WITHOUT_TOKEN])
def test_without_a_good_token_no_route_says_or_does_anything(served, desk, method, path):
    wrong: list[dict] = [
        {},
        {"headers": {"Authorization": "Bearer guess"}},
        {"headers": {"Authorization": "Bearer "}},
        {"cookies": {COOKIE: "guess"}},
        {"params": {"token": OPERATOR}},  # an address is written into logs: a token in it is none
    ]
    for given in wrong:
        answer = ask(served, method, path, json={}, **given)
        assert (answer.status_code, answer.headers.get("Location")) in ((401, None), (303, "/login")), given
        assert STREAM not in answer.text, given
        assert PICTURE not in answer.content, given
        assert COOKIE not in answer.cookies, given
    assert unchanged(desk)


@pytest.mark.parametrize(("method", "path"), [route for route in CHANGING if route[1] != "/logout"])
def test_a_viewer_changes_nothing_at_any_route(served, desk, method, path):
    for given in ({"headers": {"Authorization": f"Bearer {VIEWER}"}}, {"cookies": {COOKIE: VIEWER}}):
        assert ask(served, method, path, json={}, **given).status_code == 403
    assert unchanged(desk)


@pytest.mark.parametrize("headers", ANOTHER_SITE)
@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_another_sites_page_changes_nothing_at_any_route(served, desk, method, path, headers):
    assert ask(served, method, path, headers=headers, cookies={COOKIE: OPERATOR}, json={}).status_code == 403
    assert unchanged(desk)


@pytest.mark.parametrize("headers", ANOTHER_SITE)
def test_another_sites_page_cannot_put_a_token_of_its_own_into_the_browser(served, headers):
    answer = ask(served, "POST", "/login", headers=headers, data={"token": OPERATOR})
    assert (answer.status_code, COOKIE in answer.cookies) == (401, False)


def test_the_description_has_each_route_of_the_api_and_no_other():
    told = {(method.upper(), path) for path, methods in described()["paths"].items() for method in methods}
    there = {route for route in ROUTES if route[1].startswith("/api/") and route[0] != "HEAD"}
    assert there - {("GET", "/api/v1/openapi.json")} == told
