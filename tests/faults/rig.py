"""A whole installation under `wireroom up`'s own supervisor, its peers, and a client that never gives up.

Evidence is what the client was promised and what the sinks' ledger holds; what the house says of itself is compared
with both.
"""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from sqlalchemy import func, select

from models import ids
from models.errors import StorageUnavailable
from models.session import Database
from models.tables import messages, workers
from models.vocabulary import Channel, Lane, State
from tests.faults import families, house_log
from tests.faults import sinks as sinks_
from tests.faults.ledger import Ledger
from tests.faults.sinks import Sinks
from tests.support.api_process import Answer, Line
from tests.support.bot_api import TOKEN
from tests.support.lapsing import let_lapse
from wireroom import accounts
from wireroom.embedded import EmbeddedBroker
from wireroom.ports import free_port
from wireroom.settings import fresh_environment
from wireroom.supervisor import Service
from wireroom.up import KEEPER, CannotStart, Stack

SECOND_KEEPER: Final = Service("keeper-2", KEEPER.command, KEEPER.drain_s)
_BROKER_DRAIN_S: Final = 10.0
_CLIENTS: Final = 16
_READY_TRIES: Final = 4
_PATIENCE_S: Final = 0.1
_SETTLE_S: Final = 0.1
_REST_S: Final = 90.0
_BOT_PER_S: Final = 20


@dataclass
class Promises:
    """What the client was promised: by channel and token, the message's shown id. ``posted``: every token it sent.

    ``answers``: how many of each status. ``answered_s``: how long each took.
    """

    accepted: dict[Channel, dict[str, str]] = field(default_factory=lambda: {channel: {} for channel in Channel})
    posted: set[str] = field(default_factory=set)
    answers: dict[int, int] = field(default_factory=dict)
    answered_s: list[float] = field(default_factory=list)


class Kill(NamedTuple):
    """When a service was killed (seconds since 1970), which, and those of its processes that were."""

    at: float
    name: str
    pids: tuple[int, ...]


class Held(NamedTuple):
    """A message in a worker's hands: under which token, and since when (seconds since 1970)."""

    message_id: str
    token: int
    since: float


class Rig:
    """``stack``: the processes."""

    def __init__(self, folder: Path, stack: Stack, database: Database, ledger: Ledger, sinks: Sinks, seed: int) -> None:
        self.folder = folder
        self.stack = stack
        self.database = database
        self.ledger = ledger
        self.sinks = sinks
        self.random = random.Random(seed)
        self.promises = Promises()
        self.kills: list[Kill] = []
        self.workspace = ""
        self._token = ""
        self.contacts: dict[Channel, list[str]] = {}

    async def settle_in(self, database_url: str, contacts: int) -> None:
        """A workspace, its key, and people to write to."""
        workspace = await accounts.create_workspace(database_url, "faults")
        _, token = await accounts.create_token(database_url, workspace, scopes=accounts.DEFAULT_SCOPES, expires_at=None)
        await self.invite(workspace, token, contacts)

    async def invite(self, workspace: str, token: str, contacts: int) -> None:
        """People to write to, in a workspace that there is, by its key."""
        self.workspace, self._token = workspace, token
        async with Line(self.stack.api.port, self._token) as line:
            for number in range(contacts):
                subscription = self.sinks.push.subscribe()
                answer = await line.post(
                    self._path("/contacts"),
                    {
                        "email": f"reader{number}@example.org",
                        "webhookUrl": self.sinks.web.url(f"/in/{number}"),
                        "telegramChatId": str(100_000 + number),
                    },
                )
                assert answer.status == 201, answer
                contact = answer.body["id"]
                browser = {"endpoint": subscription.endpoint, "p256dh": subscription.p256dh}
                auth = subscription.browser.auth
                pushed = await line.post(self._path("/push"), {"contactId": contact, **browser, "auth": auth})
                assert pushed.status in (200, 201), pushed
                for channel in Channel:
                    self.contacts.setdefault(channel, []).append(contact)

    async def post(
        self,
        channel: Channel,
        count: int,
        *,
        clients: int = _CLIENTS,
        pause_s: float = 0.0,
        lane: Lane = Lane.TRANSACTIONAL,
    ) -> None:
        """Send ``count`` messages, each with an idempotency key, and repeat what got no answer until it gets a 200."""
        tokens = iter([secrets.token_hex(6) for _ in range(count)])

        async def client() -> None:
            async with Line(self.stack.api.port, self._token) as line:
                for token in tokens:
                    await self._post_one(line, channel, token, lane)
                    await asyncio.sleep(pause_s)

        await asyncio.gather(*(client() for _ in range(clients)))

    async def post_batch(
        self, channel: Channel, items: Sequence[Mapping[str, object]], *, filler: str = ""
    ) -> list[str]:
        """Send messages in one request that nothing disturbs, with ``filler`` in their texts; their tokens."""
        tokens = [secrets.token_hex(6) for _ in items]
        bodies = [
            {"channel": channel.value, "subject": f"token-{token}", "body": f"token-{token}{filler}", **item}
            for token, item in zip(tokens, items, strict=True)
        ]
        answer = await self.ask("/messages/batch", bodies)
        assert answer.status == 200, answer
        for token, each in zip(tokens, answer.body["data"], strict=True):
            assert each["status"] == 200, each
            self.promises.accepted[channel][token] = each["message"]["id"]
        self.promises.posted.update(tokens)
        return tokens

    async def _post_one(self, line: Line, channel: Channel, token: str, lane: Lane) -> None:
        contact = self.random.choice(self.contacts[channel])
        body = {"contactId": contact, "channel": channel.value, "lane": lane.value}
        body |= {"subject": f"token-{token}", "body": f"token-{token}"}
        self.promises.posted.add(token)
        while True:
            began = time.monotonic()
            try:
                answer = await line.post(self._path("/messages"), body, Idempotency_Key=token)
            except (OSError, EOFError):
                await line.close()
                await asyncio.sleep(_PATIENCE_S)
                continue
            self.promises.answered_s.append(time.monotonic() - began)
            self.promises.answers[answer.status] = self.promises.answers.get(answer.status, 0) + 1
            if answer.status == 200:
                self.promises.accepted[channel][token] = answer.body["id"]
                return
            assert answer.status in (409, 503), answer
            await asyncio.sleep(_PATIENCE_S)

    async def ask(self, path: str, body: object, *, absolute: bool = False, **headers: str) -> Answer:
        """The answer to one POST: under the workspace, unless the path is ``absolute``."""
        async with Line(self.stack.api.port, self._token) as line:
            return await line.post(path if absolute else self._path(path), body, **headers)

    def _path(self, path: str) -> str:
        return f"/api/workspaces/{self.workspace}{path}"

    def family(self, name: str) -> list[psutil.Process]:
        """The processes of a service: its leader first, then what that forked. Empty where it does not run."""
        pid = self.stack.supervisor.pids().get(name)
        return [] if pid is None else families.of(pid)

    def families(self, service: str) -> dict[str, list[psutil.Process]]:
        """The processes of each service that runs and whose name begins so."""
        names = (name for name in self.stack.supervisor.pids() if name.startswith(service))
        return {name: family for name in names if (family := self.family(name))}

    def kill_one(self, names: Sequence[str]) -> Kill | None:
        """SIGKILL for a random service of those whose names begin with one of these; None where none of them runs."""
        running = [name for name in self.stack.supervisor.pids() if name.startswith(tuple(names))]
        return self.kill(self.random.choice(sorted(running))) if running else None

    def kill(self, name: str) -> Kill | None:
        """SIGKILL for a service's leader, something that it forked, or all of them; None where none of it runs."""
        family = self.family(name)
        if len(family) > 1 and self.random.random() < 0.5:
            family = [self.random.choice(family)]
        killed = families.kill(family)
        if not killed:
            return None
        self.kills.append(Kill(time.time(), name, killed))
        return self.kills[-1]

    async def quiesce(self, patience_s: float) -> bool:
        """Wait until nothing is queued or being sent; whether it came to that in time."""
        return await at_rest(self.database, patience_s)

    async def let_victims_lapse(self) -> None:
        """Nobody waits until the leases of those that were killed have lapsed."""
        await let_lapse(self.database, [pid for kill in self.kills for pid in kill.pids])

    async def held_by(self, pids: Collection[int]) -> list[Held]:
        """The messages that those processes have in hand, or had when they died, unless somebody rescued them."""
        holders = select(workers.c.id).where(workers.c.pid.in_(pids), workers.c.dead_at.is_(None))
        held = messages.c.state == State.SENDING.value, messages.c.worker_id.in_(holders)
        async with self.database.read() as connection:
            rows = await connection.execute(select(messages.c.id, messages.c.token, messages.c.claimed_at).where(*held))
            return [Held(ids.show(ids.Kind.MESSAGE, row.id), row.token, row.claimed_at / 1000) for row in rows]


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    database_url: str,
    *,
    seed: int,
    workers: int = 3,
    bulk_workers: int = 0,
    contacts: int = 100,
    settings: Mapping[str, str] | None = None,
    keepers: int = 2,
) -> AsyncIterator[Rig]:
    """An installation that runs, with one keeper or two, and an embedded broker.

    Without ``bulk_workers`` each worker serves every lane.
    """
    ledger = Ledger()
    async with sinks_.running(ledger) as sinks:
        environment = {**house_settings(folder, database_url, sinks), **(settings or {})}
        with (folder / house_log.NAME).open("ab") as log:
            stack = Stack(fresh_environment(environment), workers=workers, bulk_workers=bulk_workers, output=log)
            await stack.start()
            if keepers > 1:
                stack.supervisor.start(SECOND_KEEPER)
            database = Database.connect(database_url)
            try:
                await _ready(stack)
                rig = Rig(folder, stack, database, ledger, sinks, seed)
                await rig.settle_in(database_url, contacts)
                yield rig
            finally:
                await database.close()
                stack.kill()
                await stack.stop()


async def at_rest(database: Database, patience_s: float) -> bool:
    """Wait until nothing is queued or being sent; whether it came to that in time."""
    waiting = select(func.count()).where(messages.c.state.in_([State.QUEUED.value, State.SENDING.value]))
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        with contextlib.suppress(StorageUnavailable):
            async with database.read() as connection:
                if not await connection.scalar(waiting):
                    return True
        await asyncio.sleep(_SETTLE_S)
    return False


def embedded_broker(stack: Stack) -> Service:
    """The broker of a house that brings its own."""
    return Service("broker", EmbeddedBroker(stack.storage.data_dir).command, _BROKER_DRAIN_S)


def quiet_s(house: Rig) -> float:
    """How long it may take until nothing is under way: a bot writes 25 a second, whatever waits."""
    return _REST_S + len(house.promises.accepted[Channel.TELEGRAM]) / _BOT_PER_S


async def _ready(stack: Stack) -> None:
    """Wait longer than a person would: several houses may be starting here."""
    for _ in range(_READY_TRIES):
        with contextlib.suppress(CannotStart):
            await stack.wait_ready()
            return
    raise CannotStart("the API did not become ready: house.log says why")


def house_settings(folder: Path, database_url: str, sinks: Sinks) -> dict[str, str]:
    """What an installation in ``folder`` is told, so that it sends to the sinks."""
    return {
        "WIREROOM_DATA_DIR": str(folder / "var"),
        "WIREROOM_DATABASE_URL": database_url,
        "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
        "WIREROOM_SMTP_URL": f"smtp+plain://127.0.0.1:{sinks.mail.port}",
        "WIREROOM_EMAIL_FROM": "Wireroom <noreply@example.org>",
        "WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
        "WIREROOM_TELEGRAM_BOT_TOKEN": TOKEN,
        "WIREROOM_TELEGRAM_API_URL": sinks.bot.url,
        "WIREROOM_LOG_LEVEL": "warning",
    }
