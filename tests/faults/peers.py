"""What the experiments with peers that misbehave share: what must come of each message, and what came of it.

A case is one way to misbehave, with its messages and its end, which a person wrote down. A message is looked at until
it is as its end says, which must happen in time. Those whose end is for good must still be so when all is over, and
none may have come more often than its attempts explain.
"""

import asyncio
import contextlib
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select

from models import ids
from models.ids import Kind
from models.session import now_ms
from models.store.endpoints import DISABLED
from models.tables import attempts, channel_pauses, events, messages, push_subscriptions, senders, suppressions
from models.vocabulary import Channel, FailureReason, Outcome, State, Status
from tests.faults.experiment import Size
from tests.faults.ledger import Ledger
from tests.faults.rig import Rig
from tests.support.api_process import Line
from tests.support.waiting import wait_until
from wireroom import accounts

_LOOK_S: Final = 0.25
_WATCH_S: Final = 2.0
_CLOCK_S: Final = 1.0
"""How far a time may be beside what it should be: an attempt's end is written a little before the next try's time."""
_EXACT: Final = ("status", "attempts", "reason", "held", "suppressed", "told")
_OPEN: Final = frozenset({Status.QUEUED, Status.SENDING})


@dataclass(frozen=True)
class End:
    """What must be found of a message. ``attempts``: how they ended, in order.

    ``came``: how often the peer had it; None where some came more often than others. ``again_s``: how long after the
    last attempt the next one is due, at least and at most. ``suppressed``: its address. ``told``: the workspace, that
    the endpoint is switched off. ``browsers``: how many its contact has left.
    """

    status: Status
    attempts: tuple[Outcome, ...] = ()
    came: int | None = 0
    reason: FailureReason | None = None
    again_s: tuple[float, float] | None = None
    held: bool = False
    suppressed: bool = False
    told: bool = False
    browsers: int | None = None

    @property
    def lasts(self) -> bool:
        """Whether nothing more can become of it by itself."""
        return self.held or self.status not in _OPEN


@dataclass(frozen=True)
class Seen:
    """What was found of a message; as ``End``, with the one pause that was."""

    status: Status
    attempts: tuple[Outcome, ...]
    came: int
    reason: FailureReason | None
    again_s: float | None
    held: bool
    suppressed: bool
    told: bool
    browsers: int

    @property
    def explained(self) -> int:
        """How many attempts there were, with one that may be under way."""
        return len(self.attempts) + (self.status is Status.SENDING and not self.held)

    def otherwise(self, end: End) -> str:
        """In what it is not as it must be; empty where it is."""
        wrong = [f"{name} {getattr(self, name)!s}" for name in _EXACT if getattr(self, name) != getattr(end, name)]
        loose = [name for name in ("came", "browsers") if getattr(end, name) not in (None, getattr(self, name))]
        wrong += [f"{name} {getattr(self, name)}" for name in loose]
        if end.again_s is not None:
            least, most = end.again_s
            if self.again_s is None or not least - _CLOCK_S <= self.again_s <= most + _CLOCK_S:
                wrong.append(f"again in {self.again_s} s")
        return ", ".join(wrong)


@dataclass
class Case:
    """One way to misbehave. ``messages``: shown id and end of each by its token.

    ``rests``: whether the sender of ``workspace`` rests once all are as they must be; None where it has none.
    """

    name: str
    workspace: str
    messages: dict[str, tuple[str, End]] = field(default_factory=dict)
    rests: bool | None = None
    fulfilled: set[str] = field(default_factory=set)
    done: bool = False

    def weigh(self, seen: Mapping[str, Seen], resting: Collection[str]) -> None:
        """Note what is as it must be by now."""
        for token, (shown, end) in self.messages.items():
            if token not in self.fulfilled and shown in seen and not seen[shown].otherwise(end):
                self.fulfilled.add(token)
        whole = len(self.fulfilled) == len(self.messages)
        self.done = self.done or (whole and self.rests in (None, self.workspace in resting))

    def faults(self, seen: Mapping[str, Seen], resting: Collection[str]) -> list[str]:
        """What is not as it must be when all is over."""
        wrong = {}
        for token, (shown, end) in self.messages.items():
            now = seen[shown]
            if token not in self.fulfilled or (end.lasts and now.otherwise(end)):
                wrong[shown] = now.otherwise(end) or "it came to it late"
            elif not end.lasts and end.came is not None and now.came > now.explained * (end.browsers or 1):
                wrong[shown] = f"came {now.came} times by {len(now.attempts)} attempts"
        found = [f"{self.name}: {len(wrong)} of {len(self.messages)}, as {next(iter(wrong.items()))}"] if wrong else []
        if not wrong and not self.done:
            found.append(f"{self.name}: its sender {'rests' if self.workspace in resting else 'does not rest'}")
        return found


class Shop:
    """A workspace of its own, and its key."""

    def __init__(self, house: Rig, workspace: str, key: str) -> None:
        self.workspace = workspace
        self._house = house
        self._key = key

    @classmethod
    async def open(cls, house: Rig, name: str) -> "Shop":
        """A new one."""
        url = house.database.engine.url.render_as_string(hide_password=False)
        workspace = await accounts.create_workspace(url, name)
        _, key = await accounts.create_token(url, workspace, scopes=accounts.DEFAULT_SCOPES, expires_at=None)
        return cls(house, workspace, key)

    async def ask(self, path: str, *bodies: object) -> list[Any]:
        """The answers to POSTs, all of which must do what they ask for."""
        async with Line(self._house.stack.api.port, self._key) as line:
            answers = [await line.post(f"/api/workspaces/{self.workspace}{path}", body) for body in bodies]
        assert all(answer.status in (200, 201) for answer in answers), answers
        return [answer.body for answer in answers]

    async def send(self, channel: Channel, items: Sequence[Mapping[str, object]]) -> dict[str, str]:
        """Send messages in one request; their shown ids by their tokens."""
        tokens = [secrets.token_hex(6) for _ in items]
        bodies = [
            {"channel": channel.value, "subject": "Peers", "body": f"token-{token}", **item}
            for token, item in zip(tokens, items, strict=True)
        ]
        (answer,) = await self.ask("/messages/batch", bodies)
        refused = [each for each in answer["data"] if each["status"] != 200]
        assert not refused, refused[0]
        shown = [each["message"]["id"] for each in answer["data"]]
        promised = dict(zip(tokens, shown, strict=True))
        self._house.promises.accepted[channel].update(promised)
        return promised


class Court:
    """Judges the cases of one channel by what the house shows and what the peers had."""

    def __init__(self, house: Rig, channel: Channel, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._house = house
        self._channel = channel
        self._ledger = ledger
        self._say = say
        self._tokens: dict[str, str] = {}
        self.cases: list[Case] = []

    def add(self, case: Case) -> None:
        """One more to judge, its messages sent."""
        self.cases.append(case)
        self._tokens |= {shown: token for token, (shown, _) in case.messages.items()}

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look from time to time while more is sent: what was sent first may be past its end before the last is."""

        async def watch() -> None:
            while True:
                await self._weigh()
                await asyncio.sleep(_WATCH_S)

        watched = asyncio.create_task(watch())
        try:
            yield
        finally:
            watched.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watched

    async def _weigh(self) -> None:
        seen, resting = await self._look()
        for case in self.cases:
            case.weigh(seen, resting)

    async def judge(self, patience_s: float, glance: Callable[[], None] = lambda: None) -> list[str]:
        """Wait until every case is done, and call ``glance`` from time to time; the faults."""

        async def done() -> bool:
            await self._weigh()
            glance()
            self._say(f"{sum(case.done for case in self.cases)} of {len(self.cases)} cases are as they must be")
            return all(case.done for case in self.cases)

        with contextlib.suppress(AssertionError):  # what is not done in time is found below
            await wait_until(done, timeout=patience_s, interval=_LOOK_S)
        seen, resting = await self._look()
        faults = [fault for case in self.cases for fault in case.faults(seen, resting)]
        async with self._house.database.read() as connection:
            rests = list(await connection.scalars(select(channel_pauses.c.channel)))
        return faults + [f"the operator's {channel} rests" for channel in rests]

    def figures(self) -> dict[str, int]:
        """How many cases and messages were not as they must be, when last looked at."""
        missing = sum(len(case.messages) - len(case.fulfilled) for case in self.cases)
        return {"cases_otherwise": sum(not case.done for case in self.cases), "messages_otherwise": missing}

    async def _look(self) -> tuple[dict[str, Seen], set[str]]:
        """Every message by its shown id; the workspaces whose senders rest."""
        came = self._ledger.copies(self._channel)
        columns = ("id", "contact_id", "state", "status", "failure_reason", "due_at")
        async with self._house.database.read() as connection:
            rows = (
                await connection.execute(
                    select(*[messages.c[name] for name in columns]).where(messages.c.channel == self._channel.value)
                )
            ).all()
            ends = (
                await connection.execute(
                    select(attempts.c.message_id, attempts.c.outcome, attempts.c.ended_at).order_by(attempts.c.token)
                )
            ).all()
            dead = set(await connection.scalars(select(suppressions.c.message_id)))
            told = set(
                await connection.scalars(select(events.c.message_ref).where(events.c.provider_event == DISABLED))
            )
            browsers = Counter(await connection.scalars(select(push_subscriptions.c.contact_id)))
            rests = await connection.scalars(select(senders.c.workspace_id).where(senders.c.resting_until > now_ms()))
            resting = {ids.show(Kind.WORKSPACE, each) for each in rests}
        tried = defaultdict(list)
        for end in ends:
            tried[end.message_id].append(end)
        seen = {}
        for row in rows:
            shown = ids.show(Kind.MESSAGE, row.id)
            is_due = row.state == State.QUEUED.value and tried[row.id]
            seen[shown] = Seen(
                status=Status(row.status),
                attempts=tuple(Outcome(each.outcome) for each in tried[row.id]),
                came=came[self._tokens.get(shown, "")],
                reason=FailureReason(row.failure_reason) if row.failure_reason else None,
                again_s=(row.due_at - tried[row.id][-1].ended_at) / 1000 if is_due else None,
                held=row.state == State.HELD.value,
                suppressed=row.id in dead,
                told=row.id in told,
                browsers=browsers[row.contact_id],
            )
        return seen, resting


COUNTS: Final = {Size.SHORT: 2, Size.MINUTES: 20}
"""Messages of each case; what FULL has, each channel says for itself."""

RETRIED: Final = Outcome.TRANSIENT, Outcome.TRANSIENT
DOUBTED: Final = Outcome.UNKNOWN, Outcome.UNKNOWN


def spread(pause_s: float) -> tuple[float, float]:
    """A pause of the schedule, a fifth either way."""
    return 0.8 * pause_s, 1.2 * pause_s
