"""The command ``wireroom`` as a child process, as a person runs it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from models.settings import StorageSettings
from tests.support import leaks, quick_starts
from tests.support.no_tls import NO_TLS
from tests.support.processes import free_environment, quick_root
from tests.support.waiting import wait_until
from wireroom import accounts
from wireroom.ports import free_port

WIREROOM = str(Path(sys.executable).with_name("wireroom"))


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


async def wireroom(*arguments: str, given: str = "", **settings: str) -> Answer:
    """Run a command to its end with these WIREROOM_* settings and none besides."""
    return await _run(arguments, settings, given, None)


async def interrupted(until: Callable[[str], object], *arguments: str, **settings: str) -> Answer:
    """Run a command, and press Ctrl-C as soon as ``until`` is true of what it has printed."""
    return await _run(arguments, settings, "", until)


async def _run(
    arguments: tuple[str, ...], settings: Mapping[str, str], given: str, until: Callable[[str], object] | None
) -> Answer:
    with tempfile.TemporaryDirectory(prefix="wr-", dir=quick_root()) as name:
        files = quick_starts.Files(*(Path(name) / each for each in ("given", "out", "err")))
        files.given.write_text(given)
        process = await asyncio.to_thread(quick_starts.start, arguments, free_environment() | dict(settings), files)
        if until is not None:
            await wait_until(lambda: files.out.exists() and until(files.out.read_text()), timeout=30)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGINT)
        await asyncio.to_thread(process.join)
        code = process.exitcode or 0
        process.close()
        return Answer(code, files.out.read_text(), files.err.read_text())


async def module(name: str, *arguments: str) -> tuple[int, str]:
    """Run a module of ours to its end: its exit code, and what it wrote on standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", name, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=free_environment(),
    )
    _, err = await process.communicate()
    leaks.see(f"the log of {name}", err.decode())
    return process.returncode or 0, err.decode()


@contextlib.asynccontextmanager
async def started(log: Path, /, **settings: str) -> AsyncIterator[Path]:
    """``wireroom up`` as a person sees it, ready or not; what it prints goes to the file given. It must end well."""
    output = log.with_suffix(".out")
    with log.open("wb") as logged, output.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(WIREROOM, "up"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=logged,
            env=free_environment() | settings,
        )
    try:
        yield output
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 60)
        leaks.read(log)
    assert code == 0


class Up:
    """A running ``wireroom up``."""

    def __init__(self, process: asyncio.subprocess.Process, settings: Mapping[str, str], where: dict[str, Any]) -> None:
        self.process = process
        self.settings = dict(settings)
        self.where = where
        self.url = str(where["url"])

    def children(self) -> list[psutil.Process]:
        """Every process below it that runs now."""
        return [child for child in psutil.Process(self.process.pid).children(recursive=True) if lives(child)]

    def named(self, word: str) -> list[psutil.Process]:
        """The processes below it with ``word`` in their command line."""
        return [child for child in self.children() if word in " ".join(command_of(child))]

    async def ready(self) -> bool:
        """Whether the API answers that it is ready."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            try:
                return (await client.get(f"{self.url}/health/ready")).is_success
            except httpx.HTTPError:
                return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, wait for its end; its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


def command_of(process: psutil.Process) -> list[str]:
    """The command line, empty once the process is gone."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def lives(process: psutil.Process) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.asynccontextmanager
async def running(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Up]:
    """``wireroom up --json`` on ``folder`` and a free port, until the block ends; its log is ``folder``.log."""
    environment = {"WIREROOM_DATA_DIR": str(folder), "WIREROOM_BIND": f"127.0.0.1:{free_port()}"} | settings
    with folder.with_suffix(".log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            WIREROOM,
            "up",
            "--json",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=free_environment() | environment,
        )
    try:
        assert process.stdout is not None
        first = await asyncio.wait_for(process.stdout.readline(), 60)
        if not first:
            raise RuntimeError(folder.with_suffix(".log").read_text(errors="replace")[-4000:])
        up = Up(process, environment, json.loads(first))
        yield up
    finally:
        left = psutil.Process(process.pid).children(recursive=True) if process.returncode is None else []
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 40)
        for child in left:
            if lives(child):
                os.kill(child.pid, signal.SIGKILL)
        leaks.read(folder.with_suffix(".log"))


async def workspace_and_token(up: Up) -> tuple[str, str]:
    """A fresh workspace's id and a token of it, made by the commands."""
    workspace = (await wireroom("workspace", "create", "acme", **up.settings)).out.strip()
    token = (await wireroom("token", "create", "--workspace", "acme", **up.settings)).out.strip()
    return workspace, token


async def tenant_of(up: Up) -> tuple[str, str]:
    """The same, made without the commands: loading each of them takes a second."""
    url = StorageSettings.read(up.settings).database_url
    workspace = await accounts.create_workspace(url, "acme")
    _, token = await accounts.create_token(url, "acme", scopes=accounts.DEFAULT_SCOPES, expires_at=None)
    return workspace, token


async def until_ready(up: Up) -> None:
    """Return once the API is ready."""
    await wait_until(up.ready, timeout=30)
