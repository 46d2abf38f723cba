"""Waiting for what becomes of a message: ``Prefer: wait`` (RFC 7240), one look at the database for all who wait."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from starlette.requests import Request

from models.errors import StorageUnavailable
from models.session import Database
from models.store import message_views, waiting
from models.store.message_views import MessageRow
from models.store.waiting import PENDING

LONGEST_S: Final = 30
HEADER: Final = {
    "Prefer": f"`wait=N` (RFC 7240): answer once the message is SENT or further (200), or FAILED or BOUNCED (422, with "
    f"`message`), or after N seconds, at most {LONGEST_S}, with the status that it has (200). It was stored before the "
    "wait began, whatever becomes of the answer. `Preference-Applied` says that the wait was granted."
}
_LOOK_EVERY_S: Final = 0.05
_MOST_WAITERS: Final = 1_000

# RFC 7240, section 2; nothing in it is tried twice, so that no header takes long to read.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_WORD: Final = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*+")'
_PARAMETER: Final = rf"{_TOKEN}(?:[ \t]*+=[ \t]*+{_WORD})?+"
_PREFERENCE: Final = re.compile(
    rf"[ \t]*+(?:({_TOKEN})(?:[ \t]*+=[ \t]*+({_WORD}))?+(?:[ \t]*+;[ \t]*+(?:{_PARAMETER})?+)*+)?+[ \t]*+(?:,|$)"
)
_SECONDS: Final = re.compile(r"0*+([1-9][0-9]*+)")

log = structlog.get_logger("api_shim")


def asked(headers: Sequence[str]) -> int | None:
    """The seconds, from 1 to 30, for which ``Prefer`` headers ask to wait; None where they do not.

    More than 30 is 30. The first preference of a name counts, names in any case; from a malformed one on, a header
    is ignored, as is a value that is no number of seconds (RFC 7240, sections 2 and 4.3).
    """
    for header in headers:
        position = 0
        while position < len(header):
            found = _PREFERENCE.match(header, position)
            if found is None:
                break
            position = found.end()
            if (found[1] or "").lower() == "wait":
                seconds = _SECONDS.fullmatch(found[2] or "")
                if seconds is None:
                    return None
                return LONGEST_S if len(seconds[1]) > 2 else min(int(seconds[1]), LONGEST_S)
    return None


class Waiters:
    """Everybody in this process who waits for a message. The message of each is stored already."""

    def __init__(self, database: Database, *, most: int = _MOST_WAITERS) -> None:
        self._database = database
        self._most = most
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}
        self._count = 0
        self._closed = False
        self._looking: asyncio.Task[None] | None = None

    async def outcome(self, row: MessageRow, seconds: float, request: Request) -> MessageRow | None:
        """The message once it is SENT or further, FAILED or BOUNCED, else as it stands after ``seconds``.

        None where too many wait already. A client that leaves ends its wait.
        """
        if row.status not in PENDING:
            return row
        if self._count >= self._most or self._closed:
            return None
        settled = self._join(row.id)
        left = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({settled, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            self._leave(row.id, settled)
        return await self._present(row)

    def close(self) -> None:
        """Let everybody go, with the status that their messages have now; nobody waits any more."""
        self._closed = True
        for message_id in list(self._waiting):
            self._settle(message_id)

    async def drain(self) -> None:
        """Return once nothing of it uses the database; after ``close``."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    def _join(self, message_id: UUID) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(message_id, set()).add(future)
        self._count += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return future

    def _leave(self, message_id: UUID, future: "asyncio.Future[None]") -> None:
        self._count -= 1
        others = self._waiting.get(message_id)
        if others is not None:
            others.discard(future)
            if not others:
                del self._waiting[message_id]

    def _settle(self, message_id: UUID) -> None:
        for future in self._waiting.pop(message_id, ()):
            if not future.done():
                future.set_result(None)

    async def _look(self) -> None:
        """Look at all messages at once, while anybody waits."""
        try:
            while self._waiting:
                await asyncio.sleep(_LOOK_EVERY_S)
                try:
                    async with self._database.read() as connection:
                        settled = await waiting.settled_among(connection, list(self._waiting))
                except StorageUnavailable:
                    continue  # those who wait have a time of their own
                for message_id in settled:
                    self._settle(message_id)
        finally:
            self._looking = None

    async def _present(self, row: MessageRow) -> MessageRow:
        """The message as it stands; as it was accepted while the database is away, since it is stored all the same."""
        try:
            async with self._database.read() as connection:
                return await message_views.get(connection, row.workspace_id, row.id) or row
        except StorageUnavailable:
            log.warning("no database to say what became of a message", message=str(row.id))
            return row


async def _left(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
