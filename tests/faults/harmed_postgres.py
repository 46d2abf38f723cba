"""A PostgreSQL that keeps what it promised, to be harmed: stopped at once, cut off, made read-only, filled up."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from bench.postgres_wheel import USER, Cluster, Command
from tests.faults import small_disk
from tests.faults.small_disk import SmallDisk
from tests.support import processes
from tests.support.waiting import wait_until

DATABASE: Final = "harmed"
# What is committed is on the disk, as it would be where it matters; a write-ahead log that fits on a small disk.
_OPTIONS: Final = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "48MB",
    "restart_after_crash": "on",
    "timezone": "UTC",
}
_MEGABYTES: Final = 256
_START_S: Final = 60.0
_OTHERS: Final = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
_CUT_OFF: Final = f"SELECT pg_terminate_backend(pid) {_OTHERS}"


class HarmedPostgres:
    """``disk``: the small disk that its data are on, None where none could be mounted."""

    def __init__(self, cluster: Cluster, disk: SmallDisk | None) -> None:
        self._cluster = cluster
        self._log = cluster.folder / "postgres.log"
        self._process: asyncio.subprocess.Process | None = None
        self.disk = disk
        self.url = cluster.url(DATABASE)

    @property
    def runs(self) -> bool:
        """Whether its first process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and return once it takes connections. Raises AssertionError where it does not."""
        with self._log.open("ab") as output:
            self._process = await _spawn(self._cluster.server(_OPTIONS), output.fileno())
        await wait_until(self._takes_connections, timeout=_START_S)

    async def stop_at_once(self) -> None:
        """What ``pg_ctl stop -m immediate`` does: every process of it ends where it stands."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGQUIT)
            await self._process.wait()

    async def cut_off(self) -> None:
        """End every connection but this one, as an operator does with pg_terminate_backend."""
        await self.run(_CUT_OFF)

    async def set_read_only(self, read_only: bool) -> None:
        """Refuse writes, or take them again, on connections old and new."""
        change = "SET default_transaction_read_only = on" if read_only else "RESET default_transaction_read_only"
        await self.run(f"ALTER SYSTEM {change}")
        await self.run("SELECT pg_reload_conf()")
        await self.cut_off()

    async def run(self, statement: str, database: str = "postgres") -> str:
        """Run one statement; the rows, one a line. Raises RuntimeError with what the server said."""
        psql = self._cluster.binaries / "psql"
        return await _call([psql, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, self._cluster.url(database)])

    async def damage(self) -> list[str]:
        """What pg_amcheck finds in tables and indexes, each of whose pages has a checksum."""
        amcheck = self._cluster.binaries / "pg_amcheck"
        try:
            where: Command = ["-h", self._cluster.folder, "-U", "postgres", DATABASE]
            await _call([amcheck, "--install-missing", "--heapallindexed", *where])
        except RuntimeError as error:
            return [str(error)]
        return []

    async def _takes_connections(self) -> bool:
        assert self.runs, self._log.read_text(errors="replace")[-2000:]
        if not self._cluster.is_ready():
            return False
        with contextlib.suppress(RuntimeError):
            return bool(await self.run("SELECT 1"))
        return False


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[HarmedPostgres]:
    """A server with an empty database, stopped at the end."""
    with processes.short_folder() as folder:
        cluster = Cluster(folder)
        with small_disk.mounted(folder / "data", megabytes=_MEGABYTES) as disk:
            await _call(cluster.initdb())
            server = HarmedPostgres(cluster, disk)
            await server.start()
            try:
                await server.run(f"CREATE DATABASE {DATABASE}")
                yield server
            finally:
                await server.stop_at_once()


async def _call(command: Command) -> str:
    process = await _spawn(command, asyncio.subprocess.PIPE)
    said, complained = await process.communicate()
    if process.returncode:
        raise RuntimeError((said + complained).decode(errors="replace")[-2000:])
    return said.decode()


async def _spawn(command: Command, output: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=Path("/"),
        user=USER,
        extra_groups=None if USER is None else [],
        preexec_fn=processes.die_with_parent,
    )
