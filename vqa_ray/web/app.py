"""The aiohttp application: routes, who may use them, and how errors are told."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, NoReturn, TypeVar

import msgspec
from aiohttp import web

from vqa_ray.core.advice import advice
from vqa_ray.core.notice import Incident
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.detectors.registry import by_id
from vqa_ray.errors import ClusterError, VqaError
from vqa_ray.web.access import Limit, Role, Tokens
from vqa_ray.web.curves import Curve
from vqa_ray.web.desk import Desk, around
from vqa_ray.web.feed import Feed, fleet_of, row
from vqa_ray.web.openapi import described
from vqa_ray.web.said import NewMute, Said, shown

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Body = TypeVar("Body")

COOKIE = "vqa_token"
ROLE = web.RequestKey("role", Role)
REQUESTS_A_SECOND, BURST = 20.0, 200.0  # of one caller: a wall's thumbnails come all at once
TRIES_A_SECOND, TRIES = 0.5, 20.0  # of one address to give a token
MOST_BODY = 16 << 10
LONGEST = timedelta(days=32)  # span of one question
ALIKE_S = 10.0  # the same fault on other streams begins within this
PAGE = files("vqa_ray.web") / "page"
KINDS = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
    "json": "application/json",
    "mp4": "video/mp4",
    "ts": "video/mp2t",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
OPEN = {"/login", "/healthz", "/assets/style.css", "/assets/login.js"}


class Api:
    """The handlers of one application."""

    def __init__(self, desk: Desk, tokens: Tokens, *, look_s: float = 1.0) -> None:
        self._desk = desk
        self._tokens = tokens
        self._feed = Feed(desk, look_s=look_s)
        self._limit = Limit(REQUESTS_A_SECOND, BURST)
        self._tries = Limit(TRIES_A_SECOND, TRIES)

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BODY)
        get, post, delete = app.router.add_get, app.router.add_post, app.router.add_delete
        get("/healthz", self.alive)
        get("/login", self.login_page)
        post("/login", self.login)
        post("/logout", self.logout)
        get("/assets/{name:.+}", self.asset)
        get("/api/v1/openapi.json", self.openapi)
        get("/api/v1/me", self.me)
        get("/api/v1/events", self.events)
        get("/api/v1/fleet", self.fleet)
        get("/api/v1/streams", self.streams)
        get("/api/v1/streams/{stream}", self.stream)
        get("/api/v1/streams/{stream}/about", self.about)
        get("/api/v1/streams/{stream}/still", self.still)
        get("/api/v1/streams/{stream}/timeline", self.timeline)
        get("/api/v1/incidents", self.incidents)
        get("/api/v1/incidents/{incident}", self.incident)
        post("/api/v1/incidents/{incident}/remarks", self.say)
        delete("/api/v1/incidents/{incident}/remarks/{kind}", self.retract)
        get("/api/v1/incidents/{incident}/evidence/{name}", self.evidence)
        get("/api/v1/mutes", self.mutes)
        post("/api/v1/mutes", self.mute)
        delete("/api/v1/mutes/{mute}", self.unmute)
        for path in ("/", "/incidents", "/incidents/{incident}", "/streams/{stream}", "/fleet", "/mutes"):
            get(path, self.page)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self._feed.close()

    # ---- who may

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as error:
            response = error
        except ClusterError as error:
            response = _refusal(503, str(error))
        except VqaError as error:
            response = _refusal(502, str(error))
        if not response.prepared:
            response.headers.update(HEADERS)
            if request.path.startswith("/api/"):
                response.headers.setdefault("Cache-Control", "no-store")
        if isinstance(response, web.HTTPException):
            raise response
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = request.cookies.get(COOKIE)
        role = self._tokens.role(bearer or cookie)
        if role is None:
            if (bearer or cookie) and (wait_s := self._tries.wait_s(_caller(request))):
                return _too_often(wait_s)  # who gives no token guesses none
            if request.path.startswith("/api/") or request.method != "GET":
                return _refusal(401, "give a token: `Authorization: Bearer TOKEN`")
            raise web.HTTPSeeOther("/login")
        if wait_s := self._limit.wait_s(bearer or cookie or ""):
            return _too_often(wait_s)
        if request.method not in ("GET", "HEAD"):
            if role < Role.OPERATOR and request.path != "/logout":
                return _refusal(403, "a viewer may look, and change nothing")
            if not bearer and not _same_site(request):
                return _refusal(403, "asked by another site's page")
        request[ROLE] = role
        return await handler(request)

    async def alive(self, _: web.Request) -> web.Response:
        """For probes: this process answers. Says nothing of the fleet."""
        return web.json_response({"alive": True})

    async def login_page(self, _: web.Request) -> web.Response:
        """The form for a token."""
        return _file("login.html")

    async def login(self, request: web.Request) -> web.Response:
        """A token for a cookie."""
        if wait_s := self._tries.wait_s(_caller(request)):
            return _too_often(wait_s)
        token = str((await request.post()).get("token", "")).strip()
        if self._tokens.role(token) is None or not _same_site(request):
            return _file("login.html", status=401)
        response = web.HTTPSeeOther("/")
        secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            COOKIE, token, httponly=True, samesite="Strict", secure=secure, max_age=30 * 24 * 3600, path="/"
        )
        return response

    async def logout(self, _: web.Request) -> web.Response:
        """The cookie is taken back."""
        response = web.HTTPSeeOther("/login")
        response.del_cookie(COOKIE, path="/")
        return response

    async def me(self, request: web.Request) -> web.Response:
        """What the caller may do."""
        return _json({"role": request[ROLE].name.lower()})

    async def openapi(self, _: web.Request) -> web.Response:
        """The description of this API."""
        return _json(described())

    # ---- the page

    async def page(self, _: web.Request) -> web.Response:
        """The one page; what it shows is in the address."""
        return _file("index.html")

    async def asset(self, request: web.Request) -> web.Response:
        """Its parts."""
        return _file(request.match_info["name"])

    # ---- what is

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What changes, as it changes."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            | HEADERS
        )
        await response.prepare(request)
        try:
            async for text in self._feed.listen():
                await response.write(text.encode())
        except ConnectionResetError:
            pass  # the page was closed
        return response

    async def fleet(self, _: web.Request) -> web.Response:
        """Analyzers and counts."""
        return _json(fleet_of(await self._ask(self._desk.status)))

    async def streams(self, request: web.Request) -> web.Response:
        """All streams; `state=`, `label=name:value` and `q=` (part of the id) choose among them."""
        found = (await self._ask(self._desk.status)).streams
        state, text = request.query.get("state"), request.query.get("q", "").lower()
        labels = [label.partition(":")[::2] for label in request.query.getall("label", [])]
        return _json(
            [
                row(one)
                for one in found
                if state in (None, one.state)
                and text in one.stream_id.lower()
                and all(one.labels.get(name) == value for name, value in labels)
            ]
        )

    async def stream(self, request: web.Request) -> web.Response:
        """One stream, its source, and its latest incidents."""
        stream_id = request.match_info["stream"]
        found = {one.stream_id: one for one in (await self._ask(self._desk.status)).streams}.get(stream_id)
        if found is None:
            _missing("no stream has this id")
        latest = await self._ask(self._desk.incidents)
        url = await self._ask(self._desk.source, stream_id)
        stays = await self._ask(self._desk.stays, stream_id)
        incidents = [one for one in latest if one.stream_id == stream_id][:50]
        return _json({"stream": row(found), "source": url, "incidents": incidents, "stays": stays})

    async def about(self, request: web.Request) -> web.Response:
        """What its analyzer knows of the source: container, codecs, size, rates, layout, GOP."""
        return _json(await self._ask(self._desk.about, request.match_info["stream"]))

    async def still(self, request: web.Request) -> web.Response:
        """The newest small picture, JPEG."""
        data = await self._ask(self._desk.still, request.match_info["stream"])
        if data is None:
            _missing("there is no picture of it now")
        return web.Response(body=data, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=2"})

    async def timeline(self, request: web.Request) -> web.Response:
        """Incidents and curves of a span: `since=`, `until=` (ISO 8601; the default is the last day), `detector=`."""
        stream_id = request.match_info["stream"]
        until = _moment(request, "until") or datetime.now(UTC)
        since = _moment(request, "since") or until - timedelta(days=1)
        if not timedelta(0) < until - since <= LONGEST:
            _wrong(f"since, until: give a span of at most {LONGEST.days} days")
        detector = request.query.get("detector")
        incidents, found = await asyncio.gather(
            self._ask(self._desk.history, stream_id, since, until),
            self._ask(self._desk.curves, stream_id, since, until, detector),
        )
        return _json({"since": since, "until": until, "incidents": incidents, "curves": found})

    async def incidents(self, request: web.Request) -> web.Response:
        """The latest incidents, newest start first; `open=1`, `stream=`, `detector=`, `limit=` choose among them."""
        query = request.query
        limit = query.get("limit", "200")
        if not limit.isdigit() or not 0 < int(limit) <= 1000:
            _wrong("limit: give a number from 1 to 1000")
        found = [
            one
            for one in await self._ask(self._desk.incidents)
            if (query.get("open") != "1" or one.open)
            and query.get("stream", one.stream_id) == one.stream_id
            and query.get("detector", one.detector) == one.detector
        ]
        return _json(found[: int(limit)])

    async def incident(self, request: web.Request) -> web.Response:
        """One incident with what was said of it, its values over time, its evidence, and the same on other streams."""
        one = await self._incident(request)
        since, until = around(one)
        remarks, latest, found, names = await asyncio.gather(
            self._ask(self._desk.remarks),
            self._ask(self._desk.incidents),
            self._ask(self._desk.curves, one.stream_id, since, until, None),
            self._ask(self._desk.evidence, one),
        )
        return _json(
            {
                "incident": one,
                "remarks": [said for said in remarks if said.incident_id == one.incident_id],
                "alike": alike(one, latest),
                "beside": beside(one, latest),
                "curves": [curve for curve in found if (curve.detector, curve.part) == (one.detector, one.part)],
                "suppressed": suppressed(one, found),
                "advice": advice(one.detector),
                "evidence": names,
            }
        )

    async def evidence(self, request: web.Request) -> web.Response:
        """A still, a clip or the record of an incident; ranges are served, so that players can seek."""
        one, name = await self._incident(request), request.match_info["name"]
        data = await self._ask(self._desk.evidence_file, one, name)
        if data is None:
            _missing("no such evidence is kept (any more)")
        kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
        return _ranged(request, data, kind)

    # ---- what people say

    async def say(self, request: web.Request) -> web.Response:
        """Acknowledges, or marks as a false alarm."""
        said = await _body(request, Said)
        remark = Remark(
            incident_id=request.match_info["incident"],
            kind=said.kind,
            by=said.by,
            note=said.note,
            at_utc=datetime.now(UTC),
        )
        if not await self._ask(self._desk.remark, remark):
            _missing("no incident has this id")
        return _json(remark, status=201)

    async def retract(self, request: web.Request) -> web.Response:
        """Takes a remark back."""
        kind = request.match_info["kind"]
        if kind not in set(RemarkKind):
            _missing("no such kind of remark")
        await self._ask(self._desk.retract, request.match_info["incident"], RemarkKind(kind))
        return web.Response(status=204)

    async def mutes(self, _: web.Request) -> web.Response:
        """The mutes that last, and the fleet's windows."""
        return _json(shown(await self._ask(self._desk.quiet)))

    async def mute(self, request: web.Request) -> web.Response:
        """Tells nobody of what it fits, for so many minutes."""
        made = (await _body(request, NewMute)).mute(datetime.now(UTC))
        await self._ask(self._desk.mute, made)
        return _json(made, status=201)

    async def unmute(self, request: web.Request) -> web.Response:
        """Ends a mute."""
        if not await self._ask(self._desk.unmute, request.match_info["mute"]):
            _missing("no mute that lasts has this id")
        return web.Response(status=204)

    async def _incident(self, request: web.Request) -> Incident:
        one: Incident | None = await self._ask(self._desk.incident, request.match_info["incident"])
        if one is None:
            _missing("no incident has this id")
        return one

    @staticmethod
    async def _ask(method: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(method, *arguments)


def alike(one: Incident, latest: list[Incident]) -> list[Incident]:
    """The same fault on other streams at the same time."""
    return [
        other
        for other in latest
        if other.detector == one.detector
        and other.stream_id != one.stream_id
        and abs((other.start_utc - one.start_utc).total_seconds()) <= ALIKE_S
    ]


def suppressed(one: Incident, found: list[Curve]) -> list[str]:
    """Detectors that said bad while it lasted, and are hidden by it: what it is the cause of."""
    since_s, until = one.start_utc.timestamp(), one.end_utc or datetime.now(UTC)
    return [
        curve.detector
        for curve in found
        if (spec := by_id.get(curve.detector)) is not None
        and one.detector in spec.hidden_by
        and any(bad > 0 and since_s <= t < until.timestamp() for t, bad in zip(curve.t, curve.bad, strict=True))
    ]


def beside(one: Incident, latest: list[Incident]) -> list[Incident]:
    """What else was wrong with the stream while it lasted."""
    now = datetime.now(UTC)
    until = one.end_utc or now
    return [
        other
        for other in latest
        if other.stream_id == one.stream_id
        and other.incident_id != one.incident_id
        and other.start_utc <= until
        and (other.end_utc or now) >= one.start_utc
    ]


async def _body(request: web.Request, kind: type[Body]) -> Body:
    """The JSON that was sent; an answer that names what is wrong with it, where it is not of that kind."""
    if request.content_type != "application/json":
        _refuse(web.HTTPUnsupportedMediaType, "give application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.ValidationError as error:
        _refuse(web.HTTPBadRequest, str(error))
    except msgspec.DecodeError as error:
        _refuse(web.HTTPBadRequest, f"no JSON: {error}")


def _json(data: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), content_type="application/json", status=status)


def _refusal(status: int, why: str) -> web.Response:
    return _json({"error": why}, status=status)


def _too_often(wait_s: int) -> web.Response:
    response = _refusal(429, "too many requests")
    response.headers["Retry-After"] = str(wait_s)
    return response


def _refuse(kind: type[web.HTTPError], why: str) -> NoReturn:
    raise kind(text=msgspec.json.encode({"error": why}).decode(), content_type="application/json")


def _missing(why: str) -> NoReturn:
    _refuse(web.HTTPNotFound, why)


def _wrong(why: str) -> NoReturn:
    _refuse(web.HTTPBadRequest, why)


def _moment(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _wrong(f"{name}: {text!r} is no time; give it as 2026-11-22T03:00:00Z")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _caller(request: web.Request) -> str:
    return request.remote or ""


def _same_site(request: web.Request) -> bool:
    """Whether a page of our own asks. Browsers name who asks; what is no browser does not, and sends no cookie."""
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host


def _file(name: str, *, status: int = 200) -> web.Response:
    if not re.fullmatch(r"(vendor/)?[a-z][a-z0-9-]*\.(html|js|css|svg)", name):
        _missing("no such file")
    place = PAGE / name
    if not place.is_file():
        _missing("no such file")
    response = web.Response(
        body=place.read_bytes(), content_type=KINDS[name.rpartition(".")[2]], charset="utf-8", status=status
    )
    response.headers["Cache-Control"] = "no-cache"
    return response


def _ranged(request: web.Request, data: bytes, kind: str) -> web.Response:
    """The whole, or the one range that was asked for (RFC 9110, 14)."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=60"}
    try:
        asked = request.http_range
    except ValueError:
        asked = slice(None)
    if asked.start is None and asked.stop is None:
        return web.Response(body=data, content_type=kind, headers=headers)
    start, stop, _ = asked.indices(len(data))
    if start >= stop:
        return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return web.Response(body=data[start:stop], status=206, content_type=kind, headers=headers)
