"""The machines of ``docs/many-machines.md``, each in a network of its own, set up with what that page says and no more.

Its fenced blocks are used as they stand: addresses, passwords and all. What systemd does there is done here by
``wireroom up``'s supervisor, with the command lines of ``Procfile``.
"""

import asyncio
import contextlib
import pwd
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bench.postgres_wheel import USER, Cluster
from models import migrate
from models.session import Database
from tests.faults import house_log
from tests.support import procfile
from tests.support.network import Network
from tests.support.waiting import wait_until
from wireroom.embedded import find_server
from wireroom.settings import fresh_environment
from wireroom.supervisor import Service, Supervisor

PAGE: Final = Path(__file__).parents[2] / "docs" / "many-machines.md"
API_PORT: Final = 8080
_DRAIN_S: Final = 35.0
_START_S: Final = 90.0
_ROW: Final = re.compile(r"^\| `(\w+)` \| (10\.[\d.]+) \| (.*?) \|$", re.MULTILINE)


def addresses() -> dict[str, str]:
    """The page's machines and theirs."""
    return {name: address for name, address, _ in _ROW.findall(PAGE.read_text())}


def blocks() -> dict[str, str]:
    """The page's fenced blocks by what their first line says they are; that line is a comment."""
    fenced = re.findall(r"^```\w*\n(?:#|--) (.*?)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return dict(fenced)


def settings(title: str) -> dict[str, str]:
    """A file of lines ``NAME=value``; what follows two spaces and ``#`` is a comment."""
    lines = (line.partition("  #")[0].strip() for line in blocks()[title].splitlines())
    return {name: value for name, _, value in (line.partition("=") for line in lines if line and line[0] != "#")}


@dataclass(frozen=True)
class Site:
    """The machines, on which everything runs. ``database``: the way in for who looks on, beside the network."""

    network: Network
    supervisor: Supervisor
    database_url: str
    database: Database


@contextlib.asynccontextmanager
async def running(
    network: Network, folder: Path, services: Mapping[str, Sequence[str]], *, durable: bool
) -> AsyncIterator[Site]:
    """Database and broker, then on each machine those processes of ``Procfile``, until the block ends.

    ``folder`` is short, and all users may enter it. ``durable``: whether a commit waits for the disk.
    """
    environment = fresh_environment(settings("/etc/wireroom.env"))
    with (folder / house_log.NAME).open("ab") as log:
        supervisor = Supervisor(environment, log)
        await supervisor.open()
        try:
            url = await _start_database(network, folder, supervisor, durable=durable)
            await _start_broker(network, folder, supervisor)
            await migrate.upgrade_at(url)
            for machine, names in services.items():
                for name in names:
                    supervisor.start(_service(network, folder, machine, name))
            database = Database.connect(url)
            try:
                await wait_until(lambda: _is_open(network, "api", API_PORT), timeout=_START_S)
                yield Site(network, supervisor, url, database)
            finally:
                await database.close()
        finally:
            supervisor.kill()
            await supervisor.close()


def _service(network: Network, folder: Path, machine: str, name: str) -> Service:
    """A process of ``Procfile`` on a machine: ``api``, ``keeper``, ``worker`` or ``bulk``."""
    own = settings(f"/etc/wireroom.env on `{machine}`, beside the others") if name == "api" else {}
    own |= {"WIREROOM_DATA_DIR": str(folder / machine)}
    python, *words = procfile.processes()[name]
    assert python == "python"
    given = [f"{variable}={value}" for variable, value in own.items()]
    return Service(f"{name}-{machine}", network.command(machine, "env", *given, sys.executable, *words), _DRAIN_S)


async def _start_database(network: Network, folder: Path, supervisor: Supervisor, *, durable: bool) -> str:
    cluster_folder = folder / "postgres"
    cluster_folder.mkdir(mode=0o711)
    cluster = Cluster(cluster_folder)
    await _call(cluster.initdb(), as_user=True)
    data = cluster_folder / "data"
    for name in ("postgresql.conf", "pg_hba.conf"):
        with (data / name).open("a") as file:
            file.write(blocks()[name])
    options = {} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = tuple(map(str, cluster.server({"timezone": "UTC", **options})))
    supervisor.start(Service("postgres", network.command("database", *_as_user(), *command), _DRAIN_S))
    await wait_until(cluster.is_ready, timeout=_START_S)
    psql: list[str | Path] = [cluster.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", cluster.url("postgres")]
    for statement in blocks()["psql, as postgres"].splitlines():
        await _call([*psql, "-c", statement])
    return f"postgresql://wireroom@/wireroom?host={quote(str(cluster_folder))}"


async def _start_broker(network: Network, folder: Path, supervisor: Supervisor) -> None:
    file = folder / "valkey.conf"
    file.write_text(f"dir {folder}\n{blocks()['valkey.conf']}")
    supervisor.start(Service("broker", network.command("broker", str(find_server()), str(file)), _DRAIN_S))
    await wait_until(lambda: _is_open(network, "broker", 6379), timeout=_START_S)


def _is_open(network: Network, machine: str, port: int) -> bool:
    try:
        network.dial("clients", (network.addresses[machine], port)).close()
    except OSError:
        return False
    return True


def _as_user() -> tuple[str, ...]:
    """Words before a command that PostgreSQL refuses to run as root."""
    user = pwd.getpwnam(str(USER))
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


async def _call(command: Sequence[str | Path], *, as_user: bool = False) -> None:
    words = [*(_as_user() if as_user else ()), *map(str, command)]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace")[-2000:])
