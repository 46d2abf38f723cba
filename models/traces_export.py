"""How spans leave the process: OpenTelemetry's own batches, to a collector that may be away for as long as it likes."""

import logging
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = structlog.get_logger(__name__)


class Told(SpanExporter):
    """Another exporter, of whose failures the first is told, and how many spans were lost until it worked again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand over a batch; called by one thread at a time."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces.collector_away")
            self._lost += len(spans)
        elif self._lost:
            log.info("traces.collector_back", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """No more."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._inner.force_flush(timeout_millis)


def provider(service: str, endpoint: str) -> TracerProvider:
    """Sampled as ``OTEL_TRACES_SAMPLER`` says; ``service``: its name unless ``OTEL_SERVICE_NAME`` says another."""
    # They say again with each batch what is said once above.
    for chatty in ("opentelemetry.exporter", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    given = OTELResourceDetector().detect().attributes
    about = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version("wireroom"), **given})
    # The process's own end asks for the last batch, and does not wait for it as long as the library would.
    made = TracerProvider(resource=about, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(Told(OTLPSpanExporter(endpoint=endpoint))))
    return made
