"""The messages of sandboxes, of one channel in one process: to built-in peers, whose reports the tracker applies."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from channels.sandbox import SandboxChannel
from channels.sandbox_stories import Report, reports_of, story_of
from models.coalesce import Coalescer
from models.events import ParsedEvent
from models.sandboxes import is_sandbox
from models.store import sandboxes
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.store.sandboxes import DueReport
from models.vocabulary import Channel, Outcome
from worker import queues
from worker.attempts import Attempts
from worker.preparations import Preparations
from worker.routes import Route
from worker.services import Services

_TEXTS_BYTES: Final = 2 << 20
_CHUNK: Final = 500

log = structlog.get_logger(__name__)

_Reported = tuple[UUID, Sequence[DueReport]]
"""(workspace id, what is reported of one message)."""


class Sandbox:
    """Sends what belongs to a sandbox, and nothing else."""

    def __init__(self, name: Channel, services: Services) -> None:
        channel = SandboxChannel(name)
        self._name = name
        self._services = services
        self._preparations = Preparations(channel, services.database, _TEXTS_BYTES)
        self._attempts = Attempts(channel, services)
        self._reports: Coalescer[_Reported, None] = Coalescer(self._write, most=_CHUNK, patience_s=float("inf"))

    async def routes(self, claims: Sequence[Claim]) -> dict[UUID, Route]:
        """By message id, the way of each that belongs to a sandbox, and of no other; raises StorageUnavailable."""
        own = [claim for claim in claims if is_sandbox(claim.workspace_id)]
        if not own:
            return {}
        prepared = await self._preparations.of({claim.content_id for claim in own})
        # A test that fails is no alarm.
        return {claim.id: Route(self, *prepared[claim.content_id], is_counted=False) for claim in own}

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """As ``Runner.in_use``."""
        return self._attempts.in_use()

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """As ``Runner.run``. The peer reports what it took, whatever becomes of us before that is recorded."""
        ended = await self._attempts.run(claim, prepared)
        if ended.outcome is Outcome.ACCEPTED:
            try:
                await self._report(claim)
            except Exception:
                # As with a provider that says nothing: the message is sent, and no more is known.
                log.exception("sandbox.not_reported")
        return ended

    async def recorded(self, ended: Ended) -> None:
        """As ``Runner.recorded``."""
        await self._attempts.recorded(ended)

    async def _report(self, claim: Claim) -> None:
        story = story_of(self._name, claim.address or "")
        due = [_due(claim, number, each) for number, each in enumerate(reports_of(self._name, story))]
        if due:
            await self._reports.submit((claim.workspace_id, due))
            self._services.wakeups.poke(queues.TRACKER, queues.EVENTS)

    async def _write(self, chunk: Sequence[_Reported]) -> Sequence[None]:
        by_workspace: defaultdict[UUID, list[DueReport]] = defaultdict(list)
        for workspace_id, due in chunk:
            by_workspace[workspace_id].extend(due)
        async with self._services.database.write() as connection:
            for workspace_id in sorted(by_workspace):
                await sandboxes.report(connection, workspace_id, by_workspace[workspace_id])
        return [None] * len(chunk)


def _due(claim: Claim, number: int, report: Report) -> DueReport:
    """The report as an event, the same however often this run of the message is taken."""
    event = ParsedEvent(
        type=report.type,
        provider_event=report.type.value,
        dedupe=hashlib.sha256(b"sandbox|%b|%d|%d" % (claim.id.bytes, claim.run, number)).digest(),
        raw=msgspec.json.encode(report),
        at=None,
        message_ref=claim.id,
        run=claim.run,
        recipient=claim.address,
        bounce_type=report.bounce_type,
        reason=report.reason,
        machine=report.machine,
    )
    return DueReport(event, report.after_ms)
