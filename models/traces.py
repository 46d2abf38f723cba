"""Traces in OpenTelemetry's terms: one for each message, from the request that brought it to the last report of it.

OpenTelemetry's libraries, the extra ``otel``, are loaded only where the operator names a collector; they read the rest
of ``OTEL_*`` themselves. Spans leave the process in batches, by a thread of their own; those that find the queue full
are dropped. No attribute may hold what a person wrote, or is reached by: ids, channels, outcomes, names of providers.
"""

import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self
from uuid import UUID

import structlog

from models import ids, timestamps
from models.settings import TraceSettings
from models.store.trace_contexts import Report
from models.vocabulary import Channel

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

SYSTEM: Final = "wireroom"
"""``messaging.system``: ours is the house that messages pass through, whatever the channel."""

Kind = Literal["SERVER", "PRODUCER", "CLIENT", "CONSUMER"]
"""A span's kind (https://opentelemetry.io/docs/specs/otel/trace/api/#spankind)."""

Attributes = Mapping[str, str | int | bool]

_HEADER: Final = "traceparent"
_LEAVES_S: Final = 3.0

log = structlog.get_logger(__name__)


def about(channel: Channel, message_id: UUID, operation: str, kind: str) -> dict[str, str | int | bool]:
    """What every span of a message says; ``kind``: ``messaging.operation.type``.

    https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/#messaging-attributes
    """
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": channel.value,
        "messaging.message.id": ids.show(ids.Kind.MESSAGE, message_id),
    }


class Untraced:
    """Something that takes time, of which nobody is told."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over, well or not."""


class Span:
    """Something that takes time. It ends once; its errors are told by a word, and by nobody's message."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Where it stands (W3C Trace Context, section 3.2): what comes of it names this as its parent."""
        from opentelemetry import trace  # noqa: PLC0415 - see the top
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - see the top
            TraceContextTextMapPropagator,
        )

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        return carrier[_HEADER]

    def end(self, attributes: Attributes, error: str | None = None, *, at_ns: int | None = None) -> None:
        """It is over, now or at that Unix time; ``error``: a word for what went wrong, one of few."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - see the top

        self._span.set_attributes({**attributes} if error is None else {**attributes, "error.type": error})
        if error is not None:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(at_ns)


class Tracing:
    """Begins the spans of one process. ``leaves_s``: how long its end waits for a collector."""

    def __init__(self, provider: "TracerProvider", leaves_s: float = _LEAVES_S) -> None:
        self._provider = provider
        self._leaves_s = leaves_s
        self._tracer = provider.get_tracer(SYSTEM, version("wireroom"))

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: str | None,
        link: str | None = None,
        at_ns: int | None = None,
    ) -> Span:
        """A span that began now, or at that Unix time.

        ``parent``, ``link``: ``traceparent`` of others, as they came; one that is none counts as None. Without a parent
        it begins a trace.
        """
        from opentelemetry.trace import Link, SpanKind, get_current_span  # noqa: PLC0415 - see the top

        links = None if link is None else [Link(get_current_span(_context(link)).get_span_context())]
        span = self._tracer.start_span(
            name,
            _context(parent),
            SpanKind[kind],
            {**attributes},
            links,
            at_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        return Span(span)

    def report(self, reports: Iterable[Report], began_ns: int, applied_ns: int) -> None:
        """These were taken in and applied between two Unix times: a span in each message's trace."""
        for each in reports:
            attributes = {
                **about(each.channel, each.message_id, "report", "process"),
                "wireroom.event": each.type.value,
                "wireroom.event_at": timestamps.show(each.at),
                "wireroom.provider": each.provider,
            }
            if each.run is not None:
                attributes["wireroom.run"] = each.run
            name = f"{each.type.value} {each.channel.value}"
            span = self.begin(name, "CONSUMER", attributes, parent=each.traceparent, at_ns=began_ns)
            span.end({}, at_ns=applied_ns)

    def stop(self) -> None:
        """Hand over what is left, as far as there is time for it."""
        leaving = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        leaving.start()
        leaving.join(self._leaves_s)


def _context(traceparent: str | None) -> "Context":
    from opentelemetry.context import Context  # noqa: PLC0415 - see the top
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - see the top
        TraceContextTextMapPropagator,
    )

    carrier = {} if traceparent is None else {_HEADER: traceparent}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def start(part: str, settings: TraceSettings | None) -> Tracing | None:
    """Trace from now on; None where there is no collector, or no library to reach it by.

    ``part``: what the process is, ``api`` or ``worker``. Called after the last fork.
    """
    if settings is None:
        return None
    try:
        from models.traces_export import provider  # noqa: PLC0415 - see the top
    except ModuleNotFoundError:
        log.warning("traces.not_installed", mend="pip install 'wireroom[otel]', or unset OTEL_EXPORTER_OTLP_ENDPOINT")
        return None
    return Tracing(provider(f"{SYSTEM}-{part}", settings.endpoint))
