"""A way to PostgreSQL on which statements and commits are seen as they pass, held up, or made the last ones.

It follows the framing of https://www.postgresql.org/docs/current/protocol-message-formats.html: a kind of one byte
and a length of four, but for the first message of a connection, which has no kind.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.support.proxy import End, Proxy

_COMPLETE: Final = b"C"
_BOUND: Final = b"2"
_STARTING: Final = b""


class Moment(StrEnum):
    """Where on its way a trapped transaction is stopped. What follows on its connection reaches nobody."""

    STATEMENT = "statement"
    """The statement came, and is not passed on."""
    ASKED = "asked"
    """Its COMMIT came, or the one statement that is all of it, and is not passed on."""
    UNTOLD = "untold"
    """The server has committed, and its answer is not passed on."""
    TOLD = "told"
    """The server has committed, and its answer is passed on."""


@dataclass(frozen=True, eq=False)
class Trap:
    """Springs once, at ``moment`` of a transaction with a statement whose text holds ``marker``.

    ``about``: its parameters hold one of these too (in their binary form), where there are any; ``told``: so does its
    answer, if it is a transaction by itself that is stopped once committed. ``spring`` is called with the client's
    port, and says whether that was the one; if not, all goes on.
    """

    marker: str
    moment: Moment
    spring: Callable[[int], bool]
    about: Sequence[bytes] = ()
    told: Sequence[bytes] = ()

    def fits(self, text: str, message: bytes) -> bool:
        """Whether the statement is the one."""
        return self.marker in text and _holds(message, self.about)


@dataclass
class PostgresProxy(Proxy):
    """``traps``: those that have not sprung."""

    traps: list[Trap] = field(default_factory=list)
    held: dict[str, "set[_Session]"] = field(default_factory=dict)

    def hold(self, marker: str) -> None:
        """From now on statements whose text holds ``marker`` wait, and what follows them on their connections."""
        self.held.setdefault(marker, set())

    def let_go(self, marker: str) -> None:
        """They wait no longer."""
        for session in self.held.pop(marker, ()):
            session.go_on()

    def url(self, direct: str) -> str:
        """The same database as ``direct``, by this way."""
        return f"postgresql://postgres@127.0.0.1:{self.port}{urlsplit(direct).path}?sslmode=disable"


class _Session:
    """One client's connection and ours to the server."""

    def __init__(self, proxy: PostgresProxy) -> None:
        self._proxy = proxy
        self.client = End(proxy, self._from_client, self._hang_up, waits=True)
        self.server = End(proxy, self._from_server, self._hang_up)
        self._buffer = bytearray()
        self._begun = False
        self._texts: dict[bytes, str] = {}
        self._caught: Trap | None = None
        self._committing: Trap | None = None
        self._in_transaction = False
        self._cut = False

    def go_on(self) -> None:
        """Pass on what has come, unless it has to wait."""
        for kind, message in self._messages():
            if self._waits(kind, message):
                self._buffer[:0] = message
                return
            if not self._cut:
                self._look(kind, message)
            if not self._cut:
                self.server.write(message)

    def _from_client(self, data: bytes) -> None:
        self._buffer += data
        self.go_on()

    def _waits(self, kind: bytes, message: bytes) -> bool:
        text = self._text_of(message) if kind == b"B" else ""
        held = next((each for marker, each in self._proxy.held.items() if marker in text), None)
        if held is not None:
            held.add(self)
        return held is not None

    def _text_of(self, message: bytes) -> str:
        return self._texts.get(message[5:].split(b"\0", 2)[1], "")

    def _from_server(self, data: bytes) -> None:
        trap, self._committing = self._committing, None
        if trap is not None:
            self._answered(trap, data)
        elif not self._cut:
            self.client.write(data)

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        """The messages that are whole by now."""
        while True:
            head = 1 if self._begun else 0
            if len(self._buffer) < head + 4:
                return
            end = head + struct.unpack_from("!I", self._buffer, head)[0]
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield (message[:1] if self._begun else _STARTING), message
            self._begun = True

    def _look(self, kind: bytes, message: bytes) -> None:
        match kind:
            case b"P":
                name, text = message[5:].split(b"\0", 2)[:2]
                self._texts[name] = text.decode()
            case b"B":
                self._bound(self._text_of(message), message)
            case b"Q":
                self._asked(message[5:-1].decode().rstrip(";").upper())

    def _bound(self, text: str, message: bytes) -> None:
        for trap in self._proxy.traps:
            if not trap.fits(text, message):
                continue
            # Where no transaction was begun, the statement is one, and its own COMMIT.
            if trap.moment is Moment.STATEMENT or (trap.moment is Moment.ASKED and not self._in_transaction):
                self._spring(trap)
            elif self._in_transaction:
                self._caught = trap
            else:
                self._committing = trap
            return

    def _asked(self, command: str) -> None:
        trap = self._caught
        self._in_transaction = command.startswith("BEGIN")
        if command != "COMMIT":
            self._caught = None
        elif trap is not None and trap in self._proxy.traps:
            self._caught = None
            if trap.moment is Moment.ASKED:
                self._spring(trap)
            else:
                self._committing = trap

    def _answered(self, trap: Trap, data: bytes) -> None:
        ended = data[:1] == _COMPLETE and data[5:11] == b"COMMIT"
        committed = ended or (not self._in_transaction and data[:1] == _BOUND and _holds(data, trap.told))
        if committed and trap.moment is Moment.UNTOLD:
            self._spring(trap)
        if not self._cut:
            self.client.write(data)
        if committed and trap.moment is Moment.TOLD:
            self._spring(trap)

    def _spring(self, trap: Trap) -> None:
        if self.client.transport is None:
            return
        if trap.spring(int(self.client.transport.get_extra_info("peername")[1])):
            self._proxy.traps.remove(trap)
            self._cut = True

    def _hang_up(self) -> None:
        self.client.cut()
        self.server.cut()


def _holds(message: bytes, some: Sequence[bytes]) -> bool:
    return not some or any(each in message for each in some)


@contextlib.asynccontextmanager
async def running(direct: str) -> AsyncIterator[PostgresProxy]:
    """A way from a free port of this event loop to the server of the URL ``direct``, which is at a Unix socket."""
    proxy = PostgresProxy()
    path = f"{parse_qs(urlsplit(direct).query)['host'][0]}/.s.PGSQL.5432"

    def accept() -> End:
        session = _Session(proxy)
        proxy.begin(join(session))
        return session.client

    async def join(session: _Session) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: session.server, path)
        except OSError:  # no server: no client either
            session.client.cut()
            return
        if session.client.is_there:
            session.client.read()
        else:
            session.server.cut()

    async with proxy.listening(accept):
        yield proxy
