"""Serves the application: in this process until it ends (`vqa web`), or on a thread beside `vqa run --web`."""

import asyncio
import ipaddress
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from vqa_ray.errors import ConfigError
from vqa_ray.web.access import Role, Tokens, new_token
from vqa_ray.web.app import Api
from vqa_ray.web.desk import Desk

STOP_S = 2.0
ASKING = 32  # threads that wait for the fleet or its store


class Served:
    """A server on a thread of its own. url: where; token: made for this run, None if tokens were given."""

    def __init__(self, desk: Desk, host: str, port: int, tokens: Tokens | None, *, look_s: float = 1.0) -> None:
        """Listens when this returns. ConfigError: the address cannot be had, or is open to others without tokens."""
        if tokens is None and not is_here(host):
            raise ConfigError(f"--host {host}: others can reach it; give --tokens FILE")
        self.token = None if tokens is not None else new_token()
        known = tokens or Tokens([(Role.OPERATOR, self.token or "")])
        self._api = Api(desk, known, look_s=look_s)
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise ConfigError(f"{host}:{port}: {self._failed.strerror or self._failed}")

    @property
    def url(self) -> str:
        """The page's address."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    def wait(self) -> None:
        """Until it is stopped, or Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Ends it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_S + 3.0)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve(self._ready.set))
        self._loop.close()

    async def _serve(self, ready: Callable[[], None]) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(ASKING, thread_name_prefix="web-ask"))
        runner = web.AppRunner(self._api.app(), access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self._port = runner.addresses[0][1]
            ready()
            await self._stop.wait()
        except OSError as error:
            self._failed = error
        finally:
            await runner.cleanup()
            ready()


def is_here(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
