"""All requests of the tests' own, thrice each and in some order, and the rows that they end in.

Each order has a workspace of its own, with the same messages. What differs between two rightly is put the same: ids,
and times that are our own clocks'.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
from sqlalchemy import Table, insert, null, select, update
from yarl import URL

from api_shim.hook_providers import PROVIDERS
from channels.guarded_http import Answer
from channels.providers.contract import HookRequest
from models import ids
from models.evidence import Provider
from models.hits import read
from models.ids import Kind
from models.secrets import Keyring, load_keyring
from models.session import Database
from models.tables import attempts, events, messages, suppressions
from models.tokens import Links
from models.vocabulary import Outcome, Status
from tests.fuzz.all_requests import BUTTONS_CHAT, Aim, By, Report, reports
from tests.support import provider_requests as requests
from tests.support.api import Api, Tenant, serving
from tests.support.bounces import return_path
from tests.support.readers import BROWSER, GOOGLES_PROXY, MAIL_PROGRAM
from tests.support.scene import storage_settings
from worker.tracker import Tracker

COPIES: Final = 3
_AGO_S: Final = 3_600
_POSTERS: Final = 4
_POSTS_A_PULL: Final = 25
_MESSAGES: Final[Mapping[By, int]] = {By.OWN_ID: 16, By.PROVIDER_ID: 12, By.RETURN_PATH: 10, By.BUTTON: 1}
_READ: Final = 4  # messages whose links are asked for
_IN_A_BURST: Final = 0  # of these the one whose links are all asked for at once
_LINKS: Final = 4
_BODY: Final = "".join(f'<a href="https://shop.example.org/{number}">x</a>' for number in range(_LINKS))
_READERS: Final = (BROWSER, MAIL_PROGRAM, GOOGLES_PROXY, {"User-Agent": "Mozilla/5.0 (compatible; proofpoint)"})
CREDENTIALS: Final[Mapping[Provider, dict[str, Any]]] = {
    Provider.SENDGRID: {"signingKey": requests.public_text(requests.sendgrid_key())},
    Provider.MAILGUN: {"signingKey": requests.SECRET},
    Provider.RESEND: {"signingKey": requests.WHSEC},
    Provider.MANDRILL: {"signingKey": requests.SECRET},
    Provider.TELEGRAM: {"signingKey": requests.SECRET},
    Provider.GENERIC: {"signingKey": requests.WHSEC},
    Provider.SES: {"topicArns": [requests.TOPIC]},
}
_OURS: Final = frozenset({"id", "workspace_id", "dedupe_key", "address_digest", "content_id"})
_FLAGS: Final = frozenset({"turn", "applied_at", "retry_at"})

Rows = dict[str, list[str]]
Step = Callable[[], Awaitable[None]]


@dataclass
class Target:
    """A message that is reported on, with what it is known by."""

    by: By | None
    shown: str
    id: UUID
    provider_id: str


@asynccontextmanager
async def house(folder: Path, database_url: str, redis_url: str) -> AsyncIterator["House"]:
    """A server on that database, with its own eyes on it."""
    begun = int(time.time())

    async def amazon(_url: str) -> Answer:
        return Answer(200, "OK", {}, requests.certificate(begun - 86_400))

    database = Database.connect(database_url)
    nowhere = "http://127.0.0.1:1"
    try:
        async with serving(folder, database_url, redis_url, telegram_url=nowhere, fetch=amazon) as api:
            keyring = await load_keyring(database, storage_settings(folder, database_url, redis_url))
            async with aiohttp.ClientSession(trust_env=False) as client:
                yield House(api, database, keyring, client)
    finally:
        await database.close()


class House:
    """A server, its database, and who posts to it."""

    def __init__(self, api: Api, database: Database, keyring: Keyring, client: aiohttp.ClientSession) -> None:
        self.api = api
        self.database = database
        self.keyring = keyring
        self.client = client

    async def play(self, seed: int, zero: int, every: int = 1) -> Rows:
        """The rows that the order of this seed ends in. ``zero``: when all was sent (Unix seconds).

        ``every``: of so many requests one is made.
        """
        order = Order(self, await self.api.tenant(), zero)
        await order.prepare()
        chance = random.Random(seed)
        steps = [step for step in order.steps()[::every] for _ in range(COPIES)] + order.records()
        chance.shuffle(steps)
        await self._run(deque(steps))
        await order.settle(chance)
        return await order.rows()

    async def _run(self, steps: deque[Step]) -> None:
        """Some at a time, with trackers at work among them."""

        async def work() -> None:
            tracker = Tracker(self.database)
            while steps:
                await steps.popleft()()
                if len(steps) % _POSTS_A_PULL == 0:
                    await tracker.pull()

        await asyncio.gather(*(work() for _ in range(_POSTERS)))


class Order:
    """One workspace, what is posted to it, and what comes of that."""

    def __init__(self, house_: House, tenant: Tenant, zero: int) -> None:
        self._house = house_
        self._tenant = tenant
        self._zero = zero
        self._began_ms = 0
        self._names: dict[UUID, str] = {}
        self._hooks: dict[Provider, str] = {}
        self._targets: list[Target] = []
        self._campaign = ""

    async def prepare(self) -> None:
        """Hooks of every provider, and messages that were sent an hour ago."""
        for provider in PROVIDERS:
            made = await self._tenant.post("/hooks", {"provider": provider} | CREDENTIALS.get(provider, {}))
            self._hooks[provider] = made["url"]
            self._name(Kind.HOOK, made["id"], provider)
        self._campaign = (await self._tenant.post("/campaigns", {"name": "Spring"}))["id"]
        self._name(Kind.CAMPAIGN, self._campaign, "campaign")
        kinds = [by for by, number in _MESSAGES.items() for _ in range(number)] + [None] * _READ
        items = [await self._draft(number, by) for number, by in enumerate(kinds)]
        answer = await self._tenant.post("/messages/batch", items, 200)
        for number, (by, entry) in enumerate(zip(kinds, answer["data"], strict=True)):
            shown = entry["message"]["id"]
            message_id = self._name(Kind.MESSAGE, shown, f"message {number}")
            self._targets.append(Target(by, shown, message_id, str(7_000_000_000_000_000 + number)))
        async with self._house.database.write() as connection:
            known = messages.c.id.in_([target.id for target in self._targets])
            at = self._zero * 1000
            await connection.execute(update(messages).where(known).values(queued_at=at, due_at=at))
        self._began_ms = int(time.time() * 1000)

    async def _draft(self, number: int, by: By | None) -> dict[str, Any]:
        """Two messages each to a contact, so that what suppresses their address comes from both."""
        if number % 2 == 0 or by is By.BUTTON:
            fields = {"email": f"ann{number}@example.org", "telegramChatId": str(BUTTONS_CHAT)}
            self._contact = await self._tenant.contact(**fields)
            self._name(Kind.CONTACT, self._contact, f"contact {number}")
        more: dict[str, Any] = {"subject": "Hello"} | ({"topic": "news"} if number % 3 == 0 else {})
        if by is By.BUTTON:
            more = {}
        channel = "TELEGRAM" if by is By.BUTTON else "EMAIL"
        named = {"contactId": self._contact, "campaignId": self._campaign}
        return {"channel": channel, "body": _BODY if by is None else "Good morning"} | named | more

    def _name(self, kind: Kind, shown: str, name: str) -> UUID:
        found = ids.parse(kind, shown)
        assert found is not None
        self._names[found] = name
        return found

    def steps(self) -> list[Step]:
        """What is posted and asked for, each once."""
        chance = random.Random(1)  # whatever the order is, each is about the same message
        found = [self._report(number, report, chance) for number, report in enumerate(reports(), 1)]
        return found + [self._hit(url, headers) for url, headers in self._hits()]

    def _report(self, number: int, report: Report, chance: random.Random) -> Step:
        target = chance.choice([each for each in self._targets if each.by is report.by] or self._targets)
        aim = Aim(
            number=number,
            at=self._zero + chance.randrange(60, _AGO_S - 60),
            signed_at=int(time.time()),
            message=target.shown,
            provider_id=target.provider_id,
            return_path=return_path({"id": target.shown}),
            url=self._hooks[report.provider],
        )
        return partial(self._post, self._hooks[report.provider], report.request(aim))

    async def _post(self, url: str, request: HookRequest) -> None:
        async with self._house.client.post(url, data=request.body, headers=dict(request.headers)) as answer:
            assert answer.status == 200, await answer.text()

    def _read_targets(self) -> list[Target]:
        return [target for target in self._targets if target.by is None]

    def _hits(self) -> list[tuple[str, Mapping[str, str]]]:
        found: list[tuple[str, Mapping[str, str]]] = []
        for place, target in enumerate(self._read_targets()):
            links = Links(self._house.keyring.tokens, self._house.api.url, target.id, 1)
            found.append((links.pixel(), _READERS[1 + place % 3]))
            every = range(_LINKS) if place == _IN_A_BURST else range(2)
            found += [(links.click(link), _READERS[0 if place == _IN_A_BURST else link * 3]) for link in every]
        return found

    def _hit(self, url: str, headers: Mapping[str, str]) -> Step:
        async def ask() -> None:
            given = URL(url, encoded=True)
            async with self._house.client.get(given, headers=headers, allow_redirects=False) as answer:
                assert answer.status in (200, 302)

        return ask

    def records(self) -> list[Step]:
        """The worker's own word of each send, by which providers' ids are known: it may come late."""
        return [partial(self._record, target) for target in self._targets if target.by in (By.PROVIDER_ID, By.BUTTON)]

    async def _record(self, target: Target) -> None:
        chat = f"{BUTTONS_CHAT}:" if target.by is By.BUTTON else ""
        await self._attempt(target, f"{chat}{target.provider_id}")

    async def _attempt(self, target: Target, provider_id: str | None) -> None:
        at = self._zero * 1000
        row = {"message_id": target.id, "token": 0, "run": 1, "provider_id": provider_id}
        async with self._house.database.write() as connection:
            await connection.execute(
                insert(attempts).values(**row, started_at=at, ended_at=at + 1, outcome=Outcome.ACCEPTED.value)
            )

    async def settle(self, chance: random.Random) -> None:
        """Let hits have come when they are meant to, and give everything that waits to the tracker, in two parts."""
        for target in self._read_targets():
            await self._attempt(target, None)
        async with self._house.database.write() as connection:
            burst = self._read_targets()[_IN_A_BURST].id
            hits = select(events).where(*self._mine(events), events.c.provider == Provider.WIREROOM.value)
            for row in await connection.execute(hits):
                link = read(row.raw).link or 0
                later = link * (100 if row.message_id == burst else 60_000)
                at = self._zero * 1000 + 600_000 + later
                await connection.execute(update(events).where(events.c.id == row.id).values(at=at))
            waiting = select(events.c.id).where(*self._mine(events), events.c.retry_at.is_not(None))
            left = sorted(await connection.scalars(waiting))
        chance.shuffle(left)
        for part in (left[::2], left[1::2]):
            async with self._house.database.write() as connection:
                await connection.execute(update(events).where(events.c.id.in_(part)).values(retry_at=null()))
            await asyncio.gather(*(Tracker(self._house.database).pull() for _ in range(2)))

    def _mine(self, table: Table) -> list[Any]:
        return [table.c.workspace_id == ids.parse(Kind.WORKSPACE, self._tenant.workspace)]

    async def rows(self) -> Rows:
        """What it all ended in; a hit counts once, however many times two seconds its copies were apart."""
        found: Rows = {}
        async with self._house.database.read() as connection:
            for table in (messages, events, suppressions):
                rows = await connection.execute(select(table).where(*self._mine(table)))
                shown = [self._shown(row._mapping) for row in rows]
                found[table.name] = sorted(set(shown)) if table is events else sorted(shown)
        numbers = await self._tenant.get(f"/campaigns/{self._campaign}/numbers")
        found["numbers"] = [str(numbers)]
        for status in Status:
            listed = await self._tenant.get("/messages", status=status.value, campaignId=self._campaign, limit=1)
            found["numbers"].append(f"{status.value} {listed['pagination']['total']}")
        return found

    def _shown(self, row: Mapping[Any, Any]) -> str:
        known = {str(name): value for name, value in row.items() if name not in _OURS}
        # What SNS and Mailgun sign stands in the body, with the time of the signature or at random.
        if known.get("provider") in {"ses", "mailgun"}:
            del known["raw"]
        return " ".join(f"{name}={self._value(name, value)}" for name, value in known.items() if value is not None)

    def _value(self, name: str, value: Any) -> str:
        if name in _FLAGS:
            return "set"
        if isinstance(value, UUID):
            return self._names.get(value, "another")
        if isinstance(value, str | bytes):
            return self._text(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
        if name == "at" or name.endswith("_at"):
            return "our own time" if value >= self._began_ms else f"+{value - self._zero * 1000}"
        return repr(value)

    def _text(self, text: str) -> str:
        for target in self._targets:
            text = text.replace(target.shown, f"<{self._names[target.id]}>")
            text = text.replace(return_path({"id": target.shown}), f"<path of {self._names[target.id]}>")
        return repr(text)
