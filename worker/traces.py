"""What a worker tells of messages' traces: that it claimed them, sent them, recorded their ends, and applied reports.

Where nobody is to be told, none of it costs more than a call: no query, no column, no library.
"""

import time
from collections.abc import Awaitable, Collection, Mapping
from types import TracebackType
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.session import Database
from models.settings import TraceSettings
from models.store import trace_contexts
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.traces import Attributes, Kind, Span, Tracing, Untraced, about, start
from models.vocabulary import Channel, Outcome
from worker.telemetry import GIVEN_BACK

log = structlog.get_logger(__name__)

Claimed = tuple[list[Claim], bool]
"""What a claim answers: what was claimed, and whether the lane may hold more."""


class Attempt(Untraced):
    """One attempt that is not traced. ``traceparent``: where it stands, to be told to the peer."""

    traceparent: str | None = None

    def ended(self, ended: Ended) -> Ended:
        """It ended so."""
        return ended


_UNTRACED: Final = Attempt()


class Traces(Protocol):
    """Of one process."""

    def claiming(self, connection: AsyncConnection, channel: Channel, claim: Awaitable[Claimed]) -> Awaitable[Claimed]:
        """What is claimed, which knows where it stands."""

    def sending(self, claim: Claim, channel: Channel, sender: UUID | None) -> Attempt:
        """An attempt, by the operator's sender or a workspace's."""

    def recording(self, claim: Claim, channel: Channel, record: Awaitable[None]) -> Awaitable[None]:
        """The end of an attempt, on its way into the database."""

    async def applied(self, database: Database, event_ids: Collection[UUID], began_ns: int) -> None:
        """These events were applied, or put aside, which began at that Unix time."""

    def stop(self) -> None:
        """Hand over what is left; takes seconds."""


class NoTraces:
    """Nobody is to be told."""

    def claiming(self, connection: AsyncConnection, channel: Channel, claim: Awaitable[Claimed]) -> Awaitable[Claimed]:
        """As ``Traces.claiming``."""
        return claim

    def sending(self, claim: Claim, channel: Channel, sender: UUID | None) -> Attempt:
        """As ``Traces.sending``."""
        return _UNTRACED

    def recording(self, claim: Claim, channel: Channel, record: Awaitable[None]) -> Awaitable[None]:
        """As ``Traces.recording``."""
        return record

    async def applied(self, database: Database, event_ids: Collection[UUID], began_ns: int) -> None:
        """As ``Traces.applied``."""

    def stop(self) -> None:
        """Nothing to stop."""


class _SentSpan(Attempt):
    """A client span: the peer is asked, and answers."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._ended: Ended | None = None
        self.traceparent = span.traceparent

    def ended(self, ended: Ended) -> Ended:
        self._ended = ended
        return ended

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self._ended
        if ended is None:
            self._span.end({}, type(error).__name__)
            return
        outcome = GIVEN_BACK if ended.outcome is None else ended.outcome.value
        told: dict[str, str | int | bool] = {"wireroom.outcome": outcome}
        if ended.code is not None:
            told["wireroom.code"] = ended.code
        if ended.reason is not None:
            told["wireroom.failure_reason"] = ended.reason.value
        failed = ended.outcome not in (None, Outcome.ACCEPTED)
        self._span.end(told, str(ended.reason or outcome) if failed else None)


class WorkerTraces:
    """Tells a collector. ``peers``: the hosts that the operator's senders hand messages to."""

    def __init__(self, tracing: Tracing, peers: Mapping[Channel, str]) -> None:
        self._tracing = tracing
        self._peers = peers

    async def claiming(self, connection: AsyncConnection, channel: Channel, claim: Awaitable[Claimed]) -> Claimed:
        """As ``Traces.claiming``."""
        began_ns = time.time_ns()
        claimed, left = await claim
        known = await trace_contexts.of_messages(connection, [each.id for each in claimed])
        claimed = [
            msgspec.structs.replace(each, traceparent=known[each.id]) if each.id in known else each for each in claimed
        ]
        for each in claimed:
            span = self._begin(each, channel, "claim", "receive", at_ns=began_ns)
            if span is not None:
                span.end({})
        return claimed, left

    def sending(self, claim: Claim, channel: Channel, sender: UUID | None) -> Attempt:
        """As ``Traces.sending``."""
        more: dict[str, str | int | bool] = {"wireroom.attempt": claim.tries + 1}
        if sender is not None:
            more["wireroom.sender"] = ids.show(ids.Kind.SENDER, sender)
        elif channel in self._peers:
            more["server.address"] = self._peers[channel]
        span = self._begin(claim, channel, "send", "send", more)
        return _UNTRACED if span is None else _SentSpan(span)

    async def recording(self, claim: Claim, channel: Channel, record: Awaitable[None]) -> None:
        """As ``Traces.recording``."""
        span = self._begin(claim, channel, "record", "settle")
        failed: str | None = None
        try:
            await record
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            if span is not None:
                span.end({}, failed)

    async def applied(self, database: Database, event_ids: Collection[UUID], began_ns: int) -> None:
        """As ``Traces.applied``. Whatever goes wrong here, the events are applied."""
        applied_ns = time.time_ns()
        try:
            async with database.read() as connection:
                found = await trace_contexts.of_events(connection, event_ids)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("traces.reports_not_read", error=type(error).__name__)
            return
        self._tracing.report(found, began_ns, applied_ns)

    def stop(self) -> None:
        """As ``Traces.stop``."""
        self._tracing.stop()

    def _begin(
        self,
        claim: Claim,
        channel: Channel,
        operation: str,
        kind: str,
        more: Attributes | None = None,
        *,
        at_ns: int | None = None,
    ) -> Span | None:
        if claim.traceparent is None:
            return None
        attributes = {
            **about(channel, claim.id, operation, kind),
            "wireroom.workspace": ids.show(ids.Kind.WORKSPACE, claim.workspace_id),
            "wireroom.lane": claim.lane.value,
            "wireroom.run": claim.run,
            "wireroom.fencing_token": claim.token,
            **(more or {}),
        }
        side: Kind = "CONSUMER" if kind == "receive" else "CLIENT"
        name = f"{operation} {channel.value}"
        return self._tracing.begin(name, side, attributes, parent=claim.traceparent, at_ns=at_ns)


def begin(settings: TraceSettings | None, peers: Mapping[Channel, str]) -> Traces:
    """What this process tells from now on, on its way to the collector."""
    tracing = start("worker", settings)
    return NoTraces() if tracing is None else WorkerTraces(tracing, peers)
