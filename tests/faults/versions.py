"""A new version comes while the former one works: its migration under load, then both versions on one schema.

The former version is that of the commit before the newest migration that changes a table: one that makes a new one
waits for nobody. It is taken from the history of git. Its house runs first, on its own schema; nothing of what follows
may lose, double or doubt a message, or refuse one.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from models import migrate
from models.session import Database
from models.tables import messages
from models.vocabulary import State
from tests.faults import deploys, house_log, rig, source_tree
from tests.faults import sinks as sinks_
from tests.faults.deploys import Swaps
from tests.faults.experiment import Found, Place, Size
from tests.faults.ledger import Ledger
from tests.faults.rig import Rig
from tests.support.long_transactions import STANDS_STILL
from tests.support.processes import free_environment
from tests.support.waiting import wait_until
from wireroom.settings import fresh_environment
from wireroom.supervisor import Service
from wireroom.up import API, KEEPER, Stack, worker_service

_CONTACTS: Final = 20
_PATIENCE_S: Final = 60.0
_BOTH_S: Final = 60.0
# (messages on each channel at least, seconds between a client's messages)
_SIZES: Final = {Size.SHORT: (20, 1.0), Size.MINUTES: (400, 0.2), Size.FULL: (2_000, 0.1)}
# For how long another transaction keeps the migration from its lock.
_BLOCKED_S: Final = {Size.SHORT: 5.0, Size.MINUTES: 10.0, Size.FULL: 20.0}
_SLOWEST_S: Final = 0.7
"""What a request may take, as a share of the time that the migration waits: who queues behind it takes all of that."""
_CHANGES: Final = ("op.add_column(", "op.alter_column(", "op.drop_", "op.batch_alter_table(", "ALTER TABLE")
"""What needs a table for itself."""
_COMMAND: Final = "from wireroom.cli import main; main()"
MIGRATE: Final = ("migrate",)
"""What is said to ``wireroom``, as docs/operations/upgrade.md has it."""
_KEY: Final = """
import asyncio, json, sys
from wireroom import accounts
async def main(url):
    workspace = await accounts.create_workspace(url, "faults")
    _, token = await accounts.create_token(url, workspace, scopes=accounts.DEFAULT_SCOPES, expires_at=None)
    print(json.dumps([workspace, token]))
asyncio.run(main(sys.argv[1]))
"""


class NoHistory(Exception):
    """There is no former version here; the text says why."""


async def two_versions(place: Place, size: Size) -> Found:
    """A whole deploy: the schema first, then one process after the other; for a while both versions send.

    It catches a migration that takes away what the former code needs, and a job, a row or a link that only one of the
    versions can read.
    """
    return await _deploy(place, size, blocked_s=0.0, replaced=True)


async def migration_under_load(place: Place, size: Size) -> Found:
    """The schema goes to the newest revision while the former version works, and others hold what it must lock.

    It catches a migration that waits for its lock as long as it takes: all that is written waits behind it.
    """
    return await _deploy(place, size, blocked_s=_BLOCKED_S[size], replaced=False)


async def both(place: Place, size: Size) -> Found:
    """One after the other, in one house."""
    return await _deploy(place, size, blocked_s=_BLOCKED_S[size], replaced=True)


async def _deploy(place: Place, size: Size, *, blocked_s: float, replaced: bool) -> Found:
    """``blocked_s``: for how long others keep the migration from its lock; ``replaced``: whether processes are, too."""
    count, pause_s = _SIZES[size]
    try:
        async with _former_house(place) as (house, former):
            over, swaps, faults = asyncio.Event(), Swaps(), list[str]()
            figures: dict[str, object] = {"former": former.commit[:7]}
            sending = deploys.begin_load(house, count, pause_s, over)
            if blocked_s:
                figures["migrated_s"] = round(await _migrate_blocked(house, blocked_s), 1)
            else:
                await _migrate(house)
            if replaced:
                figures["seen_sending"] = await _both_send(house, former, swaps)
                faults += _too_slow(house, blocked_s, figures)  # while the API is replaced clients wait for that
                await _replace_the_others(place, house, former, swaps)
            over.set()
            await sending
            if not replaced:
                faults += _too_slow(house, blocked_s, figures)
            found = await deploys.accounts_for(house, swaps, figures)
            return Found(found.figures, found.faults + faults)
    except NoHistory as none:
        return Found({}, [], left_out=[f"all of it: {none}"])


async def _migrate_blocked(house: Rig, blocked_s: float) -> float:
    """Migrate while others hold the locks, until messages arrive again; the seconds that the migration took."""
    await wait_until(lambda: house.ledger.count() > 0, timeout=_PATIENCE_S)
    house.promises.answered_s.clear()
    async with _locked(house.database, blocked_s):
        took_s = await _migrate(house)
    before = house.ledger.count()
    await wait_until(lambda: house.ledger.count() > before, timeout=_PATIENCE_S)
    return took_s


def _too_slow(house: Rig, blocked_s: float, figures: dict[str, object]) -> list[str]:
    """What is wrong with how long requests took since the migration began to wait, which goes to the figures."""
    if not blocked_s:
        return []
    slowest_s = max(house.promises.answered_s)
    figures["slowest_s"] = round(slowest_s, 2)
    waited = f"a request took {slowest_s:.1f} s while the migration waited for its lock"
    return [waited] if slowest_s > _SLOWEST_S * blocked_s else []


async def _replace_the_others(place: Place, house: Rig, former: "_Former", swaps: Swaps) -> None:
    for service in (API, worker_service(2), KEEPER):
        await deploys.swap(house, former.of(service), service, swaps)
        place.say(f"{service.name} is new, {house.ledger.count()} arrivals")


@dataclass(frozen=True)
class _Former:
    """The former version: its ``commit``, and the ``folder`` with its packages."""

    commit: str
    folder: Path

    def of(self, service: Service) -> Service:
        """The same service, of this version."""
        return Service(service.name, ("env", f"PYTHONPATH={self.folder}", *service.command), service.drain_s)

    async def say(self, code: str, *arguments: str) -> str:
        """What this version prints when it runs ``code``; raises RuntimeError where it fails."""
        return await _run(code, *arguments, environment={**free_environment(), "PYTHONPATH": str(self.folder)})


@contextlib.asynccontextmanager
async def _former_house(place: Place) -> AsyncIterator[tuple[Rig, _Former]]:
    """The former version at work, on a database that it made; raises NoHistory."""
    former = await asyncio.to_thread(_former, place.folder / "former")
    url = place.server.url(place.server.create())
    ledger = Ledger()
    async with sinks_.running(ledger) as sinks:
        with (place.folder / house_log.NAME).open("ab") as log:
            environment = fresh_environment(rig.house_settings(place.folder, url, sinks))
            stack = Stack(environment, workers=0, output=log)
            stack.storage.data_dir.mkdir(mode=0o700)
            await former.say(source_tree.UPGRADE, url)
            workspace, token = json.loads(await former.say(_KEY, url))
            database = Database.connect(url)
            await stack.supervisor.open()
            stack.supervisor.start(rig.embedded_broker(stack))
            try:
                for service in (API, worker_service(1), worker_service(2), KEEPER):
                    stack.supervisor.start(former.of(service))
                await deploys.until_ready(stack)
                house = Rig(place.folder, stack, database, ledger, sinks, place.seed)
                await house.invite(workspace, token, _CONTACTS)
                yield house, former
            finally:
                await database.close()
                stack.kill()
                await stack.stop()


def _former(folder: Path) -> _Former:
    """Unpack the version before the newest migration that changes a table, and all behind it, into ``folder``."""
    scripts = [Path(each.path) for each in ScriptDirectory.from_config(migrate.config_for()).walk_revisions()]
    newest = next(each.name for each in scripts if any(word in each.read_text() for word in _CHANGES))
    try:
        if Path(_git("rev-parse", "--show-toplevel").decode().strip()) != source_tree.ROOT:
            raise NoHistory("this copy has no history of its own")
        # A merge may bring it under a name of its own.
        along = ("log", "-1", "--first-parent", "-m", "--diff-filter=A", "--format=%H")
        added = _git(*along, "--", f"{source_tree.VERSIONS}/{newest}").decode().strip()
        # One that is in no commit yet is newer than all of them.
        commit = _git("rev-parse", f"{added}^" if added else "HEAD").decode().strip()
        packed = _git("archive", commit, *source_tree.PACKAGES)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoHistory(f"git does not tell the version before {newest} ({type(error).__name__})") from error
    folder.mkdir()
    subprocess.run(("tar", "-x", "-C", str(folder)), input=packed, check=True)
    # Once: its processes start at the same time, and each would compile all of it.
    subprocess.run((sys.executable, "-m", "compileall", "-q", str(folder)), check=True)
    return _Former(commit, folder)


def _git(*arguments: str) -> bytes:
    return subprocess.run(("git", "-C", str(source_tree.ROOT), *arguments), capture_output=True, check=True).stdout


async def _migrate(house: Rig) -> float:
    """`wireroom migrate` of the present version; the seconds that it took."""
    began = time.monotonic()
    storage = house.stack.storage
    told = {"WIREROOM_DATABASE_URL": storage.database_url, "WIREROOM_DATA_DIR": str(storage.data_dir)}
    await _run(_COMMAND, *MIGRATE, environment={**free_environment(), **told})
    return time.monotonic() - began


async def _run(code: str, *arguments: str, environment: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", code, *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(complained.decode())
    return said.decode()


async def _both_send(house: Rig, former: _Former, swaps: Swaps) -> dict[str, int]:
    """The first worker becomes new, and both work until each has sent; how many messages each was seen to send."""
    first, second = worker_service(1), worker_service(2)
    await deploys.swap(house, former.of(first), first, swaps)
    pids = house.stack.supervisor.pids()
    whose = {
        lease: version
        for version, name in (("new", first.name), ("former", second.name))
        for lease in await deploys.workers_of(house, pids[name])
    }
    seen: dict[tuple[UUID, int], str] = {}
    sent = {"new": 0, "former": 0}

    async def both() -> bool:
        async with house.database.read() as connection:
            columns = select(messages.c.id, messages.c.token, messages.c.worker_id)
            in_hand = await connection.execute(columns.where(messages.c.state == State.SENDING.value))
            seen.update({(row.id, row.token): whose[row.worker_id] for row in in_hand if row.worker_id in whose})
            ended = await connection.execute(columns.where(messages.c.state == State.DONE.value))
            versions = [seen[row.id, row.token] for row in ended if (row.id, row.token) in seen]
        sent.update({version: versions.count(version) for version in sent})
        return all(sent.values())

    with contextlib.suppress(AssertionError):
        await wait_until(both, timeout=_BOTH_S, interval=0.05)
    swaps.faults.extend(f"the {version} version was not seen to send" for version, count in sent.items() if not count)
    return sent


@contextlib.asynccontextmanager
async def _locked(database: Database, seconds: float) -> AsyncIterator[None]:
    """Another transaction, as of a long report, lets all read and write, but keeps the migration out.

    It ends ``seconds`` after the migration has first been seen waiting for it.
    """
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")

    async def somebody_waits() -> bool:
        async with database.read() as connection:
            return bool(await connection.scalar(waiting))

    async def hold() -> None:
        async with database.write() as connection:
            await connection.execute(STANDS_STILL)
            tables = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
            names = ", ".join(f'"{name}"' for name in tables if name != "alembic_version")
            await connection.execute(text(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE"))
            await connection.execute(text("LOCK TABLE alembic_version IN SHARE MODE"))
            begun.set()
            await wait_until(somebody_waits, timeout=_PATIENCE_S, interval=0.05)
            await asyncio.sleep(seconds)

    begun = asyncio.Event()
    holding = asyncio.create_task(hold())
    await wait_until(lambda: begun.is_set() or holding.done(), timeout=_PATIENCE_S)
    try:
        yield
    finally:
        await holding
