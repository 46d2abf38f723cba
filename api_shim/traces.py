"""What the API tells of messages' traces: the request that brought a message, its acceptance, and reports of it.

Whoever sends with ``traceparent`` (W3C Trace Context) finds the message in their own trace. In a batch each message has
a trace of its own, linked to the request, so that a trace is never of ten thousand messages.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog
from starlette.requests import Request

from api_shim.intake import Result
from models import ids
from models.admission import Draft
from models.errors import Refused, WireroomError
from models.events import ParsedEvent
from models.session import Database
from models.settings import TraceSettings
from models.store import trace_contexts
from models.traces import SYSTEM, Span, Tracing, Untraced, start

HEADER: Final = {
    "traceparent": "W3C Trace Context: where the request stands in the caller's trace. Where traces are exported, the "
    "message's own spans are part of it; in a batch each message has a trace of its own, linked to it."
}

log = structlog.get_logger(__name__)


class Served(Untraced):
    """A request that is not traced."""

    traceparent: str | None = None

    def answered(self, status: int) -> None:
        """It was answered so."""


class Creations(Untraced):
    """Messages that one request asks for, not traced."""

    def begin(self, draft: Draft) -> Draft:
        """The draft, which knows where it stands."""
        return draft

    def end(self, draft: Draft, result: Result) -> None:
        """What became of it."""


class Traces(Protocol):
    """Of one process."""

    def serving(self, request: Request, route: str) -> Served:
        """A request for messages to be sent; ``route``: the template of its path."""

    def creating(self, parent: str | None, *, alone: bool) -> Creations:
        """The messages of the request that stands at ``parent``: one ``alone``, or a batch."""

    async def reported(
        self, database: Database, workspace_id: UUID, source_id: UUID, parsed: Sequence[ParsedEvent], began_ns: int
    ) -> None:
        """These events were stored just now, which began at that Unix time."""

    def stop(self) -> None:
        """Hand over what is left; takes seconds."""


class NoTraces:
    """Nobody is to be told."""

    _served: Final = Served()
    _creations: Final = Creations()

    def serving(self, request: Request, route: str) -> Served:
        """As ``Traces.serving``."""
        return self._served

    def creating(self, parent: str | None, *, alone: bool) -> Creations:
        """As ``Traces.creating``."""
        return self._creations

    async def reported(
        self, database: Database, workspace_id: UUID, source_id: UUID, parsed: Sequence[ParsedEvent], began_ns: int
    ) -> None:
        """As ``Traces.reported``."""

    def stop(self) -> None:
        """Nothing to stop."""


class _ServedSpan(Served):
    """HTTP's server span (https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span)."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = span.traceparent
        self._status = 500

    def answered(self, status: int) -> None:
        self._status = status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = str(self._status) if self._status >= 500 else None
        self._span.end({"http.response.status_code": self._status}, failed)


class _CreationSpans(Creations):
    """A producer span for each message, which the message's own trace begins with, or goes on by.

    https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#producer-spans
    """

    def __init__(self, tracing: Tracing, parent: str | None, *, alone: bool) -> None:
        self._tracing = tracing
        self._parent = parent if alone else None
        self._link = None if alone else parent
        self._open: dict[UUID, Span] = {}

    def begin(self, draft: Draft) -> Draft:
        attributes = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "messaging.destination.name": draft.channel.value,
            "wireroom.workspace": ids.show(ids.Kind.WORKSPACE, draft.workspace_id),
        }
        name = f"create {draft.channel.value}"
        span = self._tracing.begin(name, "PRODUCER", attributes, parent=self._parent, link=self._link)
        self._open[draft.id] = span
        return msgspec.structs.replace(draft, traceparent=span.traceparent)

    def end(self, draft: Draft, result: Result) -> None:
        span = self._open.pop(draft.id)
        if isinstance(result, WireroomError):
            span.end({}, _word_of(result))
            return
        message = result.message
        shown = {"messaging.message.id": ids.show(ids.Kind.MESSAGE, message.id), "wireroom.lane": message.lane.value}
        span.end({**shown, "wireroom.replayed": result.replayed})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for span in self._open.values():
            span.end({}, _word_of(error))


def _word_of(error: BaseException | None) -> str:
    """``error.type``: why a message was refused, or else the kind of error."""
    return error.reason.value if isinstance(error, Refused) else type(error).__name__


class ApiTraces:
    """Tells a collector."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def serving(self, request: Request, route: str) -> Served:
        """As ``Traces.serving``."""
        given = request.headers.getlist("traceparent")
        # What stands where a workspace should may be anything: a key that was put into the wrong place, too.
        known = ids.parse(ids.Kind.WORKSPACE, request.path_params["workspaceId"]) is not None
        attributes = {
            "http.request.method": request.method,
            "http.route": route,
            "url.path": request.url.path if known else route,
            "url.scheme": request.url.scheme,
        }
        parent = given[0] if len(given) == 1 else None  # two say nothing (W3C Trace Context, section 3.2.1)
        return _ServedSpan(self._tracing.begin(f"{request.method} {route}", "SERVER", attributes, parent=parent))

    def creating(self, parent: str | None, *, alone: bool) -> Creations:
        """As ``Traces.creating``."""
        return _CreationSpans(self._tracing, parent, alone=alone)

    async def reported(
        self, database: Database, workspace_id: UUID, source_id: UUID, parsed: Sequence[ParsedEvent], began_ns: int
    ) -> None:
        """As ``Traces.reported``. Whatever goes wrong here, the events are stored."""
        applied_ns = time.time_ns()
        try:
            async with database.read() as connection:
                keys = [event.dedupe for event in parsed]
                found = await trace_contexts.of_source(connection, workspace_id, source_id, keys)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("traces.reports_not_read", error=type(error).__name__)
            return
        # Those that are new were stored at one time, after all others.
        latest = max((each.received_at for each in found), default=0)
        self._tracing.report([each for each in found if each.received_at == latest], began_ns, applied_ns)

    def stop(self) -> None:
        """As ``Traces.stop``."""
        self._tracing.stop()


def begin(settings: TraceSettings | None) -> Traces:
    """What this process tells from now on, on its way to the collector."""
    tracing = start("api", settings)
    return NoTraces() if tracing is None else ApiTraces(tracing)
