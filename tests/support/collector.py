"""What a collector of OpenTelemetry was given (OTLP by HTTP, as protobuf), from the requests that a web sink kept."""

from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support import leaks
from tests.support.http_sink import HttpSink

PATH: Final = "/v1/traces"


@dataclass(frozen=True)
class Link:
    """Another span, in hexadecimal."""

    trace: str
    span: str


@dataclass(frozen=True)
class Span:
    """One span. Ids are hexadecimal; ``parent`` is '' where it begins its trace; times are Unix nanoseconds."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: str
    failed: bool
    began: int
    ended: int
    links: tuple[Link, ...]
    attributes: dict[str, Any]


def settings(sink: HttpSink) -> dict[str, Any]:
    """The environment of a process that exports there, often."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url("/").rstrip("/"), "OTEL_BSP_SCHEDULE_DELAY": "50"}


def spans(sink: HttpSink) -> list[Span]:
    """All that came, by when they began."""
    found = [span for request in sink.received_at(PATH) for span in _read(request.body)]
    return sorted(found, key=lambda span: span.began)


def by_trace(found: list[Span]) -> dict[str, list[Span]]:
    """The spans of each trace, in their order."""
    return {trace: [span for span in found if span.trace == trace] for trace in {span.trace for span in found}}


def look_through(body: bytes) -> None:
    """Whatever a process exports, no canary may be in it: protobuf has texts as they are."""
    leaks.see("a span", body.decode(errors="replace"))


def _read(body: bytes) -> list[Span]:
    look_through(body)
    return [
        _span(_attributes(given.resource.attributes)["service.name"], span)
        for given in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in given.scope_spans
        for span in scope.spans
    ]


def _span(service: str, span: trace_pb2.Span) -> Span:
    return Span(
        service=service,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        links=tuple(Link(each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        attributes=_attributes(span.attributes),
    )


def _attributes(given: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in given}


def _value(value: AnyValue) -> Any:
    name = value.WhichOneof("value")
    return None if name is None else getattr(value, name)
