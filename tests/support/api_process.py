"""The HTTP server as a process of its own, to be killed, and a client that is fast enough to crowd it."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support import leaks, quick_services
from tests.support.processes import free_environment
from tests.support.quick_services import Service
from tests.support.waiting import wait_until
from wireroom.ports import free_port


@dataclass(frozen=True)
class Answer:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Line:
    """One keep-alive connection that sends JSON and reads JSON; ``async with`` hangs up at the end."""

    def __init__(self, port: int, token: str, dial: Callable[[], socket.socket] | None = None) -> None:
        """To ``port`` of this machine, unless ``dial`` gives connections to a server elsewhere."""
        self._port = port
        self._token = token
        self._dial = dial
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        """The answer to a POST; raises OSError or EOFError where there is none."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()  # the server has hung up meanwhile, as it does where nothing is asked for a while
        if self._streams is None:
            where = {"sock": self._dial()} if self._dial else {"host": "127.0.0.1", "port": self._port}
            self._streams = await asyncio.open_connection(**where)
        reader, writer = self._streams
        content = json.dumps(body).encode()
        given = {
            "Host": "127.0.0.1",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        answered = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        said = await reader.readexactly(int(answered.get("content-length", "0")))
        return Answer(int(first.split()[1]), answered, json.loads(said))

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class ApiProcess:
    """``python -m api_shim.app`` on ``port``."""

    def __init__(self, port: int, process: Service) -> None:
        self.port = port
        self.process = process

    async def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        await self.ended(None)

    async def ended(self, timeout: float | None = 60) -> int:
        """Its exit code, once it has ended; raises subprocess.TimeoutExpired."""
        return await asyncio.to_thread(self.process.wait, timeout)


@asynccontextmanager
async def api_process(
    folder: Path, database_url: str, redis_url: str, port: int = 0, **settings: str
) -> AsyncIterator[ApiProcess]:
    """A server that answers, killed at the end of the block; ``port`` 0: any that is free."""
    port = port or free_port()
    environment = free_environment() | {
        "WIREROOM_DATA_DIR": str(folder),
        "WIREROOM_DATABASE_URL": database_url,
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_SECRET_KEY": "Vn5sCq0mY3fXo7Jt1LbR9wKzEuDh2GpA4iTyS6xNkQc=",
        "WIREROOM_BIND": f"127.0.0.1:{port}",
        "WIREROOM_SMTP_URL": "smtp+plain://127.0.0.1:25",
        "WIREROOM_EMAIL_FROM": "Wireroom <noreply@example.org>",
        **settings,
    }
    path = folder / f"api-{port}.log"
    with path.open("ab+") as log:  # until the end: the folder may be gone by then
        process = await asyncio.to_thread(quick_services.start, ("api_shim.app",), environment, log.fileno())
        running = ApiProcess(port, process)
        try:
            await wait_until(lambda: _answers(running), timeout=60, interval=0.05)
            yield running
        finally:
            await running.kill()
            log.seek(0)
            said = log.read().decode(errors="replace")
            leaks.see(path.name, said)
            sys.stdout.write(f"--- {path.name}\n{said[-4000:]}\n")


async def _answers(running: ApiProcess) -> bool:
    assert running.process.poll() is None, "the server ended"
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    except OSError:
        return False
    writer.close()
    return True
