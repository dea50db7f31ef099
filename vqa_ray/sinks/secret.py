"""Text that is never printed: passwords, tokens and signing keys in the sections of channels."""

import os
import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from vqa_ray.core.urls import HIDDEN, resolve
from vqa_ray.errors import ConfigError

MASK = HIDDEN

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SecretText:
    """Holds text, or the name of an environment variable as `${NAME}`, and prints as `***`.

    The variable is read where the text is used, by `reveal()`, so what travels and is stored is only its name.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; raises ConfigError when it names an environment variable that is not set."""
        for name in _VARIABLE.findall(self._text):
            if name not in os.environ:
                raise ConfigError(f"a secret stands in the environment variable {name}, which is not set")
        return resolve(self._text)

    def as_written(self) -> str:
        """The text with its `${NAME}` unresolved: for the checkpoint and nothing else."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of the secrets; those of up to three characters would hide everything."""
    for secret in sorted((one for one in secrets if len(one) > 3), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


Secret = Annotated[
    SecretText,
    msgspec.Meta(
        description="Text, or ${NAME} for an environment variable; never printed.",
        extra_json_schema={"type": "string", "writeOnly": True},
    ),
]


def dec_hook(kind: type, value: Any) -> Any:
    """For `msgspec.convert(..., dec_hook=dec_hook)`: text becomes a secret."""
    if kind is not SecretText:
        raise NotImplementedError(f"no way to read {kind.__name__}")
    if isinstance(value, SecretText):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("a secret is text that is not empty, or ${NAME}")
    return SecretText(value)


def enc_hook(value: Any) -> Any:
    """For `msgspec.json.encode(..., enc_hook=enc_hook)`, where specs are stored: secrets as they were written."""
    if isinstance(value, SecretText):
        return value.as_written()
    raise NotImplementedError(f"no way to write {type(value).__name__}")
