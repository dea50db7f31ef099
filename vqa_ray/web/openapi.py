"""The description of the API (OpenAPI 3.1), with schemas made from the records themselves."""

from importlib.metadata import version
from typing import Any

import msgspec

from vqa_ray.cluster.messages import AnalyzerStatus, StreamStatus
from vqa_ray.core.notice import Incident
from vqa_ray.core.quiet import Mute
from vqa_ray.core.remark import Remark
from vqa_ray.web.curves import Curve
from vqa_ray.web.said import NewMute, Said

RECORDS = (StreamStatus, AnalyzerStatus, Incident, Remark, Mute, Curve)
BODIES: dict[str, type[msgspec.Struct]] = {"/api/v1/incidents/{incident}/remarks": Said, "/api/v1/mutes": NewMute}
_STREAM = ("stream", "path", "The stream's id.")
_INCIDENT = ("incident", "path", "The incident's id.")

# method, path, summary, parameters (name, where, meaning), what a good answer holds
ROUTES: tuple[tuple[str, str, str, tuple[tuple[str, str, str], ...], str | None], ...] = (
    ("get", "/api/v1/me", "The role of the token.", (), None),
    ("get", "/api/v1/fleet", "Counts and analyzers.", (), None),
    ("get", "/api/v1/events", "What changes, as server-sent events `all`, `changed`, `away`.", (), None),
    (
        "get",
        "/api/v1/streams",
        "All streams, or those of a state, with a label, with a text in their id.",
        (
            ("state", "query", "As in StreamStatus."),
            ("label", "query", "name:value; may be repeated."),
            ("q", "query", "Part of the id."),
        ),
        "StreamStatus[]",
    ),
    ("get", "/api/v1/streams/{stream}", "A stream, its source, its latest incidents.", (_STREAM,), None),
    (
        "get",
        "/api/v1/streams/{stream}/about",
        "Its source: container, codecs, size, rates, layout, GOP.",
        (_STREAM,),
        None,
    ),
    ("get", "/api/v1/streams/{stream}/still", "Its newest small picture, JPEG.", (_STREAM,), None),
    (
        "get",
        "/api/v1/streams/{stream}/timeline",
        "Incidents and curves of a span of at most 32 days.",
        (
            _STREAM,
            ("since", "query", "ISO 8601; default: a day before `until`."),
            ("until", "query", "ISO 8601; default: now."),
            ("detector", "query", "Curves of this one only."),
        ),
        None,
    ),
    (
        "get",
        "/api/v1/incidents",
        "The latest incidents, newest start first.",
        (
            ("open", "query", "1: only those that last."),
            ("stream", "query", "Of this stream."),
            ("detector", "query", "Of this detector."),
            ("limit", "query", "At most so many, up to 1000; default 200."),
        ),
        "Incident[]",
    ),
    (
        "get",
        "/api/v1/incidents/{incident}",
        "An incident, what was said of it, its values, its evidence, the same on other streams.",
        (_INCIDENT,),
        None,
    ),
    (
        "post",
        "/api/v1/incidents/{incident}/remarks",
        "Acknowledge it, or mark it as a false alarm (operator).",
        (_INCIDENT,),
        "Remark",
    ),
    (
        "delete",
        "/api/v1/incidents/{incident}/remarks/{kind}",
        "Take a remark back (operator).",
        (_INCIDENT, ("kind", "path", "acknowledged or false_alarm.")),
        None,
    ),
    (
        "get",
        "/api/v1/incidents/{incident}/evidence/{name}",
        "A file that proves it: JPEG, MP4, MPEG-TS or JSON; ranges are served.",
        (_INCIDENT, ("name", "path", "As listed in the incident.")),
        None,
    ),
    ("get", "/api/v1/mutes", "What is told to nobody: mutes that last, and the fleet's windows.", (), None),
    ("post", "/api/v1/mutes", "Mute streams, labels or detectors for some minutes (operator).", (), "Mute"),
    ("delete", "/api/v1/mutes/{mute}", "End a mute (operator).", (("mute", "path", "The mute's id."),), None),
)


def described() -> dict[str, Any]:
    """The document."""
    _, schemas = msgspec.json.schema_components(
        (*RECORDS, *BODIES.values()), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, parameters, answer in ROUTES:
        told: dict[str, Any] = {"summary": summary, "responses": _responses(answer)}
        if parameters:
            told["parameters"] = [
                {"name": name, "in": where, "description": meaning, "schema": {"type": "string"}}
                | ({"required": True} if where == "path" else {})
                for name, where, meaning in parameters
            ]
        if method == "post":
            body = {"$ref": f"#/components/schemas/{BODIES[path].__name__}"}
            told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        paths.setdefault(path, {})[method] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "vqa_ray", "version": version("vqa-ray")},
        "paths": paths,
        "security": [{"token": []}],
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _responses(answer: str | None) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "It."}
    if answer is not None:
        one = {"$ref": f"#/components/schemas/{answer.removesuffix('[]')}"}
        schema = {"type": "array", "items": one} if answer.endswith("[]") else one
        good["content"] = {"application/json": {"schema": schema}}
    refused = {"401": "No token.", "403": "Not with this role.", "429": "Too many requests.", "503": "No supervisor."}
    return {"200": good} | {status: {"description": words} for status, words in refused.items()}
