"""API, worker and keeper as processes, on a data directory and a key of their own, to be stopped and begun again."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx

from tests.support import quick_services
from tests.support.house import KEEPER, WORKER
from tests.support.no_tls import NO_TLS
from tests.support.processes import free_environment, stop
from tests.support.waiting import wait_until
from wireroom.ports import free_port


class Installation:
    """``folder``: the one that it is run in. ``environment``: what its processes and commands are told."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        bind = f"127.0.0.1:{free_port()}"
        self.url = f"http://{bind}"
        own = {"WIREROOM_BIND": bind, "WIREROOM_PUBLIC_URL": self.url, "WIREROOM_DATA_DIR": str(folder / "var")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**free_environment(), "PATH": path, "no_proxy": "127.0.0.1", **own, **settings}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """All of it at work, until the end of the block, which asks each process to end; a client of it."""
        with (self.folder / "house.log").open("ab") as log:
            commands = (("api_shim.app",), WORKER, KEEPER)
            started = [
                await asyncio.to_thread(quick_services.start, each, self.environment, log.fileno()) for each in commands
            ]
        try:
            async with httpx.AsyncClient(base_url=self.url, trust_env=False, verify=NO_TLS, timeout=30) as client:
                await wait_until(lambda: _is_ready(client))
                yield client
        finally:
            for process in started:
                await asyncio.to_thread(stop, process)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).is_success
    except httpx.TransportError:
        return False
