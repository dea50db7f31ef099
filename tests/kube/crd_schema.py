"""Strict JSON Schemas of KubeRay's kinds, made from its CRDs: a field that the CRD does not know is wrong."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def folder() -> Path | None:
    """Where the CRDs are: VQA_KUBERAY_CRDS, or `shared/kuberay` beside the checkout; None if nowhere."""
    named = os.environ.get("VQA_KUBERAY_CRDS")
    found = Path(named) if named else Path(__file__).parents[3] / "shared" / "kuberay"
    return found if named or found.is_dir() else None


def errors(manifest: dict[str, Any], crds: Path) -> list[str]:
    """Where the object is not as its CRD says."""
    validator = jsonschema.Draft202012Validator(_schema(manifest["kind"], manifest["apiVersion"], crds))
    return [f"{'.'.join(map(str, one.absolute_path))}: {one.message[:200]}" for one in validator.iter_errors(manifest)]


@cache
def _schema(kind: str, api_version: str, crds: Path) -> dict[str, Any]:
    group, _, version = api_version.partition("/")
    definition = yaml.load((crds / f"{group}_{kind.lower()}s.yaml").read_text(), _Loader)
    schema = next(v["schema"] for v in definition["spec"]["versions"] if v["name"] == version)["openAPIV3Schema"]
    strict: dict[str, Any] = _strict(schema)
    strict["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return strict


def _strict(node: Any) -> Any:
    """The same, closed: no further properties, numbers or texts for int-or-string, defaults are not required."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items() if not key.startswith("x-kubernetes")}
    if node.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    properties = node.get("properties")
    if isinstance(properties, dict) and node.get("type") == "object":
        if not node.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
        made["required"] = [name for name in node.get("required", []) if "default" not in properties.get(name, {})]
    return made
