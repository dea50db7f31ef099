"""The page as an actor of the cluster: it lives with the fleet, on Ray's head, and Ray starts it anew if it dies."""

import os
from pathlib import Path

from vqa_ray.cluster import process
from vqa_ray.cluster.client import Fleet
from vqa_ray.errors import ConfigError, VqaError
from vqa_ray.web.access import Role, Tokens
from vqa_ray.web.desk import FleetDesk
from vqa_ray.web.server import Served


class PageActor:
    """Made by `Fleet.serve`. token: of an operator; tokens: path of a file on the head, instead."""

    def __init__(self, host: str, port: int, token: str | None, tokens: str | None) -> None:
        process.log_to_stderr("page")
        self._served: Served | None = None
        self._why = ""
        try:
            known = Tokens.read(Path(tokens)) if tokens else Tokens([(Role.OPERATOR, token or "")])
            self._served = Served(FleetDesk(Fleet.connect()), host, port, known)
        except VqaError as error:
            self._why = str(error)

    def __repr__(self) -> str:
        return "Page()"

    async def url(self) -> str:
        """Where it is, as seen from the head; ConfigError if it cannot be served."""
        if self._served is None:
            raise ConfigError(self._why)
        return self._served.url

    async def pid(self) -> int:
        """Of this process."""
        return os.getpid()
