"""``wireroom doctor``: whether every configured part works from here, and what mends it if not."""

import asyncio
import dataclasses
import ssl
import stat
import time
from collections.abc import Mapping
from typing import Final

import dns.asyncresolver
from rich.markup import escape
from rich.table import Table

from api_shim.settings import ApiSettings
from channels import registry
from channels.errors import Misconfigured, SendError
from channels.settings import ChannelSettings
from channels.smtp_session import Timeouts, open_session, take_leave
from channels.smtp_url import Security, parse_smtp_url
from models import ids, migrate
from models.errors import InvalidSetting, StorageUnavailable
from models.session import Database
from models.settings import StorageSettings
from models.store import clock, conservation
from wireroom import (
    bot_check,
    bounce_check,
    broker_check,
    certificate_check,
    data_dir,
    database_faults,
    disk_check,
    dkim_check,
    push_check,
    seal_check,
)
from wireroom.finding import TIMEOUT_S, Finding
from wireroom.output import console, printable
from wireroom.settings import unknown_variables
from worker.settings import WorkerSettings

_SMTP_TIMEOUTS: Final = Timeouts(connect_s=TIMEOUT_S, command_s=TIMEOUT_S)
_EHLO_NAME: Final = "[127.0.0.1]"
_CORRECT: Final = "correct the variable"
_CLOCK_TOLERANCE_MS: Final = 2_000
_WHOSE: Final = "As the WIREROOM_* of this shell configure it: give it the same as `wireroom up`."


async def examine(environment: Mapping[str, str], resolver: dns.asyncresolver.Resolver | None = None) -> list[Finding]:
    """A finding for every part, as ``environment`` configures it. Changes nothing.

    ``resolver``: whom to ask for records; by default those whom this machine asks for every name.
    """
    try:
        storage = StorageSettings.read(environment)
        api = ApiSettings.read(environment)
        channels = ChannelSettings.read(environment)
        WorkerSettings.read(environment)
        registry.configured(channels)
    except InvalidSetting as error:
        return [Finding("settings", ok=False, detail=str(error), mend=_CORRECT), *_doubts(environment)]
    findings = [*_examine_folder(storage), *await _examine_database(storage, channels)]
    findings += [await broker_check.examine(storage), await _examine_smtp(channels)]
    findings += await dkim_check.examine(channels, resolver)
    if (bounces := await bounce_check.examine(api, channels)) is not None:
        findings.append(Finding("bounces", ok=True, detail=bounces.detail, mend=bounces.mend))
    if not any(one.part == push_check.PART for one in findings):
        findings.append(push_check.without_database(channels))
    findings.append(await bot_check.examine(channels))
    if (certificate := await certificate_check.examine(api.public_url)) is not None:
        findings.append(certificate)
    return [*findings, *_doubts(environment), *seal_check.doubts(storage)]


def show(findings: list[Finding]) -> None:
    """Print the findings: as a table on a terminal, else a line each, and one for what mends it."""
    screen = console()
    screen.print(_WHOSE, style="dim", highlight=False)
    findings = [dataclasses.replace(one, detail=printable(one.detail)) for one in findings]
    if not screen.is_terminal:
        for one in findings:
            sign = "✗" if not one.ok else "✓" if one.mend is None else "!"
            mend = "" if one.mend is None else f"\n  → {one.mend}"
            screen.print(f"{sign} {one.part}: {one.detail}{mend}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in findings:
        well = "[bold green]✓[/]" if one.mend is None else "[bold yellow]![/]"
        mark = well if one.ok else "[bold red]✗[/]"
        said = escape(one.detail) if one.mend is None else f"{escape(one.detail)}\n[bold]→ {escape(one.mend)}[/]"
        table.add_row(mark, one.part, said)
    screen.print(table)


def _examine_folder(storage: StorageSettings) -> list[Finding]:
    folder = storage.data_dir
    obstacle = data_dir.obstacle(folder)
    if obstacle is not None:
        return [Finding("data directory", ok=False, detail=obstacle, mend=data_dir.MEND)]
    if not folder.is_dir():
        return [Finding("data directory", ok=False, detail=f"{folder} does not exist", mend="`wireroom up` makes it")]
    disk = disk_check.examine(folder, holds_messages=storage.database_url.startswith("sqlite"))
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = f"{folder} is open to other users, and it holds keys"
        return [Finding("data directory", ok=False, detail=detail, mend=f"chmod 700 {folder}"), disk]
    return [Finding("data directory", ok=True, detail=str(folder)), disk]


def _doubts(environment: Mapping[str, str]) -> list[Finding]:
    """Variables that look like ours and are read by nothing."""
    return [
        Finding("settings", ok=True, detail=f"{name} is no setting of this version", mend=_rather(nearest))
        for name, nearest in unknown_variables(environment).items()
    ]


def _rather(nearest: str | None) -> str:
    return "remove it: nothing reads it" if nearest is None else f"did you mean {nearest}?"


def _without_folder(storage: StorageSettings) -> list[Finding]:
    """What there is to say of a database whose folder cannot be used or is not there."""
    if str(storage.data_dir) not in storage.database_url:
        return []
    if data_dir.obstacle(storage.data_dir) is not None:
        return [Finding("database", ok=False, detail="lies in the data directory", mend="mend that first")]
    if not storage.data_dir.is_dir():
        return [Finding("database", ok=False, detail="SQLite, not made yet", mend="wireroom migrate")]
    return []


async def _examine_database(storage: StorageSettings, channels: ChannelSettings) -> list[Finding]:
    if not_there := _without_folder(storage):
        return not_there
    try:
        database = Database.connect(storage.database_url, pool_size=1)
    except InvalidSetting as error:
        return [Finding("database", ok=False, detail=str(error), mend=_CORRECT)]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            before = time.time_ns() // 1_000_000
            async with database.read() as connection:
                theirs = await clock.read(connection)
            after = time.time_ns() // 1_000_000
            is_current = await migrate.at_head(database)
        kept = await _examine_kept(database, storage, channels) if is_current else []
    except Exception as error:
        # What a server refuses, a wrong password say, is raised as its driver's own error.
        if not isinstance(error, TimeoutError) and database_faults.refusal(error) is None:
            raise
        mend = "start it, or correct WIREROOM_DATABASE_URL"
        said = f"cannot be used: {database_faults.cause(error)}"
        return [Finding("database", ok=False, detail=said, mend=mend)]
    finally:
        await database.close()
    kind = storage.database_url.partition(":")[0]
    schema = Finding("schema", ok=True, detail=migrate.head())
    if not is_current:
        schema = Finding("schema", ok=False, detail="not at this version's revision", mend="wireroom migrate")
    well = Finding("database", ok=True, detail=f"{kind} answers")
    return [well, schema, _compare_clocks(before, theirs, after), *kept]


async def _examine_kept(database: Database, storage: StorageSettings, channels: ChannelSettings) -> list[Finding]:
    """What a database at this version's schema holds."""
    messages = await _examine_messages(database)
    sealed = await seal_check.examine(database, storage)
    return [*messages, sealed, await push_check.examine(database, storage, channels)]


async def _examine_messages(database: Database) -> list[Finding]:
    """The conservation law, as far as there is time to count."""
    astray: list[Finding] = []
    accepted = 0
    try:
        async with asyncio.timeout(TIMEOUT_S), database.read() as connection:
            for workspace_id in await conservation.workspace_ids(connection):
                balance = await conservation.balance(connection, workspace_id)
                accepted += balance.accepted
                if not balance.is_kept:
                    said = (
                        f"{ids.show(ids.Kind.WORKSPACE, workspace_id)}: {balance.astray:,} are not as they are counted"
                    )
                    astray.append(
                        Finding("messages", ok=False, detail=said, mend="`wireroom recount --check` says which")
                    )
    except (TimeoutError, StorageUnavailable):
        return astray or [Finding("messages", ok=True, detail="too many to count in a hurry; the keeper does it")]
    return astray or [Finding("messages", ok=True, detail=f"all {accepted:,} are as they are counted")]


def _compare_clocks(before: int, theirs: int, after: int) -> Finding:
    """``theirs`` was read between ``before`` and ``after`` (milliseconds)."""
    off = max(before - theirs, theirs - after, 0)
    if off > _CLOCK_TOLERANCE_MS:
        mend = "set both machines' clocks by NTP: links and signatures carry times"
        return Finding("clock", ok=False, detail=f"{off / 1000:.1f} s from the database's", mend=mend)
    return Finding("clock", ok=True, detail=f"within {_CLOCK_TOLERANCE_MS / 1000:.0f} s of the database's")


async def _examine_smtp(settings: ChannelSettings) -> Finding:
    if settings.smtp_url is None:
        return Finding("SMTP", ok=True, detail="not configured: EMAIL is off until WIREROOM_SMTP_URL is set")
    server = parse_smtp_url(settings.smtp_url)
    try:
        tls = None if server.security is Security.NONE else ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        detail = f"cannot read the file of CA certificates ({error.strerror or type(error).__name__})"
        return Finding("SMTP", ok=False, detail=detail, mend="correct ca= in WIREROOM_SMTP_URL")
    try:
        take_leave(await open_session(server, tls, _EHLO_NAME, _SMTP_TIMEOUTS))
    except Misconfigured as error:
        return Finding("SMTP", ok=False, detail=error.detail, mend="correct WIREROOM_SMTP_URL")
    except SendError as error:
        mend = f"is the server up, and {server.host}:{server.port} reachable from here?"
        return Finding("SMTP", ok=False, detail=error.detail, mend=mend)
    return Finding("SMTP", ok=True, detail=f"{server.host}:{server.port} takes us in")
