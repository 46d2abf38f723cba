"""Connections to one SMTP server: made when needed, kept for the next message, replaced when dead.

One recipient per transaction, so that every reply is about one message.
"""

import asyncio
import copy
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from channels.errors import Blame, Misconfigured, NotStarted, SendError, Transient
from channels.slots import Slots, Waiter
from channels.smtp_dial import SmtpDialler
from channels.smtp_line import LineBroken, Reply
from channels.smtp_replies import Phase, refusal
from channels.smtp_session import Session, Timeouts, Transaction, open_session, take_leave
from channels.smtp_transaction import CLOSING, converse, takes
from channels.smtp_url import SmtpServer

SMALLER_S: Final = 60.0
"""How long the pool stays smaller after the server refused one connection more."""

_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")


class ConnectionBroken(Transient):
    """The line failed before the final dot: no word about the message, which the peer cannot have accepted."""


class NoRoom(Exception):
    """The server refuses one connection more, but keeps those that it has."""


class _Place:
    """One message's place in the line for a slot.

    ``session``: what comes with the slot, its envelope on the way already. ``follower``: who gets the slot next for
    sure, because its envelope goes, or went, along with this message's content; it is handed ``session_for_it``.
    ``promised_at``: when it was promised that, by the loop's clock.
    """

    __slots__ = ("follower", "promised_at", "session", "session_for_it", "transaction")

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.session: Session | None = None
        self.follower: Waiter | None = None
        self.session_for_it: Session | None = None
        self.promised_at = 0.0


class SmtpPool:
    """Up to ``limit()`` connections to one server, each used for one message at a time, the warmest first.

    It is asked for each message: where it is less than before, the connections beyond it go as they come back.
    """

    def __init__(
        self,
        server: SmtpServer,
        tls: ssl.SSLContext | None,
        limit: Callable[[], int],
        timeouts: Timeouts,
        dialler: SmtpDialler | None = None,
    ) -> None:
        """``dialler``: makes the connections, where it is not for us to trust whoever named the server."""
        self._server = server
        self._dialler = dialler
        self._tls = tls
        self._timeouts = timeouts
        self._limit = limit
        self._slots = Slots(limit)
        self._idle: deque[Session] = deque()
        self._open: set[Session] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._promises: set[_Place] = set()
        self._overseer: asyncio.TimerHandle | None = None
        self._ehlo_name = ""
        self._ehlo_lookup = asyncio.Lock()
        self._failure: SendError | None = None
        self._failed_at = 0.0
        self._closed = False

    async def deliver(self, transaction: Transaction) -> Reply:
        """Hand one message over; returns the positive answer to the final dot, else raises a SendError."""
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        while True:
            place = _Place(transaction)
            try:
                await self._slots.acquire(patient=transaction.bulk, who=place)
            except asyncio.CancelledError:
                if place.session is not None:
                    self._discard(place.session)
                raise
            slot_back_in = 0.0
            try:
                return await self._deliver_in_slot(place, arrived)
            except NoRoom:
                slot_back_in = SMALLER_S
            finally:
                self._promises.discard(place)
                if place.follower is not None:
                    self._hand_over(place, place.follower)
                elif slot_back_in:
                    loop.call_later(slot_back_in, self._slots.release)
                else:
                    self._slots.release()

    def _hand_over(self, place: _Place, follower: Waiter) -> None:
        """Give the slot to the one who was promised it, with the session that its envelope went out on."""
        session = place.session_for_it
        follower.who.session = session
        if not self._slots.hand_over(follower) and session is not None:
            self._discard(session)

    async def close(self) -> None:
        """Close every connection, those in use too; what has not reached its final dot ends as NotStarted."""
        self._closed = True
        for timer in (self._reaper, self._overseer):
            if timer is not None:
                timer.cancel()
        for session in self._idle:
            take_leave(session)
        self._idle.clear()
        if self._dialler is not None:
            self._dialler.close()
        for session in list(self._open):
            self._discard(session)

    async def _deliver_in_slot(self, place: _Place, arrived: float) -> Reply:
        """Use a kept connection; where it proves dead before the final dot, and where there is none, a fresh one."""
        kept = place.session or self._take()
        if kept is not None:
            try:
                return await self._run(kept, place)
            except ConnectionBroken:
                pass  # It may have been dead before this message came: only a fresh connection can tell.
        return await self._run(await self._connect(arrived), place)

    async def _run(self, session: Session, place: _Place) -> Reply:
        """Run one transaction, then keep the connection if it can carry another, else close it."""
        transaction = place.transaction
        try:
            verdict = await converse(session, transaction, partial(self._following, session, place))
        except LineBroken as broken:
            self._require_not_closed()
            detail = f"the connection failed before the final dot ({broken})"
            raise ConnectionBroken(detail, blame=Blame.SENDER) from broken
        finally:
            if not session.ready or self._closed or (session.ahead is not None and place.follower is None):
                self._discard(session)
            elif session.ahead is not None:
                place.session_for_it = session
            elif len(self._open) > self._limit():
                self._leave(session)
            else:
                self._give_back(session)
        phase, reply = verdict
        if verdict.accepted:
            return reply
        refused = refusal(phase, reply.code, reply.message, transaction.sender, transaction.recipient)
        if reply.code == CLOSING and phase is not Phase.CONTENT:
            raise ConnectionBroken(refused.detail, code=refused.code, blame=refused.blame)
        raise refused

    def _following(self, session: Session, place: _Place) -> Transaction | None:
        """Whose envelope may go along with this content: who is next in line then has this slot for sure."""
        if self._closed or len(self._open) > self._limit():
            return None
        if place.follower is None:
            place.follower = self._slots.next_in_line(lambda who: takes(session, who.transaction))
            if place.follower is None:
                return None
            loop = asyncio.get_running_loop()
            place.promised_at = loop.time()
            self._promises.add(place)
            if self._overseer is None:
                self._overseer = loop.call_later(self._timeouts.bound_s, self._oversee)
        return place.follower.who.transaction if takes(session, place.follower.who.transaction) else None

    def _oversee(self) -> None:
        """Let those have any other slot who wait behind a content that is not answered."""
        loop = asyncio.get_running_loop()
        for place in [each for each in self._promises if each.promised_at <= loop.time() - self._timeouts.bound_s]:
            self._promises.discard(place)
            if place.follower is not None:
                waiter, place.follower = place.follower, None
                self._slots.put_back(waiter, patient=waiter.who.transaction.bulk)
        self._overseer = loop.call_later(self._timeouts.bound_s, self._oversee) if self._promises else None

    async def _connect(self, arrived: float) -> Session:
        """A fresh connection; raises Transient, Misconfigured, NotStarted or NoRoom.

        Whoever waited while another failed to connect shares that failure, so that a queue of messages neither
        knocks at a dead server one by one nor locks an account with a wrong password.
        """
        self._require_not_closed()
        if self._failure is not None and self._failed_at > arrived and not self._open:
            raise copy.copy(self._failure)
        try:
            ehlo_name = await self._get_ehlo_name()
            sock = None
            if self._dialler is not None:
                sock = await self._dialler.dial(self._server, self._timeouts.connect_s)
            session = await open_session(self._server, self._tls, ehlo_name, self._timeouts, sock)
        except (Transient, Misconfigured) as error:
            if isinstance(error, Transient) and error.code and any(one.line.is_open for one in self._open):
                raise NoRoom from error
            self._failure, self._failed_at = error, asyncio.get_running_loop().time()
            raise
        self._open.add(session)
        try:
            self._require_not_closed()
        except NotStarted:
            self._discard(session)
            raise
        return session

    def _require_not_closed(self) -> None:
        if self._closed:
            raise NotStarted("the channel was closed")

    async def _get_ehlo_name(self) -> str:
        """Our name for EHLO, asked of the resolver once: that may block for seconds."""
        async with self._ehlo_lookup:
            if not self._ehlo_name:
                name = await asyncio.to_thread(socket.getfqdn)
                # RFC 5321, section 4.1.3: an address literal where the client has no domain name.
                self._ehlo_name = name if _DOMAIN.fullmatch(name) else "[127.0.0.1]"
        return self._ehlo_name

    def _take(self) -> Session | None:
        """The connection used last that is still open; those kept beyond the limit are closed."""
        while self._idle and len(self._open) > self._limit():
            self._leave(self._idle.popleft())
        while self._idle:
            session = self._idle.pop()
            if session.line.is_open:
                return session
            self._discard(session)
        return None

    def _give_back(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        session.idle_since = loop.time()
        self._idle.append(session)
        if self._reaper is None:
            self._reaper = loop.call_later(self._timeouts.idle_s, self._drop_idle)

    def _drop_idle(self) -> None:
        """Close what was not used for a while; the longest unused stand on the left."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._timeouts.idle_s
        while self._idle and self._idle[0].idle_since <= oldest:
            self._leave(self._idle.popleft())
        self._reaper = loop.call_later(self._idle[0].idle_since - oldest, self._drop_idle) if self._idle else None

    def _leave(self, session: Session) -> None:
        take_leave(session)
        self._discard(session)

    def _discard(self, session: Session) -> None:
        self._open.discard(session)
        session.line.close()
