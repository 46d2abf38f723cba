"""``wireroom doctor``: whether every configured part works from here, and what mends it if not."""

import asyncio
import ssl
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import redis
from rich.markup import escape
from rich.table import Table

from api_shim.settings import ApiSettings
from channels import registry
from channels.dkim import SHORT_RSA, read_keys
from channels.email import parse_sender
from channels.errors import Misconfigured, SendError
from channels.settings import ChannelSettings
from channels.smtp_session import Timeouts, open_session, take_leave
from channels.smtp_url import Security, parse_smtp_url
from channels.telegram_address import API_VARIABLE, PUBLIC_API, TOKEN_VARIABLE
from models import ids, migrate
from models.errors import InvalidSetting, StorageUnavailable
from models.secrets import SHORT_KEY
from models.session import Database
from models.settings import StorageSettings
from models.store import clock, conservation
from wireroom import bounce_check, data_dir, database_faults
from wireroom.embedded import EmbeddedBroker
from wireroom.output import console
from wireroom.settings import unknown_variables
from worker.broker import connect, try_out
from worker.redis_keys import Occupied
from worker.settings import WorkerSettings

_TIMEOUT_S: Final = 5.0
_SMTP_TIMEOUTS: Final = Timeouts(connect_s=_TIMEOUT_S, command_s=_TIMEOUT_S)
_EHLO_NAME: Final = "[127.0.0.1]"
_CORRECT: Final = "correct the variable"
_CLOCK_TOLERANCE_MS: Final = 2_000
_COUNTING_S: Final = 5.0
_WHOSE: Final = "As the WIREROOM_* of this shell configure it: give it the same as `wireroom up`."


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; ``mend`` says what to do where it is not well. Well with a mend is a warning."""

    part: str
    ok: bool
    detail: str
    mend: str | None = None


async def examine(environment: Mapping[str, str]) -> list[Finding]:
    """A finding for every part, as ``environment`` configures it. Changes nothing."""
    try:
        storage = StorageSettings.read(environment)
        api = ApiSettings.read(environment)
        channels = ChannelSettings.read(environment)
        WorkerSettings.read(environment)
        registry.configured(channels)
    except InvalidSetting as error:
        return [Finding("settings", ok=False, detail=str(error), mend=_CORRECT), *_doubts(environment)]
    findings = [_examine_folder(storage), *await _examine_database(storage), await _examine_broker(storage)]
    findings += [await _examine_smtp(channels), *_examine_mail(channels)]
    if (bounces := await bounce_check.examine(api, channels)) is not None:
        findings.append(Finding("bounces", ok=True, detail=bounces.detail, mend=bounces.mend))
    findings.append(_examine_push(channels))
    findings.append(await _examine_telegram(channels))
    return [*findings, *_doubts(environment), *_examine_keys(storage)]


def show(findings: list[Finding]) -> None:
    """Print the findings: as a table on a terminal, else a line each, and one for what mends it."""
    screen = console()
    screen.print(_WHOSE, style="dim", highlight=False)
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


def _examine_folder(storage: StorageSettings) -> Finding:
    folder = storage.data_dir
    obstacle = data_dir.obstacle(folder)
    if obstacle is not None:
        return Finding("data directory", ok=False, detail=obstacle, mend=data_dir.MEND)
    if not folder.is_dir():
        return Finding("data directory", ok=False, detail=f"{folder} does not exist", mend="`wireroom up` makes it")
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = f"{folder} is open to other users, and it holds keys"
        return Finding("data directory", ok=False, detail=detail, mend=f"chmod 700 {folder}")
    return Finding("data directory", ok=True, detail=str(folder))


def _doubts(environment: Mapping[str, str]) -> list[Finding]:
    """Variables that look like ours and are read by nothing."""
    return [
        Finding("settings", ok=True, detail=f"{name} is no setting of this version", mend=_rather(nearest))
        for name, nearest in unknown_variables(environment).items()
    ]


def _rather(nearest: str | None) -> str:
    return "remove it: nothing reads it" if nearest is None else f"did you mean {nearest}?"


def _examine_keys(storage: StorageSettings) -> list[Finding]:
    if all(len(key) >= SHORT_KEY for key in storage.secret_keys):
        return []
    mend = "`openssl rand -base64 32` makes a good one; put it first, a comma, then the old one"
    return [Finding("secret key", ok=True, detail="WIREROOM_SECRET_KEY is short enough to be guessed", mend=mend)]


def _without_folder(storage: StorageSettings) -> list[Finding]:
    """What there is to say of a database whose folder cannot be used or is not there."""
    if str(storage.data_dir) not in storage.database_url:
        return []
    if data_dir.obstacle(storage.data_dir) is not None:
        return [Finding("database", ok=False, detail="lies in the data directory", mend="mend that first")]
    if not storage.data_dir.is_dir():
        return [Finding("database", ok=False, detail="SQLite, not made yet", mend="wireroom migrate")]
    return []


async def _examine_database(storage: StorageSettings) -> list[Finding]:
    if not_there := _without_folder(storage):
        return not_there
    try:
        database = Database.connect(storage.database_url, pool_size=1)
    except InvalidSetting as error:
        return [Finding("database", ok=False, detail=str(error), mend=_CORRECT)]
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            before = time.time_ns() // 1_000_000
            async with database.read() as connection:
                theirs = await clock.read(connection)
            after = time.time_ns() // 1_000_000
            is_current = await migrate.at_head(database)
        astray = await _examine_messages(database) if is_current else []
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
    return [well, schema, _compare_clocks(before, theirs, after), *astray]


async def _examine_messages(database: Database) -> list[Finding]:
    """The conservation law, as far as there is time to count."""
    astray: list[Finding] = []
    accepted = 0
    try:
        async with asyncio.timeout(_COUNTING_S), database.read() as connection:
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


async def _examine_broker(storage: StorageSettings) -> Finding:
    if storage.broker_is_embedded:
        running = EmbeddedBroker(storage.data_dir).answers()
        return Finding("broker", ok=True, detail="embedded, " + ("answers" if running else "starts with `wireroom up`"))
    try:
        with connect(storage.redis_url, connections=1, timeout_s=_TIMEOUT_S) as client:
            await asyncio.to_thread(try_out, client)
    except InvalidSetting as error:
        return Finding("broker", ok=False, detail=str(error), mend=_CORRECT)
    except Occupied as error:
        mend = "give Wireroom a database of its own in WIREROOM_REDIS_URL, or remove these keys"
        return Finding("broker", ok=False, detail=f"somebody else writes there: {error}", mend=mend)
    except redis.RedisError as error:
        mend = "start it, or correct WIREROOM_REDIS_URL"
        return Finding("broker", ok=False, detail=f"cannot be used ({type(error).__name__})", mend=mend)
    return Finding("broker", ok=True, detail="answers")


def _examine_push(settings: ChannelSettings) -> Finding:
    """A key in a file was read with the settings."""
    key = settings.vapid_private_key_file or "made on first start, in the database"
    return Finding("web push", ok=True, detail=f"key: {key}; push services write to {settings.vapid_subject}")


async def _examine_telegram(settings: ChannelSettings) -> Finding:
    """Whether the Bot API knows the bot: by ``getMe``, which changes nothing."""
    token = settings.telegram_bot_token
    if token is None:
        detail = f"not configured: TELEGRAM is off until {TOKEN_VARIABLE} is set"
        return Finding("Telegram", ok=True, detail=detail)
    # Only now: the library takes longer to import than all the rest does together.
    from telegram import Bot  # noqa: PLC0415 - see above
    from telegram.error import InvalidToken, TelegramError, TimedOut  # noqa: PLC0415 - see above
    from telegram.request import HTTPXRequest  # noqa: PLC0415 - see above

    request = HTTPXRequest(httpx_kwargs={"trust_env": False})  # as the channel's own: by no proxy
    bot = Bot(token, base_url=f"{settings.telegram_api_url}/bot", request=request, get_updates_request=request)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            # Of an error its kind alone is shown: its words may hold the token, which is a part of the address.
            name = (await bot.get_me()).username
    except InvalidToken:
        mend = f"correct {TOKEN_VARIABLE}, which @BotFather shows"
        mend += "" if settings.telegram_api_url == PUBLIC_API else f", or {API_VARIABLE}"
        return Finding("Telegram", ok=False, detail="the Bot API does not know the bot's token", mend=mend)
    except (TimeoutError, TimedOut):
        detail = f"the Bot API does not answer within {_TIMEOUT_S:.0f} s"
        return Finding("Telegram", ok=False, detail=detail, mend=_reachable(settings))
    except (TelegramError, AttributeError, KeyError, TypeError) as error:  # all but the first: JSON of somebody else
        detail = f"the Bot API does not answer getMe as it should ({type(error).__name__})"
        return Finding("Telegram", ok=False, detail=detail, mend=_reachable(settings))
    finally:
        await request.shutdown()
    return Finding("Telegram", ok=True, detail=f"the bot is @{name}")


def _reachable(settings: ChannelSettings) -> str:
    return f"is {settings.telegram_api_url} reachable from here, and right? {API_VARIABLE} names another"


def _examine_mail(settings: ChannelSettings) -> list[Finding]:
    """Whether others can tell that mails are ours. Sender and keys were read with the settings."""
    if settings.smtp_url is None or settings.email_from is None:
        return []
    domain = parse_sender(settings.email_from).domain
    findings = []
    if settings.dkim_key_file is None:
        mend = "set WIREROOM_DKIM_KEY_FILE and WIREROOM_DKIM_SELECTOR, unless your mail server signs"
        findings.append(Finding("DKIM", ok=True, detail="mails are not signed", mend=mend))
    else:
        for key in read_keys(settings.dkim_key_file, settings.dkim_selectors):
            name = f"{key.selector}._domainkey.{domain}"
            said = f"{key.algorithm}; the DNS must have the TXT record {name}: {key.record()}"
            longer = f"make one of {SHORT_RSA} bits or more, under another selector" if key.is_short else None
            findings.append(Finding("DKIM", ok=True, detail=said, mend=longer))
    return findings


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
